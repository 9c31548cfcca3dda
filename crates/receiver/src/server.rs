//! The receiver: listens, records, answers; goes down and comes back on the same port.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::behaviour::{Behaviour, End, Reply};
use crate::memory::Memory;
use crate::peer::Peer;
use crate::recorded::{Headers, Recorded};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long its own port may stay taken after it went down.
const REBIND: Duration = Duration::from_secs(5);

/// The bounds of a receiver.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests that are remembered; the oldest are forgotten. No bound by default: a test wants them all.
    pub capacity: usize,
    /// Bytes of a body; a larger one is answered with `413` and counted as broken. 16 MiB by default.
    pub max_body: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { capacity: usize::MAX, max_body: 16 << 20 }
    }
}

/// What was waited for did not come.
#[derive(Clone, Copy, Debug)]
pub struct TimedOut;

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("what was waited for did not come in time")
    }
}

impl std::error::Error for TimedOut {}

struct Shared {
    memory: Mutex<Memory>,
    changed: Notify,
    finishing: CancellationToken,
    behaviour: Mutex<Arc<dyn Behaviour>>,
    options: Options,
}

enum State {
    Up(JoinHandle<()>),
    /// Bound and not listening: the port stays ours, and connections to it are refused.
    Down(TcpSocket),
    Moving,
}

/// A recording endpoint. Dropping it ends it and its connections.
pub struct Receiver {
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    state: tokio::sync::Mutex<State>,
}

impl Receiver {
    /// Starts on a listener, with TLS when there is a config for it (which then offers HTTP/2 and HTTP/1.1 unless
    /// it says otherwise).
    ///
    /// # Errors
    /// When the listener has no address, or cannot be used by the runtime.
    pub fn start(
        listener: std::net::TcpListener,
        tls: Option<ServerConfig>,
        behaviour: Arc<dyn Behaviour>,
        options: Options,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let tls = tls.map(|mut config| {
            if config.alpn_protocols.is_empty() {
                config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            }
            TlsAcceptor::from(Arc::new(config))
        });
        let shared = Arc::new(Shared {
            memory: Mutex::new(Memory::new(options.capacity)),
            changed: Notify::new(),
            finishing: CancellationToken::new(),
            behaviour: Mutex::new(behaviour),
            options,
        });
        let acceptor = tokio::spawn(accept(listener, tls.clone(), Arc::clone(&shared)));
        Ok(Self { address, tls, shared, state: tokio::sync::Mutex::new(State::Up(acceptor)) })
    }

    /// Starts on a free port of the loopback, without TLS.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn on_loopback(behaviour: impl Behaviour) -> io::Result<Self> {
        Self::start(std::net::TcpListener::bind(("127.0.0.1", 0))?, None, Arc::new(behaviour), Options::default())
    }

    /// Where it listens, or listened before it went down.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, by address.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Answers differently from here on.
    pub fn behave(&self, behaviour: impl Behaviour) {
        *self.shared.behaviour.lock() = Arc::new(behaviour);
    }

    /// Looks at what was recorded, while nothing more is.
    pub fn look<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.shared.memory.lock())
    }

    /// Waits until what was recorded satisfies `enough`, which is asked after every request.
    ///
    /// # Errors
    /// When it does not within `patience`.
    pub async fn wait_until(
        &self,
        mut enough: impl FnMut(&Memory) -> bool,
        patience: Duration,
    ) -> Result<(), TimedOut> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // From here on no request is missed, so that asking now and waiting then leaves no gap.
            changed.as_mut().enable();
            if enough(&self.shared.memory.lock()) {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return if enough(&self.shared.memory.lock()) { Ok(()) } else { Err(TimedOut) };
            }
        }
    }

    /// Goes down: all connections break, new ones are refused. It keeps its port and its memory.
    ///
    /// # Errors
    /// When the port cannot be kept.
    pub async fn down(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        match std::mem::replace(&mut *state, State::Moving) {
            State::Up(acceptor) => {
                end(acceptor).await;
                *state = State::Down(bound(self.address).await?);
            }
            already => *state = already,
        }
        Ok(())
    }

    /// Comes back on the same port.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn up(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        match std::mem::replace(&mut *state, State::Moving) {
            State::Up(acceptor) => *state = State::Up(acceptor),
            other => {
                let socket = if let State::Down(socket) = other { socket } else { bound(self.address).await? };
                let listener = socket.listen(1024)?;
                *state = State::Up(tokio::spawn(accept(listener, self.tls.clone(), Arc::clone(&self.shared))));
            }
        }
        Ok(())
    }

    /// Takes no more connections and lets the answers that are on their way go out; after `patience` they are cut
    /// off.
    pub async fn finish(self, patience: Duration) {
        self.shared.finishing.cancel();
        if let State::Up(mut acceptor) = std::mem::replace(&mut *self.state.lock().await, State::Moving)
            && tokio::time::timeout(patience, &mut acceptor).await.is_err()
        {
            end(acceptor).await;
        }
    }

    /// Ends it and waits until its connections are gone.
    pub async fn shut_down(self) {
        if let State::Up(acceptor) = std::mem::replace(&mut *self.state.lock().await, State::Moving) {
            end(acceptor).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let State::Up(acceptor) = self.state.get_mut() {
            acceptor.abort();
        }
    }
}

async fn end(acceptor: JoinHandle<()>) {
    acceptor.abort();
    // It was just cancelled: that is the error it ends with.
    let _ = acceptor.await;
}

/// A socket on a port that was ours until now.
async fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let deadline = tokio::time::Instant::now() + REBIND;
    loop {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of the listener before it may still linger on this port.
        socket.set_reuseaddr(true)?;
        match socket.bind(address) {
            Ok(()) => return Ok(socket),
            // A child that this process is just starting has the old listener too, until it is another program.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Accepts until it is told to finish, and then waits for its connections, or is aborted, which drops them.
async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Only slower without it.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
                }
                // Out of descriptors, or a peer that is gone already: the next one may work.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = shared.finishing.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let reset = Arc::new(AtomicBool::new(false));
    let ended = CancellationToken::new();
    let _ends_its_requests = ended.clone().drop_guard();
    let peer = Peer::new(stream, Arc::clone(&reset));
    let line = Line { shared, reset, ended };
    match tls {
        None => converse(peer, line).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(peer)).await {
                converse(stream, line).await;
            }
        }
    }
}

/// What the requests of one connection share.
#[derive(Clone)]
struct Line {
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    ended: CancellationToken,
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, line: Line) {
    let ended = line.ended.clone();
    let shared = Arc::clone(&line.shared);
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(
        TokioIo::new(stream),
        service_fn(move |request| {
            let line = line.clone();
            async move { Ok::<_, Infallible>(answer(request, line).await) }
        }),
    );
    tokio::pin!(connection);
    tokio::select! {
        // A peer that breaks the connection is everyday life.
        _ = connection.as_mut() => return,
        () = ended.cancelled() => return,
        () = shared.finishing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = ended.cancelled() => {}
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, line: Line) -> Response<Body> {
    let version = request.version();
    let reply = match record(request, &line.shared).await {
        Ok(reply) => reply,
        Err(status) => Reply::status(status),
    };
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    match reply.end {
        End::Answer | End::Close | End::HangBody => response(reply, version),
        End::Hang => {
            // Until the peer gives up: the connection's end drops or cancels this.
            line.ended.cancelled().await;
            response(reply, version)
        }
        End::Reset => {
            line.reset.store(true, Ordering::Release);
            line.ended.cancel();
            std::future::pending().await
        }
    }
}

/// Records a request and decides on its answer; without a whole body there is nothing to record.
async fn record(request: Request<Incoming>, shared: &Shared) -> Result<Reply, http::StatusCode> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, shared.options.max_body).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            shared.memory.lock().add_broken();
            shared.changed.notify_waiters();
            return Err(http::StatusCode::PAYLOAD_TOO_LARGE);
        }
    };
    let recorded = Recorded {
        nth: 0,
        nth_for_path: 0,
        nth_for_event: 0,
        arrived: Instant::now(),
        wall: SystemTime::now(),
        version: head.version,
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: Headers::from(&head.headers),
        body,
        status: None,
    };
    let behaviour = Arc::clone(&shared.behaviour.lock());
    let reply = shared.memory.lock().add(recorded, |request| {
        let reply = behaviour.reply(request);
        (reply.sent_status(), reply)
    });
    shared.changed.notify_waiters();
    Ok(reply)
}

fn response(reply: Reply, version: Version) -> Response<Body> {
    let body = if reply.end == End::HangBody {
        let begun = stream::once(async move { Ok(Frame::data(reply.body)) });
        BodyExt::boxed(StreamBody::new(begun.chain(stream::pending())))
    } else {
        BodyExt::boxed(Full::new(reply.body))
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        // What is no header is left out: there is nobody to tell.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    if reply.end == End::Close && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

//! An HTTP server with bounds and a clean stop.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `framing` | which requests are refused for what others could take them for |
//! | `room` | the places for connections, and who makes way |

mod framing;
mod room;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::room::{Place, Room, UnderWay};

/// How long a client may take to send a request's head, at most; an idle connection ends after it too.
pub(crate) const HEAD: Duration = Duration::from_secs(10);
/// How long a connection that is to end may take to send what is still on its way.
const LAST: Duration = Duration::from_secs(60);
/// The largest head, in bytes. It is also what a client that never ends its head costs, times all connections.
const HEAD_SIZE: usize = 16 << 10;
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 256;

/// How a listener serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at once. When there are more, those without a request make way.
    pub(crate) connections: usize,
    /// How long a client may take to send a request's head, and a connection may idle: [`HEAD`] at most.
    pub(crate) head: Duration,
    /// How long requests in flight may go on after the stop.
    pub(crate) grace: Duration,
}

/// Serves until `stop`, then ends idle connections at once and lets requests in flight go on for their grace; after it
/// they are cut off.
///
/// # Errors
/// Never at present: a connection that cannot be accepted is logged, and the next one is.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    let room = Room::new(bounds.connections);
    // One that has come and has no place yet; more wait in the kernel's queue.
    let mut newcomer = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            place = room.place(), if newcomer.is_some() => if let Some(stream) = newcomer.take() {
                tasks.spawn(converse(stream, place, bounds.head.min(HEAD), router.clone(), stop.clone()));
            },
            accepted = listener.accept(), if newcomer.is_none() => match accepted {
                Ok((stream, _)) => newcomer = Some(stream),
                Err(error) => {
                    // Out of descriptors, most likely: a connection that ends gives one back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(newcomer);
    drop(listener);
    let deadline = Instant::now() + bounds.grace;
    while let Ok(Some(_)) = tokio::time::timeout_at(deadline, tasks.join_next()).await {}
    if !tasks.is_empty() {
        tracing::warn!(connections = tasks.len(), "requests in flight were cut off at the end of the grace period");
        tasks.shutdown().await;
    }
    Ok(())
}

async fn converse(stream: TcpStream, place: Place, head: Duration, router: Router, stop: CancellationToken) {
    // Only slower without it.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD_SIZE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(head)
        .keep_alive_timeout(head)
        .max_header_list_size(HEAD_SIZE as u32)
        .max_concurrent_streams(STREAMS);
    let activity = place.activity();
    let requests = Arc::clone(activity);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        let under_way = UnderWay::new(&requests);
        let answer = framing::is_plain(&request).then(|| router.call(request));
        async move {
            let _under_way = under_way;
            match answer {
                Some(answer) => answer.await,
                None => Ok(framing::refusal()),
            }
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log(ended),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        () = activity.rest(head) => connection.as_mut().graceful_shutdown(),
        () = activity.told_to_go() => return,
    }
    tokio::select! {
        ended = connection.as_mut() => log(ended),
        () = activity.rest(LAST) => tracing::debug!("a connection whose client takes no answer was cut off"),
        () = activity.told_to_go() => {}
    }
}

/// A client that breaks off is everyday life.
fn log(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    struct Served {
        address: std::net::SocketAddr,
        stop: CancellationToken,
        server: tokio::task::JoinHandle<io::Result<()>>,
    }

    /// Serves a page of a thousand bytes, with so many places.
    async fn served(places: usize) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let hangs = || async { std::future::pending::<()>().await };
        let router = Router::new().route("/", get(|| async { "x".repeat(1_000) })).route("/hang", get(hangs));
        let stop = CancellationToken::new();
        let bounds = Bounds { connections: places, head: HEAD, grace: Duration::from_secs(1) };
        let server = tokio::spawn(serve(listener, router, bounds, stop.clone()));
        Served { address, stop, server }
    }

    impl Served {
        async fn that_sends(&self, bytes: &[u8]) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.expect("a connection");
            // It may end before all is sent.
            let _ = timeout(Duration::from_secs(5), stream.write_all(bytes)).await;
            stream
        }

        async fn end(self) {
            self.stop.cancel();
            self.server.await.expect("no panic").expect("a clean end");
        }
    }

    /// All that comes until the connection ends, which it must.
    async fn rest_of(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        // A reset is an end as well.
        let _ = timeout(Duration::from_secs(600), stream.read_to_end(&mut text)).await.expect("an end");
        String::from_utf8_lossy(&text).into_owned()
    }

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const ASK_ONCE: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_no_whole_head_does_not_keep_its_place() {
        let served = served(10).await;
        for begun in [&b""[..], b"PRI * HTTP/2", b"G", b"GET / HTTP/1.1\r\nhost: a\r\n", ASK] {
            rest_of(served.that_sends(begun).await).await;
        }
        served.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_its_head_byte_by_byte_does_not_keep_its_place() {
        let served = served(1).await;
        let mut stream = served.that_sends(b"GET / HTTP/1.1\r\nx: ").await;
        let begun = Instant::now();
        while stream.write_all(b"x").await.is_ok() && begun.elapsed() < HEAD * 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!((HEAD..HEAD * 3).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        served.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_and_never_reads_does_not_keep_its_place() {
        const ASKED: usize = 20_000;
        let served = served(10).await;
        let stream = served.that_sends(&ASK.repeat(ASKED)).await;
        tokio::time::sleep(LAST * 4).await;
        let answers = rest_of(stream).await.matches("HTTP/1.1 200").count();
        assert!((1..ASKED).contains(&answers), "{answers}");
        served.end().await;
    }

    // By the clock on the wall: a paused one may run to the time-out that nobody should wait for.
    #[tokio::test]
    async fn who_has_asked_for_nothing_for_longest_makes_way_for_a_newcomer() {
        let served = served(3).await;
        let begun = Instant::now();
        let busy = served.that_sends(b"GET /hang HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let silent = served.that_sends(b"GET / HTTP").await;
        let mut asks = served.that_sends(ASK).await;
        assert_ne!(asks.read(&mut [0; 4_096]).await.expect("an answer"), 0);
        for _ in 0..2 {
            let answer = rest_of(served.that_sends(ASK_ONCE).await).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        rest_of(silent).await;
        assert!(begun.elapsed() < HEAD, "nobody had to wait for a time-out");
        let cut_off = busy.try_read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(cut_off, Err(io::ErrorKind::WouldBlock), "a request is not cut off");
        drop(busy);
        served.end().await;
    }
}

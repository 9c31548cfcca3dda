//! An HTTP server with bounds and a clean stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long a client may take to send a request's head; an idle connection ends after it too.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection that is to end may take to send what is still on its way.
const LAST: Duration = Duration::from_secs(60);
/// The largest head, in bytes.
const HEAD_SIZE: usize = 64 << 10;
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 256;

/// Serves until `stop`, then ends idle connections at once and lets requests in flight go on for `grace`; after it
/// they are cut off.
///
/// # Errors
/// Never at present: a connection that cannot be accepted is logged, and the next one is.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    grace: Duration,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    let room = Arc::new(Semaphore::new(connections));
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            accepted = accept(&listener, &room) => match accepted {
                Ok((stream, permit)) => {
                    let connection = converse(stream, router.clone(), stop.clone());
                    tasks.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: a connection that ends gives one back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    let deadline = Instant::now() + grace;
    while let Ok(Some(_)) = tokio::time::timeout_at(deadline, tasks.join_next()).await {}
    if !tasks.is_empty() {
        tracing::warn!(connections = tasks.len(), "requests in flight were cut off at the end of the grace period");
        tasks.shutdown().await;
    }
    Ok(())
}

/// The next connection, when there is room for one: until then they wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Only slower without it.
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}

async fn converse(stream: TcpStream, router: Router, stop: CancellationToken) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_SIZE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(HEAD)
        .max_header_list_size(HEAD_SIZE as u32)
        .max_concurrent_streams(STREAMS);
    let activity = Arc::new(Activity::default());
    let requests = Arc::clone(&activity);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        let under_way = UnderWay::new(&requests);
        let answer = router.call(request);
        async move {
            let _under_way = under_way;
            answer.await
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log(ended),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        () = activity.rest(HEAD) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection.as_mut() => log(ended),
        () = activity.rest(LAST) => tracing::debug!("a connection whose client takes no answer was cut off"),
    }
}

/// What a connection's requests do. The time-outs of the protocols leave gaps: a client that sends nothing or part of
/// the HTTP/2 preface, that asks and never reads the answers, or that only keeps an HTTP/2 connection alive would keep
/// its place for ever, and a few thousand of them would keep everybody else out.
#[derive(Default)]
struct Activity {
    /// Requests whose answer is not made yet.
    under_way: AtomicUsize,
    /// Rises when one begins and when one ends.
    changes: AtomicU64,
}

impl Activity {
    /// Returns when no request was under way for `span`; at the latest after another one.
    async fn rest(&self, span: Duration) {
        loop {
            let before = self.changes.load(Ordering::Acquire);
            sleep(span).await;
            if self.under_way.load(Ordering::Acquire) == 0 && self.changes.load(Ordering::Acquire) == before {
                return;
            }
        }
    }
}

/// A request, until its answer is made or its client has gone.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Ordering::AcqRel);
        activity.changes.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
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

    /// Serves with room for one connection, which a client that sends this takes; then another one asks.
    async fn second_client_is_served_after_one_that_sends(bytes: &[u8]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/", get(|| async { "x".repeat(1_000) }));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, router, 1, Duration::from_secs(1), stop.clone()));
        let mut first = TcpStream::connect(address).await.expect("a connection");
        // It may end before all is sent.
        let _ = timeout(Duration::from_secs(5), first.write_all(bytes)).await;

        let mut second = TcpStream::connect(address).await.expect("a connection");
        second.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("a request");
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(600), second.read_to_end(&mut answer)).await;
        read.expect("the first one does not keep its place").expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        drop(first);
        stop.cancel();
        server.await.expect("no panic").expect("a clean end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_does_not_keep_its_place() {
        second_client_is_served_after_one_that_sends(b"").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_part_of_a_preface_does_not_keep_its_place() {
        second_client_is_served_after_one_that_sends(b"PRI * HTTP/2").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_and_never_reads_does_not_keep_its_place() {
        let asked = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(20_000);
        second_client_is_served_after_one_that_sends(&asked).await;
    }
}

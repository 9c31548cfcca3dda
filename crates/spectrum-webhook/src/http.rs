//! An HTTP server with bounds and a clean stop.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a client may take to send a request's head; an idle connection ends after it too.
const HEAD: Duration = Duration::from_secs(10);
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
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log(ended),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    log(connection.await);
}

/// A client that breaks off is everyday life.
fn log(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

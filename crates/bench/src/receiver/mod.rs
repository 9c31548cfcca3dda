//! Takes deliveries and answers 200; some may have to wait for their answer.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `tally` | what has arrived, and whether once and in order |

mod tally;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::event;
use crate::http1::Connection;
use tally::Tally;
pub(crate) use tally::{Arrivals, between};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const OK_AND_CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How answers are given.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    /// The first so many of each hundred projects get no answer until they are fewer.
    hanging: usize,
    /// All others get it so much later.
    delay: Duration,
    /// It ends the connection.
    closing: bool,
}

struct Shared {
    tally: Mutex<Tally>,
    manner: watch::Sender<Manner>,
    /// How many deliveries somebody waits for.
    awaited: AtomicU64,
    enough: Notify,
    urls: u64,
    /// Events that have arrived at all their URLs, about.
    arrived: Arc<AtomicU64>,
}

/// A receiver of the URLs `/project/url`.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(projects: usize, streams: usize, urls: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            tally: Mutex::new(Tally::new(projects, streams, urls)?),
            manner: watch::Sender::new(Manner::default()),
            awaited: AtomicU64::new(u64::MAX),
            enough: Notify::new(),
            urls: urls as u64,
            arrived: Arc::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Measures anew: all but the first `unmeasured` of each hundred projects.
    pub(crate) fn begin(&self, start: Instant, unmeasured: usize) {
        self.shared.tally.lock().begin(start, unmeasured);
    }

    /// From now on the first so many of each hundred projects hang.
    pub(crate) fn hang(&self, hanging: usize) {
        self.shared.manner.send_modify(|manner| manner.hanging = hanging);
    }

    /// From now on answers take so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.manner.send_modify(|manner| manner.delay = delay);
    }

    /// Whether answers end their connection from now on.
    pub(crate) fn close(&self, closing: bool) {
        self.shared.manner.send_modify(|manner| manner.closing = closing);
    }

    /// Counts events that have arrived at all their URLs, about.
    pub(crate) fn arrived(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.arrived)
    }

    /// All deliveries so far.
    pub(crate) fn total(&self) -> u64 {
        self.shared.tally.lock().total
    }

    pub(crate) fn arrivals(&self) -> Arrivals {
        self.shared.tally.lock().arrivals().clone()
    }

    /// Waits until so many deliveries have come since the start of the receiver; then all of them were once and in order.
    pub(crate) async fn wait_for(&self, total: u64, patience: Duration) -> Result<()> {
        self.wait(total, patience).await.map_err(|_| anyhow!("only {} of {total} have arrived", self.total()))?;
        self.shared.tally.lock().check()
    }

    async fn wait(&self, total: u64, patience: Duration) -> Result<(), tokio::time::error::Elapsed> {
        tokio::time::timeout(patience, async {
            loop {
                let enough = self.shared.enough.notified();
                tokio::pin!(enough);
                enough.as_mut().enable();
                self.shared.awaited.store(total, Ordering::SeqCst);
                if self.total() >= total {
                    return;
                }
                enough.await;
            }
        })
        .await
    }

    /// Waits until so many deliveries that are measured have come in this phase.
    pub(crate) async fn wait_for_measured(&self, count: u64, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let (measured, total) = {
                let tally = self.shared.tally.lock();
                (tally.arrivals().count, tally.total)
            };
            if measured >= count {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.wait(total + count - measured, left.min(LOOK)).await.is_err() && left.is_zero() {
                return Err(anyhow!("only {measured} of {count} have arrived"));
            }
        }
    }
}

/// How often it is looked whether those that are measured are there, while others may come or not.
const LOOK: Duration = Duration::from_millis(20);

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(converse(Connection::new(stream), Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Until the other side ends it.
async fn converse(mut connection: Connection, shared: Arc<Shared>) -> io::Result<()> {
    let mut manner = shared.manner.subscribe();
    while let Some(request) = connection.request().await? {
        let now = Instant::now();
        let place = place(&request.path);
        let Manner { hanging, delay, closing } = *manner.borrow_and_update();
        if place.0 % 100 < hanging {
            tokio::select! {
                // The sender lives as long as this.
                _ = manner.wait_for(|manner| place.0 % 100 >= manner.hanging) => {}
                // It gave up: this attempt is no arrival.
                () = connection.stirs() => return Ok(()),
            }
            shared.note(place, &request.body, Instant::now());
        } else {
            shared.note(place, &request.body, now);
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if closing {
            return connection.send(OK_AND_CLOSE).await;
        }
        connection.send(OK).await?;
    }
    Ok(())
}

/// `/project/url`
fn place(path: &str) -> (usize, usize) {
    let mut parts = path.trim_start_matches('/').split('/').map(|part| part.parse().unwrap_or(usize::MAX));
    (parts.next().unwrap_or(usize::MAX), parts.next().unwrap_or(usize::MAX))
}

impl Shared {
    fn note(&self, place: (usize, usize), body: &[u8], now: Instant) {
        let total = {
            let mut tally = self.tally.lock();
            tally.note(place, event::read(body), now);
            tally.total
        };
        self.arrived.store(total / self.urls, Ordering::Relaxed);
        if total >= self.awaited.load(Ordering::SeqCst) {
            self.enough.notify_waiters();
        }
    }
}

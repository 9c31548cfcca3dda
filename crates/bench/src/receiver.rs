//! Takes deliveries and answers 200.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

struct Seen {
    state: Mutex<State>,
    done: Notify,
    expected: usize,
}

struct State {
    arrived: Vec<bool>,
    first: usize,
    duplicates: usize,
    swapped: usize,
    /// The highest number seen by each project.
    highest: Vec<Option<usize>>,
    /// From the post to the arrival, in microseconds.
    times: Histogram<u64>,
    start: Instant,
    last: Instant,
}

/// What a receiver saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) arrived: usize,
    pub(crate) duplicates: usize,
    pub(crate) swapped: usize,
}

impl Receiver {
    pub(crate) async fn start(expected: usize, projects: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let now = Instant::now();
        let state = State {
            arrived: vec![false; expected],
            first: 0,
            duplicates: 0,
            swapped: 0,
            highest: vec![None; projects],
            times: Histogram::new(3)?,
            start: now,
            last: now,
        };
        let seen = Arc::new(Seen { state: Mutex::new(state), done: Notify::new(), expected });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Ok(Self { address, seen, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until every event has arrived.
    pub(crate) async fn wait(&self, patience: Duration) -> Result<()> {
        let all = async {
            loop {
                let notified = self.seen.done.notified();
                if self.seen.state.lock().first >= self.seen.expected {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(patience, all)
            .await
            .map_err(|_| anyhow!("only {} of {} arrived", self.seen.state.lock().first, self.seen.expected))
    }

    pub(crate) fn last_arrival(&self) -> Instant {
        self.seen.state.lock().last
    }

    pub(crate) fn summary(&self) -> Summary {
        let state = self.seen.state.lock();
        Summary { arrived: state.first, duplicates: state.duplicates, swapped: state.swapped }
    }

    /// From the post to the arrival, in microseconds.
    pub(crate) fn times(&self) -> Histogram<u64> {
        self.seen.state.lock().times.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let seen = Arc::clone(&seen);
                connections.spawn(async move {
                    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
                        let seen = Arc::clone(&seen);
                        async move {
                            let project = request.uri().path().trim_start_matches('/').parse().unwrap_or(usize::MAX);
                            if let Ok(body) = request.into_body().collect().await {
                                seen.note(project, &body.to_bytes());
                            }
                            Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::new())))
                        }
                    });
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Seen {
    fn note(&self, project: usize, body: &[u8]) {
        let now = Instant::now();
        let (Some(number), Some(posted)) = (field(body, b"\"n\":"), field(body, b"\"t\":")) else { return };
        let mut state = self.state.lock();
        let Some(arrived) = state.arrived.get_mut(number) else { return };
        if std::mem::replace(arrived, true) {
            state.duplicates += 1;
            return;
        }
        // Clients post at the same time, so only a project's numbers that lie further apart than that tell anything.
        if let Some(highest) = state.highest.get_mut(project) {
            let before = highest.replace(highest.map_or(number, |highest| highest.max(number)));
            if before.is_some_and(|before| before > number) {
                state.swapped += 1;
            }
        }
        let total = u64::try_from(now.saturating_duration_since(state.start).as_micros()).unwrap_or(u64::MAX);
        let _ = state.times.record(total.saturating_sub(posted as u64));
        state.first += 1;
        state.last = now;
        if state.first >= self.expected {
            self.done.notify_waiters();
        }
    }

    pub(crate) fn begin(&self, start: Instant) {
        self.state.lock().start = start;
    }
}

impl Receiver {
    /// The moment that the posts' times count from.
    pub(crate) fn begin(&self, start: Instant) {
        self.seen.begin(start);
    }
}

fn field(body: &[u8], name: &[u8]) -> Option<usize> {
    let start = body.windows(name.len()).position(|window| window == name)? + name.len();
    let digits = body[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&body[start..start + digits]).ok()?.parse().ok()
}

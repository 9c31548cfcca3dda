//! Takes deliveries and answers 200, but for those that hang.

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
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

struct Seen {
    state: Mutex<State>,
    done: Notify,
    /// So many of a hundred projects get no answer until they are fewer.
    hanging: watch::Sender<usize>,
}

/// What is posted in one go, and whom it is measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    /// The number of its first event.
    pub(crate) first: usize,
    /// Its events.
    pub(crate) events: usize,
    /// The moment that the posts' times count from.
    pub(crate) start: Instant,
    /// The first so many of each hundred projects hang.
    pub(crate) hanging: usize,
    /// All but the first so many of each hundred are measured.
    pub(crate) measured: usize,
}

struct State {
    phase: Phase,
    projects: usize,
    arrived: Vec<bool>,
    count: usize,
    duplicates: usize,
    swapped: usize,
    /// The highest number seen by each project.
    highest: Vec<Option<usize>>,
    measured: Measured,
}

/// What arrived for the projects that are measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) count: usize,
    /// From the post to the arrival, in microseconds.
    pub(crate) times: Histogram<u64>,
    pub(crate) last: Instant,
}

/// What a receiver saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) arrived: usize,
    pub(crate) duplicates: usize,
    pub(crate) swapped: usize,
}

impl State {
    fn new(projects: usize, phase: Phase) -> Result<Self> {
        Ok(Self {
            phase,
            projects,
            arrived: vec![false; phase.events],
            count: 0,
            duplicates: 0,
            swapped: 0,
            highest: vec![None; projects],
            measured: Measured { count: 0, times: Histogram::new(3)?, last: phase.start },
        })
    }

    /// Events of the projects that are measured: each project's turn comes round.
    fn expected(&self) -> usize {
        let Phase { first, events, measured, .. } = self.phase;
        (first..first + events).filter(|number| number % self.projects % 100 >= measured).count()
    }
}

impl Receiver {
    pub(crate) async fn start(projects: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let nothing = Phase { first: 0, events: 0, start: Instant::now(), hanging: 0, measured: 0 };
        let state = Mutex::new(State::new(projects, nothing)?);
        let seen = Arc::new(Seen { state, done: Notify::new(), hanging: watch::Sender::new(0) });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Ok(Self { address, seen, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets what was before.
    pub(crate) fn begin(&self, phase: Phase) -> Result<()> {
        let mut state = self.seen.state.lock();
        *state = State::new(state.projects, phase)?;
        self.seen.hanging.send_replace(phase.hanging);
        Ok(())
    }

    /// From now on everything is answered.
    pub(crate) fn let_go(&self) {
        self.seen.hanging.send_replace(0);
    }

    /// Waits until every event that is measured has arrived.
    pub(crate) async fn wait_for_measured(&self, patience: Duration) -> Result<Measured> {
        let expected = self.seen.state.lock().expected();
        self.wait(patience, |state| state.measured.count >= expected).await?;
        Ok(self.seen.state.lock().measured.clone())
    }

    /// Waits until every event has arrived.
    pub(crate) async fn wait_for_all(&self, patience: Duration) -> Result<()> {
        self.wait(patience, |state| state.count >= state.phase.events).await
    }

    async fn wait(&self, patience: Duration, enough: impl Fn(&State) -> bool) -> Result<()> {
        let enough = async {
            loop {
                let notified = self.seen.done.notified();
                if enough(&self.seen.state.lock()) {
                    return;
                }
                notified.await;
            }
        };
        let in_time = tokio::time::timeout(patience, enough).await;
        in_time.map_err(|_| {
            let state = self.seen.state.lock();
            anyhow!("only {} of {} arrived", state.count, state.phase.events)
        })
    }

    pub(crate) fn summary(&self) -> Summary {
        let state = self.seen.state.lock();
        Summary { arrived: state.count, duplicates: state.duplicates, swapped: state.swapped }
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
                                seen.until_it_answers(project).await;
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
    async fn until_it_answers(&self, project: usize) {
        let mut hanging = self.hanging.subscribe();
        // The sender lives as long as this.
        let _ = hanging.wait_for(|hanging| project % 100 >= *hanging).await;
    }

    fn note(&self, project: usize, body: &[u8]) {
        let now = Instant::now();
        let (Some(number), Some(posted)) = (field(body, b"\"n\":"), field(body, b"\"t\":")) else { return };
        let mut state = self.state.lock();
        let Phase { first, start, measured, .. } = state.phase;
        let Some(arrived) = number.checked_sub(first).and_then(|at| state.arrived.get_mut(at)) else { return };
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
        state.count += 1;
        if project % 100 >= measured {
            let total = u64::try_from(now.saturating_duration_since(start).as_micros()).unwrap_or(u64::MAX);
            let _ = state.measured.times.record(total.saturating_sub(posted as u64));
            state.measured.count += 1;
            state.measured.last = now;
        }
        // Whoever waits looks at what it waits for.
        self.done.notify_waiters();
    }
}

fn field(body: &[u8], name: &[u8]) -> Option<usize> {
    let start = body.windows(name.len()).position(|window| window == name)? + name.len();
    let digits = body[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&body[start..start + digits]).ok()?.parse().ok()
}

//! The clients that post. Each has streams of its own and posts them in turn, so that the events of a stream are posted
//! one after the other, each behind the answer to the one before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::event::{self, Marks};
use crate::http1::{Connection, Head, request};

/// A project, as its clients know it.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: String,
    /// The header's value.
    pub(crate) authorization: String,
}

/// Where events are posted to: stream `s` belongs to project `s % projects`.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) api: SocketAddr,
    pub(crate) projects: Arc<Vec<Project>>,
    /// By stream: the number of its next event.
    pub(crate) streams: Arc<Vec<AtomicU64>>,
    /// Events that were taken so far.
    accepted: Arc<AtomicU64>,
    /// Those of them that have arrived at all their URLs, about.
    pub(crate) arrived: Arc<AtomicU64>,
}

impl Target {
    pub(crate) fn new(api: SocketAddr, projects: Vec<Project>, streams: usize) -> Self {
        let streams = (0..streams).map(|_| AtomicU64::new(0)).collect();
        let (accepted, arrived) = (Arc::default(), Arc::default());
        Self { api, projects: Arc::new(projects), streams: Arc::new(streams), accepted, arrived }
    }

    /// Events that were taken so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Those of them that are under way.
    fn under_way(&self) -> u64 {
        self.accepted().saturating_sub(self.arrived.load(Ordering::Relaxed))
    }
}

/// What is posted in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Bytes of an event, about.
    pub(crate) size: usize,
    /// Events of a request; 1 is not a batch.
    pub(crate) batch: usize,
    /// Events a second in all; `None` is as many as are accepted.
    pub(crate) rate: Option<f64>,
    /// Without a rate: no more is posted while so many events are taken and have not arrived.
    pub(crate) window: u64,
    /// Whichever comes first.
    pub(crate) seconds: f64,
    pub(crate) events: u64,
}

/// What came of it.
pub(crate) struct Posted {
    pub(crate) events: u64,
    pub(crate) took: Duration,
    /// How long an answer took, in microseconds.
    pub(crate) times: Histogram<u64>,
}

/// How often a client that may not post looks whether it may.
const LOOK: Duration = Duration::from_millis(2);

struct Client {
    plan: Plan,
    target: Target,
    start: Instant,
    /// Events that may still be posted, by all clients together.
    left: Arc<AtomicU64>,
    connection: Connection,
    body: Vec<u8>,
    bytes: Vec<u8>,
}

/// Posts by the plan; the times that the events say count from `start`.
pub(crate) async fn post(plan: Plan, target: &Target, start: Instant) -> Result<Posted> {
    let left = Arc::new(AtomicU64::new(plan.events));
    let clients = plan.clients.min(target.streams.len());
    let before = target.accepted();
    let mut running = JoinSet::new();
    for number in 0..clients {
        let client = Client {
            plan,
            target: target.clone(),
            start,
            left: Arc::clone(&left),
            connection: Connection::connect(target.api).await.context("the API")?,
            body: Vec::new(),
            bytes: Vec::new(),
        };
        running.spawn(client.run(number, clients));
    }
    let mut times = Histogram::<u64>::new(3)?;
    while let Some(ended) = running.join_next().await {
        times.add(ended??)?;
    }
    Ok(Posted { events: target.accepted() - before, took: start.elapsed(), times })
}

impl Client {
    async fn run(mut self, number: usize, clients: usize) -> Result<Histogram<u64>> {
        let mut times = Histogram::<u64>::new(3)?;
        let streams = self.target.streams.len();
        let end = self.start + Duration::from_secs_f64(self.plan.seconds);
        for turn in 0_u64.. {
            for stream in (number..streams).step_by(clients) {
                let mut posted = Instant::now();
                if let Some(rate) = self.plan.rate {
                    let before = (turn * streams as u64 + stream as u64) as f64 * self.plan.batch as f64;
                    let due = self.start + Duration::from_secs_f64(before / rate);
                    if due >= end {
                        return Ok(times);
                    }
                    if due > posted {
                        // When the clock wakes a client is no delay of the system's.
                        sleep_until(due.into()).await;
                        posted = Instant::now();
                    } else {
                        // That the client was not free is.
                        posted = due;
                    }
                } else {
                    while self.target.under_way() >= self.plan.window && posted < end {
                        sleep(LOOK).await;
                        posted = Instant::now();
                    }
                    if posted >= end {
                        return Ok(times);
                    }
                }
                let took = |left: u64| left.checked_sub(self.plan.batch as u64);
                if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took).is_err() {
                    return Ok(times);
                }
                self.send(stream, posted).await?;
                times.record(u64::try_from(posted.elapsed().as_micros())?)?;
            }
        }
        Ok(times)
    }

    async fn send(&mut self, stream: usize, posted: Instant) -> Result<()> {
        let Plan { batch, size, .. } = self.plan;
        let posted = u64::try_from(posted.saturating_duration_since(self.start).as_micros())?;
        // Nobody else posts to this stream.
        let first = self.target.streams[stream].load(Ordering::Relaxed);
        self.body.clear();
        for number in first..first + batch as u64 {
            event::write(&mut self.body, Marks { stream, number, posted }, size);
            if batch > 1 {
                self.body.push(b'\n');
            }
        }
        let project = &self.target.projects[stream % self.target.projects.len()];
        let (path, content_type) = match batch {
            1 => (format!("/projects/{}/events", project.id), "application/json"),
            _ => (format!("/projects/{}/events/batch", project.id), "application/x-ndjson"),
        };
        let head = Head {
            method: "POST",
            path: &path,
            host: self.target.api,
            authorization: &project.authorization,
            content_type,
        };
        request(&mut self.bytes, &head, &self.body);
        let answer = self.connection.exchange(&self.bytes).await.context("a post")?;
        let taken = match answer.status {
            202 => 1,
            200 => times_in(&answer.body, br#""duplicate":false"#),
            _ => 0,
        };
        if taken != batch {
            bail!("of {batch} events {taken} were taken: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        self.target.streams[stream].store(first + batch as u64, Ordering::Relaxed);
        self.target.accepted.fetch_add(batch as u64, Ordering::Relaxed);
        Ok(())
    }
}

fn times_in(text: &[u8], what: &[u8]) -> usize {
    text.windows(what.len()).filter(|window| *window == what).count()
}

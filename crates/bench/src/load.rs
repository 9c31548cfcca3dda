//! The clients that post.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::server::Project;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The number of the first event.
    pub(crate) first: usize,
    pub(crate) events: usize,
    pub(crate) clients: usize,
    pub(crate) size: usize,
    pub(crate) rate: Option<f64>,
}

/// Posts all events, each numbered; returns how long each `202` took, in microseconds.
pub(crate) async fn post(
    plan: Plan,
    api: SocketAddr,
    projects: Arc<Vec<Project>>,
    start: Instant,
) -> Result<Histogram<u64>> {
    let next = Arc::new(AtomicUsize::new(0));
    let client = reqwest::Client::builder().pool_max_idle_per_host(plan.clients).build()?;
    let mut clients = JoinSet::new();
    for _ in 0..plan.clients {
        let (next, projects, client) = (Arc::clone(&next), Arc::clone(&projects), client.clone());
        clients.spawn(async move {
            let mut times = Histogram::<u64>::new(3)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= plan.events {
                    return Ok::<_, anyhow::Error>(times);
                }
                let mut posted = Instant::now();
                if let Some(rate) = plan.rate {
                    // An event that has to wait for a client counts from when it was due.
                    posted = start + Duration::from_secs_f64(number as f64 / rate);
                    sleep_until(posted.into()).await;
                }
                let number = plan.first + number;
                let project = &projects[number % projects.len()];
                let answer = client
                    .post(format!("http://{api}/projects/{}/events", project.id))
                    .basic_auth(&project.id, Some(&project.secret))
                    .header("content-type", "application/json")
                    .body(event(number, posted.saturating_duration_since(start), plan.size))
                    .send()
                    .await?;
                if answer.status() != 202 {
                    bail!("{}: {}", answer.status(), answer.text().await?);
                }
                times.record(u64::try_from(posted.elapsed().as_micros())?)?;
            }
        });
    }
    let mut all = Histogram::<u64>::new(3)?;
    while let Some(times) = clients.join_next().await {
        all.add(times??)?;
    }
    Ok(all)
}

/// An event that says its number and when it was posted.
fn event(number: usize, posted: Duration, size: usize) -> Bytes {
    let posted = posted.as_micros();
    let head = format!(
        r#"{{"n":{number},"t":{posted},"event":"messages","space":{{"id":"s","platform":"imessage"}},"message":{{"id":"m{number}","platform":"imessage","direction":"inbound","timestamp":"2026-01-02T03:04:05Z","sender":{{"id":"u","platform":"imessage"}},"space":{{"id":"s","platform":"imessage"}},"content":{{"type":"text","text":""#
    );
    let tail = r#""}}}"#;
    let filling = "x".repeat(size.saturating_sub(head.len() + tail.len()));
    Bytes::from(format!("{head}{filling}{tail}"))
}

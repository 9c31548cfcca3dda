//! Each stage of the limit alone, as a loop for so many seconds: how many a second, as one line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redis::Script;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::acks::acknowledge;
use super::embedded::{Request, Writer};
use super::lanes::{Poster, client};
use super::{Tuning, cluster};
use crate::event::{self, Marks};
use crate::progress::say;

/// What is done again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Sign and POST, one after the other at each of so many URLs.
    Post,
    /// Publish to quorum queues, with so many confirms outstanding on each of a few channels.
    Publish,
    /// Take and acknowledge what was published, until there is no more.
    Consume,
    /// The Redis script, so many at the same time.
    Script,
    /// Insert and delete in group commits, so many at the same time.
    Commit,
}

/// What it is told.
#[derive(Args, Debug)]
pub(crate) struct Stage {
    kind: Kind,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[command(flatten)]
    tuning: Tuning,
    #[arg(long, default_value_t = 600)]
    size: usize,
    /// For `post`.
    #[arg(long)]
    receiver: Option<SocketAddr>,
    /// For `commit`.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// After so long nothing comes any more.
const SILENCE: Duration = Duration::from_millis(500);

pub(crate) async fn run(stage: Stage) -> Result<()> {
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(stage.seconds);
    let (count, took) = match stage.kind {
        Kind::Post => (post(&stage, until).await?, started.elapsed()),
        Kind::Publish => (publish(&stage, until).await?, started.elapsed()),
        Kind::Consume => consume(stage.tuning.queues).await?,
        Kind::Script => (script(&stage, until).await?, started.elapsed()),
        Kind::Commit => (commit(&stage, until).await?, started.elapsed()),
    };
    say(&format!("{}", count as f64 / took.as_secs_f64().max(1e-6)));
    Ok(())
}

fn body(stream: usize, number: u64, size: usize) -> Bytes {
    let mut body = Vec::with_capacity(size);
    event::write(&mut body, Marks { stream, number, posted: 0 }, size);
    body.into()
}

async fn sum(mut tasks: JoinSet<Result<u64>>) -> Result<u64> {
    let mut sum = 0;
    while let Some(count) = tasks.join_next().await {
        sum += count??;
    }
    Ok(sum)
}

async fn post(stage: &Stage, until: Instant) -> Result<u64> {
    let receiver = stage.receiver.context("--receiver")?;
    let (client, size) = (client()?, stage.size);
    let mut tasks = JoinSet::new();
    for stream in 0..stage.tuning.in_flight {
        let poster = Poster::new(client.clone(), &format!("http://{receiver}/{stream}/0"), stream)?;
        tasks.spawn(async move {
            let mut count = 0;
            while Instant::now() < until {
                let id = uuid::Uuid::now_v7().to_string();
                poster.post(&id, body(stream, count, size)).await?;
                count += 1;
            }
            Ok(count)
        });
    }
    sum(tasks).await
}

async fn publish(stage: &Stage, until: Instant) -> Result<u64> {
    let connection = cluster::rabbitmq().await?;
    let (mut tasks, Tuning { in_flight, queues, channels }) = (JoinSet::new(), stage.tuning);
    for number in 0..channels {
        let channel = cluster::publisher(&connection).await?;
        let queues: Vec<String> = (number..queues).step_by(channels).map(cluster::queue).collect();
        for queue in &queues {
            cluster::declare(&channel, queue).await?;
        }
        let body = body(0, 0, stage.size);
        tasks.spawn(async move {
            let (mut count, mut confirms) = (0, FuturesUnordered::new());
            for queue in queues.iter().cycle() {
                if Instant::now() >= until {
                    break;
                }
                confirms.push(cluster::publish(&channel, (queue, number), &body).await?);
                count += 1;
                while confirms.len() >= in_flight {
                    confirms.next().await.unwrap_or(Ok(()))?;
                }
            }
            while let Some(confirmed) = confirms.next().await {
                confirmed?;
            }
            Ok(count)
        });
    }
    sum(tasks).await
}

async fn consume(queues: usize) -> Result<(u64, Duration)> {
    let connection = cluster::rabbitmq().await?;
    let (counted, mut counts) = mpsc::unbounded_channel::<Instant>();
    let mut tasks = JoinSet::new();
    for number in 0..queues {
        let (channel, mut consumer) = cluster::consumer(&connection, &cluster::queue(number)).await?;
        let (finished, tags) = mpsc::unbounded_channel();
        tasks.spawn(acknowledge(channel, tags));
        let counted = counted.clone();
        tasks.spawn(async move {
            while let Ok(Some(delivery)) = timeout(SILENCE, consumer.next()).await {
                let _ = finished.send(delivery?.delivery_tag);
                let _ = counted.send(Instant::now());
            }
            Ok(())
        });
    }
    drop(counted);
    let (mut count, mut first, mut last) = (0, None, Instant::now());
    while let Some(at) = counts.recv().await {
        first.get_or_insert(at);
        (count, last) = (count + 1, at);
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok((count, first.map_or(Duration::ZERO, |first| last.saturating_duration_since(first))))
}

async fn script(stage: &Stage, until: Instant) -> Result<u64> {
    let redis = cluster::redis().await?;
    let mut tasks = JoinSet::new();
    for number in 0..stage.tuning.in_flight {
        let (redis, script) = (redis.clone(), Script::new(cluster::SCRIPT));
        tasks.spawn(async move {
            let mut count = 0;
            while Instant::now() < until {
                cluster::note(&script, redis.clone(), number).await?;
                count += 1;
            }
            Ok(count)
        });
    }
    sum(tasks).await
}

async fn commit(stage: &Stage, until: Instant) -> Result<u64> {
    let mut writer = Writer::open(stage.folder.as_deref().context("--folder")?)?;
    let (requests, waiting) = std::sync::mpsc::channel();
    let deletes = requests.clone();
    let writing = std::thread::spawn(move || {
        writer.serve(&waiting, |_, position, _, _| {
            // The writer lives as long as there is somebody who asks.
            let _ = deletes.send(Request::Delete(position));
        })
    });
    let mut tasks = JoinSet::new();
    for project in 0..stage.tuning.in_flight {
        let (requests, body) = (requests.clone(), body(project, 0, stage.size));
        tasks.spawn(async move {
            let mut count = 0;
            while Instant::now() < until {
                let (committed, answer) = oneshot::channel();
                let insert = Request::Insert { project, bodies: vec![body.clone()], committed };
                requests.send(insert).ok().context("the writer has ended")?;
                answer.await.context("it was not written")?;
                count += 1;
            }
            Ok(count)
        });
    }
    let count = sum(tasks).await;
    // It waits for more, and ends with the process.
    drop(writing);
    count
}

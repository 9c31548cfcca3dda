//! A backlog that grows behind disabled webhooks, and is drained when they are enabled again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::{Cast, Stage};
use crate::load::{self, Plan};
use crate::progress::step;
use crate::report::{Curve, Goal, Unit};
use crate::system::{Backend, Contender, System};

const NAME: &str = "backlog";
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(500);
/// Events that are drained in a second, at the least.
const SLOWEST: u64 = 100;
/// Memory that was reached when a tenth of the backlog was there: the product has been at work by then.
const EARLY: &str = "at a tenth";
const LIVE: &str = "live";

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    for backend in stage.suite.backends.clone() {
        let projects = stage.projects();
        let cast = stage.cast_without(&[Contender::Limit], stage.scene(backend, projects, 1)).await?;
        for system in &cast.systems {
            contender(stage, &cast, backend, system).await.context(system.contender.name())?;
        }
        cast.stop().await?;
    }
    Ok(())
}

async fn contender(stage: &mut Stage, cast: &Cast, backend: Backend, system: &System) -> Result<()> {
    let (name, events) = (system.contender.name(), stage.suite.backlog);
    let live = system.run(stage.plan()).await?.delivered();
    system.change_webhooks(r#"{"enabled":false}"#).await?;
    let started = Instant::now();
    // Batches, for it would take hours otherwise.
    let plan = Plan { batch: stage.suite.batch, window: u64::MAX, seconds: 1e9, events, ..stage.plan() };
    let before = system.target.accepted();
    let posting = load::post(plan, &system.target, started);
    let (posted, growing) = alongside(posting, system, || system.target.accepted() - before).await;
    posted?;
    let grown = started.elapsed();
    step(&format!("{events} events in {:.0} s: {:.1} MiB", grown.as_secs_f64(), mib(last(&growing))));
    cast.rest().await;

    let started = Instant::now();
    system.receiver.begin(started, 0);
    system.change_webhooks(r#"{"enabled":true}"#).await?;
    let patience = Duration::from_secs(events / SLOWEST + 300);
    let arriving = system.receiver.wait_for(system.target.accepted(), patience);
    let (arrived, draining) = alongside(arriving, system, || system.receiver.arrivals().count).await;
    arrived?;
    let drained = system.receiver.arrivals().rate(started);
    step(&format!("drained at {drained:.0}/s, live {live:.0}/s: {:.1} MiB", mib(last(&draining))));

    let place = |what: &str| format!("{}, {what}", backend.name());
    let mut note = |what: &str, unit, contender: &str, value| {
        stage.report.note((NAME, &place(what)), unit, contender, value);
        stage.report.aim((NAME, &place(what)), None, None);
    };
    note("events a second into the backlog", Unit::PerSecond, name, events as f64 / grown.as_secs_f64());
    let memory = "memory when all are there";
    note(memory, Unit::Bytes, name, last(&growing));
    let most = "most memory while it drains";
    note(most, Unit::Bytes, name, draining.iter().map(|(_, bytes)| *bytes).fold(0.0, f64::max));
    let drain = "events a second out of it";
    note(drain, Unit::PerSecond, name, drained);
    if name == "product" {
        let early = growing.iter().find(|(count, _)| *count >= events as f64 / 10.0).map_or(0.0, |(_, bytes)| *bytes);
        note(memory, Unit::Bytes, EARLY, early);
        note(most, Unit::Bytes, EARLY, early);
        note(drain, Unit::PerSecond, LIVE, live);
        stage.report.aim((NAME, &place(memory)), Some(EARLY), Some(Goal::RatioAtMost(1.1)));
        stage.report.aim((NAME, &place(most)), Some(EARLY), None);
        stage.report.aim((NAME, &place(drain)), Some(LIVE), Some(Goal::RatioAtLeast(0.7)));
    }
    let all = events as f64;
    let draining = draining.into_iter().map(|(count, bytes)| (all - count, bytes)).collect();
    for (way, points) in [("growing", growing), ("draining", draining)] {
        stage.report.curves.push(Curve {
            measure: NAME.to_owned(),
            picture: format!("Memory, {}: MiB by events in the backlog", backend.name()),
            name: format!("{name}, {way}"),
            points: points.into_iter().map(|(count, bytes)| (count, mib(bytes))).collect(),
        });
    }
    Ok(())
}

fn mib(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}

fn last(samples: &[(f64, f64)]) -> f64 {
    samples.last().map_or(0.0, |(_, bytes)| *bytes)
}

/// Does something, and meanwhile looks at how far it is and at the memory in bytes.
async fn alongside<T>(work: impl Future<Output = T>, system: &System, count: impl Fn() -> u64) -> (T, Vec<(f64, f64)>) {
    tokio::pin!(work);
    let (mut samples, mut shown) = (Vec::new(), Instant::now());
    loop {
        let done = tokio::select! {
            done = &mut work => Some(done),
            () = sleep(LOOK) => None,
        };
        samples.push((count() as f64, system.memory() as f64));
        if let Some(done) = done {
            return (done, samples);
        }
        if shown.elapsed() > Duration::from_secs(30) {
            shown = Instant::now();
            step(&format!("{} events, {:.1} MiB", count(), mib(last(&samples))));
        }
    }
}

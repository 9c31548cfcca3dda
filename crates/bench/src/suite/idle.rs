//! Many webhooks that have little to do: what they cost, and how long a start takes with them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Stage;
use crate::load::{self, Plan};
use crate::progress::step;
use crate::report::{Goal, Unit};
use crate::system::{Backend, Contender, PATIENCE, Services, Started, System};

const NAME: &str = "idle";
/// Webhooks of a project.
const URLS: usize = 10;
const MIB: f64 = 1_048_576.0;

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    for backend in stage.suite.backends.clone() {
        for contender in stage.contenders.clone() {
            if let Contender::Product(binary) | Contender::Base(binary) = &contender {
                one(stage, backend, &contender, binary).await.context(contender.name())?;
            }
        }
    }
    Ok(())
}

async fn one(stage: &mut Stage, backend: Backend, contender: &Contender, binary: &Path) -> Result<()> {
    let projects = (stage.suite.webhooks / URLS).max(1);
    let webhooks = (projects * URLS) as f64;
    let services = Services::of(backend).await?;
    let mut system = System::start(contender, stage.scene(backend, 1, 1), services.as_ref()).await?;
    system.restart(binary, services.as_ref()).await?;
    system.rest().await;
    let without = system.memory() as f64;
    system.stop().await?;
    drop(services);
    step(&format!("{}: {:.1} MiB without webhooks; registering {webhooks}", backend.name(), without / MIB));

    let services = Services::of(backend).await?;
    let begun = Instant::now();
    let mut system = System::start(contender, stage.scene(backend, projects, URLS), services.as_ref()).await?;
    let registered = webhooks / begun.elapsed().as_secs_f64();
    step(&format!("registered at {registered:.0}/s"));
    let Started { ready, shared } = system.restart(binary, services.as_ref()).await?;
    system.rest().await;
    let untouched = system.memory() as f64;

    let start = Instant::now();
    let plan = Plan { events: projects as u64, seconds: 1e9, ..stage.plan() };
    load::post(plan, &system.target, start).await?;
    system.receiver.wait_for(system.target.accepted() * URLS as u64, PATIENCE * 4).await?;
    system.rest().await;
    let used = system.memory() as f64;
    tokio::time::sleep(Duration::from_secs(stage.suite.idle_seconds)).await;
    let idle = system.memory() as f64;

    let mut note = |what: &str, unit, value, goal| {
        let name = format!("{}, {webhooks} webhooks, {what}", backend.name());
        stage.report.note((NAME, &name), unit, contender.name(), value);
        stage.report.aim((NAME, &name), None, goal);
    };
    let (each, all) = (Some(Goal::AtMost(1_024.0)), Some(Goal::AtMost(150.0 * MIB)));
    note("memory in all without any", Unit::Bytes, without, None);
    note("registered, with the start", Unit::PerSecond, registered, None);
    note("from the start to readiness", Unit::Seconds, ready.as_secs_f64(), None);
    note("from the start until all partitions have owners", Unit::Seconds, shared.as_secs_f64(), None);
    note("memory in all after the start", Unit::Bytes, untouched, all);
    note("memory of each after the start", Unit::Bytes, (untouched - without) / webhooks, each);
    note("memory in all when each was just used", Unit::Bytes, used, None);
    note("memory of each when it was just used", Unit::Bytes, (used - without) / webhooks, None);
    note("memory in all when each was used and is idle again", Unit::Bytes, idle, all);
    note("memory of each when it was used and is idle again", Unit::Bytes, (idle - without) / webhooks, each);
    let [untouched, used, idle] = [untouched, used, idle].map(|bytes| bytes / MIB);
    step(&format!("{untouched:.1} MiB after the start, {used:.1} when each was used, {idle:.1} MiB when idle again"));
    system.stop().await
}

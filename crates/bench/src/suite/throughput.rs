//! How many events are accepted and delivered a second, and what a delivery costs.

use anyhow::{Context as _, Result};

use super::{Cast, Stage};
use crate::load::Plan;
use crate::progress::step;
use crate::report::{Goal, Unit};
use crate::system::{Backend, Run};

const NAME: &str = "throughput";

/// What the product delivers of single events, as far as it was measured; otherwise it is tried.
pub(super) async fn rate(stage: &Stage, cast: &Cast, backend: Backend) -> Result<f64> {
    let name = delivered(backend, stage.projects(), 1, "single");
    if let Some(rate) = stage.report.median((NAME, &name), "product") {
        return Ok(rate);
    }
    let product = cast.systems.first().context("the product")?;
    let rate = product.run(stage.plan()).await?.delivered();
    step(&format!("the product delivers {rate:.0}/s"));
    Ok(rate)
}

fn delivered(backend: Backend, projects: usize, urls: usize, way: &str) -> String {
    format!("{}, {projects} projects, {urls} URLs, {way}, delivered", backend.name())
}

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    for backend in stage.suite.backends.clone() {
        for projects in stage.suite.projects.clone() {
            for urls in stage.suite.urls.clone() {
                scene(stage, backend, projects, urls).await?;
            }
        }
    }
    Ok(())
}

async fn scene(stage: &mut Stage, backend: Backend, projects: usize, urls: usize) -> Result<()> {
    let cast = stage.cast(stage.scene(backend, projects, urls)).await?;
    let place = format!("{}, {projects} projects, {urls} URLs", backend.name());
    for system in &cast.systems {
        system.rest().await;
        let name = format!("{place}, memory idle");
        stage.report.note((NAME, &name), Unit::Bytes, system.contender.name(), system.memory() as f64);
        stage.report.aim((NAME, &name), Some("limit"), None);
    }
    for round in 0..stage.suite.rounds {
        for (way, batch) in [("single", 1), ("batch", stage.suite.batch)] {
            for system in cast.turn(round) {
                let contender = system.contender.name();
                let run = system.run(Plan { batch, ..stage.plan() }).await.context(contender)?;
                step(&format!("round {round}, {way}: {contender} {:.0}/s", run.delivered()));
                note(stage, &place, way, contender, &run);
            }
        }
    }
    let least = match backend {
        Backend::Cluster => 0.8,
        Backend::Embedded => 0.7,
    };
    for way in ["single", "batch"] {
        let name = delivered(backend, projects, urls, way);
        stage.report.aim((NAME, &name), Some("limit"), Some(Goal::RatioAtLeast(least)));
    }
    cast.stop().await
}

fn note(stage: &mut Stage, place: &str, way: &str, contender: &str, run: &Run) {
    let mut note = |what: &str, unit, value| {
        stage.report.note((NAME, &format!("{place}, {way}, {what}")), unit, contender, value);
    };
    note("accepted", Unit::PerSecond, run.accepted());
    note("delivered", Unit::PerSecond, run.delivered());
    note("memory under load", Unit::Bytes, run.memory as f64);
    let mut note = |role: &str, value| {
        stage.report.note(("cpu", &format!("{place}, {way}: {role}")), Unit::Micros, contender, value);
    };
    let each = |used: std::time::Duration| used.as_secs_f64() * 1e6 / run.arrivals.count.max(1) as f64;
    for (role, used) in &run.cpu {
        note(role, each(*used));
    }
    note("all together", each(run.cpu.values().sum()));
}

//! More dispatchers, and more projects at the same load.

use anyhow::{Context as _, Result};

use super::{Stage, throughput};
use crate::load::Plan;
use crate::progress::step;
use crate::report::{Curve, Goal, Unit};
use crate::system::{Backend, Contender, Run, Scene, System};

const NAME: &str = "scale";
const DISPATCHERS: [usize; 3] = [1, 2, 3];
const PROJECTS: [usize; 4] = [10, 100, 1_000, 10_000];
/// How long all projects may take to be used once, in seconds.
const ONCE: f64 = 120.0;

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    for backend in stage.suite.backends.clone() {
        if backend == Backend::Cluster {
            dispatchers(stage).await?;
        }
        projects(stage, backend).await?;
    }
    Ok(())
}

async fn dispatchers(stage: &mut Stage) -> Result<()> {
    for dispatchers in DISPATCHERS {
        let scene = Scene { dispatchers, ..stage.scene(Backend::Cluster, stage.projects(), 1) };
        let cast = stage.cast_without(&[Contender::Limit], scene).await?;
        for round in 0..stage.suite.rounds {
            for system in cast.turn(round) {
                let run = system.run(stage.plan()).await?;
                let contender = system.contender.name();
                let mut note = |what: &str, unit, value| {
                    let name = format!("dispatchers, {dispatchers}, {what}");
                    stage.report.note((NAME, &name), unit, contender, value);
                    stage.report.aim((NAME, &name), None, None);
                };
                note("delivered", Unit::PerSecond, run.delivered());
                note("processor time of a delivery", Unit::Micros, cost(system, &run));
                note("memory", Unit::Bytes, run.memory as f64);
                step(&format!("round {round}, {dispatchers} dispatchers: {contender} {:.0}/s", run.delivered()));
            }
        }
        cast.stop().await?;
    }
    Ok(())
}

async fn projects(stage: &mut Stage, backend: Backend) -> Result<()> {
    let mut rate = None;
    let first = format!("{} projects", PROJECTS[0]);
    for projects in PROJECTS {
        let cast = stage.cast(stage.scene(backend, projects, 1)).await?;
        let half = match rate {
            Some(rate) => rate,
            // The same for all of them, and such that it is borne.
            None => *rate.insert(throughput::rate(stage, &cast, backend).await? / 2.0),
        };
        for system in &cast.systems {
            let plan = Plan { rate: Some(half), seconds: ONCE, events: projects as u64, ..stage.plan() };
            system.run(plan).await.context("each project once")?;
        }
        for round in 0..stage.suite.rounds {
            for system in cast.turn(round) {
                let run = system.run(Plan { rate: Some(half), ..stage.plan() }).await?;
                let (contender, cost) = (system.contender.name(), cost(system, &run));
                stage.report.note((NAME, &name(backend, projects)), Unit::Micros, contender, cost);
                step(&format!("round {round}, {projects} projects: {contender} {cost:.0} µs for each delivery"));
            }
        }
        cast.stop().await?;
        let least = stage.report.median((NAME, &name(backend, PROJECTS[0])), "product");
        if let Some(least) = least.filter(|_| projects != PROJECTS[0]) {
            stage.report.note((NAME, &name(backend, projects)), Unit::Micros, &first, least);
            let goal = Some(Goal::RatioAtMost(1.15));
            stage.report.aim((NAME, &name(backend, projects)), Some(&first), goal);
        }
    }
    for contender in stage.contenders.clone() {
        let median = |projects: usize| {
            let median = stage.report.median((NAME, &name(backend, projects)), contender.name());
            median.map(|cost| (projects as f64, cost))
        };
        let points = PROJECTS.into_iter().filter_map(median).collect();
        stage.report.curves.push(Curve {
            measure: NAME.to_owned(),
            picture: format!("Processor time of a delivery, {}: µs by projects", backend.name()),
            name: contender.name().to_owned(),
            points,
        });
    }
    Ok(())
}

fn name(backend: Backend, projects: usize) -> String {
    format!("{}, {projects} projects, processor time of a delivery", backend.name())
}

/// Of its own processes, in microseconds.
fn cost(system: &System, run: &Run) -> f64 {
    let own = system.own().keys().filter_map(|role| run.cpu.get(role));
    own.map(std::time::Duration::as_secs_f64).sum::<f64>() * 1e6 / run.arrivals.count.max(1) as f64
}

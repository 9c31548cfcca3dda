//! From the post to the arrival, at parts of what the product can take. Both contenders bear the same rate.

use anyhow::{Context as _, Result};

use super::{Stage, throughput};
use crate::load::Plan;
use crate::progress::step;
use crate::report::{Curve, Goal, Unit};
use crate::system::{Backend, Contender};

const NAME: &str = "latency";
const PARTS: [u32; 3] = [10, 50, 80];
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    for backend in stage.suite.backends.clone() {
        scene(stage, backend).await?;
    }
    Ok(())
}

async fn scene(stage: &mut Stage, backend: Backend) -> Result<()> {
    let projects = stage.projects();
    let cast = stage.cast(stage.scene(backend, projects, 1)).await?;
    let whole = throughput::rate(stage, &cast, backend).await?;
    for round in 0..stage.suite.rounds {
        for part in PARTS {
            let rate = whole * f64::from(part) / 100.0;
            for system in cast.turn(round) {
                let contender = system.contender.name();
                let run = system.run(Plan { rate: Some(rate), ..stage.plan() }).await.context(contender)?;
                let show = QUANTILES.map(|(name, at)| format!("{name} {:.2} ms", run.arrivals.millis(at))).join(", ");
                step(&format!("round {round}, {part} % ({rate:.0}/s): {contender} {show}"));
                for (quantile, at) in QUANTILES {
                    let name = name(backend, part, quantile);
                    stage.report.note((NAME, &name), Unit::Millis, contender, run.arrivals.millis(at));
                }
                let name = format!("{}, at {part} %, deliveries", backend.name());
                stage.report.note((NAME, &name), Unit::PerSecond, contender, run.delivered());
            }
        }
    }
    for (quantile, most) in [("p50", 1.3), ("p99", 2.0)] {
        stage.report.aim((NAME, &name(backend, 50, quantile)), Some("limit"), Some(Goal::RatioAtMost(most)));
    }
    for contender in cast.systems.iter().map(|system| &system.contender) {
        curves(stage, backend, contender);
    }
    cast.stop().await
}

fn name(backend: Backend, part: u32, quantile: &str) -> String {
    format!("{}, at {part} %, {quantile}", backend.name())
}

fn curves(stage: &mut Stage, backend: Backend, contender: &Contender) {
    for (quantile, _) in &QUANTILES[..2] {
        let median = |part: u32| {
            stage.report.median((NAME, &name(backend, part, quantile)), contender.name()).map(|y| (f64::from(part), y))
        };
        let points = PARTS.into_iter().filter_map(median).collect();
        stage.report.curves.push(Curve {
            measure: NAME.to_owned(),
            picture: format!(
                "Post to arrival, {}: milliseconds by percent of the product's throughput",
                backend.name()
            ),
            name: format!("{}, {quantile}", contender.name()),
            points,
        });
    }
}

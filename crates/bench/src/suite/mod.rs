//! The measures. In each round every contender has its turn, in an order that changes.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `stages` | the limit's stages, each alone |
//! | `throughput` | accepted and delivered a second, processor time, memory |
//! | `latency` | from the post to the arrival, at parts of that |
//! | `lane` | one project alone |
//! | `isolation` | healthy URLs beside some that hang |
//! | `backlog` | growth and drain of a backlog |
//! | `idle` | many webhooks that have little to do |
//! | `scale` | more dispatchers, more projects |
//! | `sizing` | memory, disk and processor time to plan with |

mod backlog;
mod idle;
mod isolation;
mod lane;
mod latency;
mod scale;
mod sizing;
mod stages;
mod throughput;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;

use crate::args::{Measure, Suite};
use crate::load::Plan;
use crate::progress::{say, step};
use crate::report::{Report, compare};
use crate::system::{Backend, Contender, Scene, Services, System};

/// How long each contender is warmed up.
const WARM_UP: f64 = 2.0;

/// Runs what was chosen and writes the report after each measure, so that nothing is lost of a run that is broken off.
pub(crate) async fn run(suite: Suite) -> Result<()> {
    let mut stage = Stage { report: Report::new(), contenders: contenders(&suite)?, suite };
    for measure in Measure::value_variants().iter().copied() {
        if !stage.suite.only.is_empty() && !stage.suite.only.contains(&measure) {
            continue;
        }
        step(&format!("== {measure:?}"));
        match measure {
            Measure::Stages => stages::measure(&mut stage).await?,
            Measure::Throughput => throughput::measure(&mut stage).await?,
            Measure::Latency => latency::measure(&mut stage).await?,
            Measure::Lane => lane::measure(&mut stage).await?,
            Measure::Isolation => isolation::measure(&mut stage).await?,
            Measure::Backlog => backlog::measure(&mut stage).await?,
            Measure::Idle => idle::measure(&mut stage).await?,
            Measure::Scale => scale::measure(&mut stage).await?,
            Measure::Sizing => sizing::measure(&mut stage).await?,
        }
        stage.report.write(&stage.suite.out)?;
    }
    if stage.suite.base.is_some() {
        say(&compare::bases(&stage.report));
    }
    say(&format!("written to {}", stage.suite.out.join("report.md").display()));
    Ok(())
}

fn contenders(suite: &Suite) -> Result<Vec<Contender>> {
    let other = suite.base.clone().map_or(Contender::Limit, Contender::Base);
    Ok(vec![Contender::Product(product(suite.binary.as_deref())?), other])
}

/// The product's executable.
pub(crate) fn product(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(given) => Ok(given.to_owned()),
        None => Ok(std::env::current_exe()?.with_file_name("spectrum-webhook")),
    }
}

/// What a measure works with.
struct Stage {
    suite: Suite,
    contenders: Vec<Contender>,
    report: Report,
}

/// All contenders of a scene, running.
struct Cast {
    systems: Vec<System>,
    /// Ends after them.
    _services: Option<Services>,
}

impl Stage {
    /// As many as are accepted.
    fn plan(&self) -> Plan {
        let Suite { clients, size, seconds, window, .. } = self.suite;
        Plan { clients, size, batch: 1, rate: None, window, seconds, events: u64::MAX }
    }

    fn scene(&self, backend: Backend, projects: usize, urls: usize) -> Scene {
        Scene { backend, projects, streams: 1, urls, dispatchers: self.suite.dispatchers }
    }

    /// Projects, where nothing is said of them: as many as throughput is measured with first.
    fn projects(&self) -> usize {
        self.suite.projects.first().copied().unwrap_or(200)
    }

    /// Starts the contenders over the same services, and warms them up.
    async fn cast(&self, scene: Scene) -> Result<Cast> {
        self.cast_without(&[], scene).await
    }

    async fn cast_without(&self, without: &[Contender], scene: Scene) -> Result<Cast> {
        step(&format!("{}: {} projects of {} URLs", scene.backend.name(), scene.projects, scene.urls));
        let services = Services::of(scene.backend).await?;
        let mut systems = Vec::new();
        for contender in self.contenders.iter().filter(|contender| !without.contains(contender)) {
            let name = contender.name();
            let system = System::start(contender, scene, services.as_ref()).await.context(name)?;
            system.run(Plan { seconds: WARM_UP.min(self.suite.seconds), ..self.plan() }).await.context(name)?;
            systems.push(system);
        }
        Ok(Cast { systems, _services: services })
    }
}

impl Cast {
    /// The order of a round: each is first in turn.
    fn turn(&self, round: usize) -> impl Iterator<Item = &System> {
        let (behind, front) = self.systems.split_at(round % self.systems.len());
        front.iter().chain(behind)
    }

    /// Waits until all have little to do.
    async fn rest(&self) {
        for system in &self.systems {
            system.rest().await;
        }
    }

    async fn stop(self) -> Result<()> {
        for system in self.systems {
            system.stop().await?;
        }
        Ok(())
    }
}

//! One project alone: its events wait for one another, so that the receiver's round trip is all there is. A burst is
//! taken while the receiver holds back its first answer; from then on it is counted how fast the rest follows.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Stage, stages};
use crate::load::{self, Plan};
use crate::progress::step;
use crate::receiver::between;
use crate::report::{Goal, Unit};
use crate::system::{Backend, PATIENCE, Scene, System};

const NAME: &str = "lane";
/// How long the receiver takes to answer, in milliseconds.
const DELAYS: [u64; 4] = [0, 1, 5, 20];
/// Bursts of a round.
const BURSTS: usize = 3;
/// Events of a burst: fewer than a partition has in memory, and no more than are delivered in so long.
const MOST: u64 = 250;
const LONGEST: f64 = 1.5;
/// Clients that post to the one project.
const CLIENTS: usize = 16;
/// How long the bare loop runs each time, in seconds.
const LOOP: f64 = 1.0;
/// Whom it is compared with: a bare loop that posts one after the other.
const LOOPED: &str = "1 / round trip";

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    for backend in stage.suite.backends.clone() {
        scene(stage, backend).await?;
    }
    Ok(())
}

async fn scene(stage: &mut Stage, backend: Backend) -> Result<()> {
    let scene = Scene { streams: CLIENTS, ..stage.scene(backend, 1, 1) };
    let cast = stage.cast(scene).await?;
    for round in 0..stage.suite.rounds {
        for delay in DELAYS {
            let name = format!("{}, receiver takes {delay} ms", backend.name());
            let wait = Duration::from_millis(delay);
            let looped = stages::post(1, LOOP.min(stage.suite.seconds), stage.suite.size, wait).await?;
            stage.report.note((NAME, &name), Unit::PerSecond, LOOPED, looped);
            let events = ((looped * LONGEST.min(stage.suite.seconds)) as u64).clamp(10, MOST);
            for system in cast.turn(round) {
                let contender = system.contender.name();
                system.receiver.delay(wait);
                for _ in 0..BURSTS {
                    let rate = burst(stage, system, events).await.context(contender)?;
                    stage.report.note((NAME, &name), Unit::PerSecond, contender, rate);
                }
                let median = stage.report.median((NAME, &name), contender).unwrap_or_default();
                step(&format!("round {round}, {delay} ms: loop {looped:.0}/s, {contender} {median:.0}/s"));
            }
            stage.report.aim((NAME, &name), Some(LOOPED), Some(Goal::RatioAtLeast(0.9)));
        }
    }
    cast.stop().await
}

/// Deliveries a second, behind the first.
async fn burst(stage: &Stage, system: &System, events: u64) -> Result<f64> {
    let start = Instant::now();
    system.receiver.begin(start, 0);
    system.receiver.hang(100);
    let posted = load::post(Plan { events, window: u64::MAX, ..stage.plan() }, &system.target, start).await;
    system.receiver.hang(0);
    posted?;
    system.receiver.wait_for(system.target.accepted(), PATIENCE).await?;
    let (count, took) = between(&system.receiver.arrivals()).context("arrivals")?;
    Ok(count as f64 / took.as_secs_f64().max(1e-6))
}

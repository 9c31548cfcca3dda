//! Healthy URLs beside some that hang: the same load on all of them each time, and only some hang or do not. What is
//! measured is the same URLs each time, those that never hang. Each share has its turn in each round, in an order that
//! moves on, so that no share always comes first.

use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::{Stage, throughput};
use crate::load::{self, Plan};
use crate::progress::step;
use crate::report::{Goal, Unit};
use crate::system::{Backend, Contender, PATIENCE, System};

const NAME: &str = "isolation";
/// The same, when nothing hangs.
const WITHOUT: &str = "none hang";

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    for backend in stage.suite.backends.clone() {
        scene(stage, backend).await?;
    }
    Ok(())
}

async fn scene(stage: &mut Stage, backend: Backend) -> Result<()> {
    let projects = stage.projects();
    ensure!(projects >= 100, "{projects} projects are too few for percents of them");
    // The limit tries nothing twice, and has no time-out.
    let cast = stage.cast_without(&[Contender::Limit], stage.scene(backend, projects, 1)).await?;
    let rate = throughput::rate(stage, &cast, backend).await?;
    let seconds = stage.suite.hanging_seconds;
    let plan = Plan { window: u64::MAX, seconds, ..stage.plan() };
    let modes = [
        ("at half load", Plan { rate: Some(rate / 2.0), ..plan }),
        ("at full load", Plan { seconds: seconds / 2.0, ..plan }),
    ];
    let shares: Vec<u8> = std::iter::once(0).chain(stage.suite.hanging.iter().copied()).collect();
    for (mode, plan) in modes {
        for round in 0..stage.suite.rounds {
            for turn in 0..shares.len() {
                let share = shares[(turn + round) % shares.len()];
                for system in cast.turn(round) {
                    let [rate, middle, most] = once(stage, system, plan, usize::from(share)).await?;
                    let contender = system.contender.name();
                    step(&format!("round {round}, {mode}, {share} %: {contender} {rate:.0}/s, p99 {most:.2} ms"));
                    for other in shares.iter().filter(|other| share == 0 || **other == share) {
                        let contender = match (share, contender) {
                            (0, "product") => WITHOUT,
                            (0, _) => continue,
                            (_, contender) => contender,
                        };
                        if *other > 0 {
                            let place = format!("{}, {mode}, {other} % hang", backend.name());
                            let mut note = |what: &str, unit, value| {
                                stage.report.note((NAME, &format!("{place}, {what}")), unit, contender, value);
                            };
                            note("healthy deliveries", Unit::PerSecond, rate);
                            note("healthy p50", Unit::Millis, middle);
                            note("healthy p99", Unit::Millis, most);
                        }
                    }
                }
            }
        }
        for share in stage.suite.hanging.clone() {
            let place = format!("{}, {mode}, {share} % hang", backend.name());
            let goals = [
                ("healthy deliveries", Some(Goal::RatioAtLeast(0.97))),
                ("healthy p50", None),
                ("healthy p99", Some(Goal::RatioAtMost(1.2))),
            ];
            for (what, goal) in goals {
                stage.report.aim((NAME, &format!("{place}, {what}")), Some(WITHOUT), goal);
            }
        }
    }
    cast.stop().await
}

/// Deliveries a second to the healthy URLs, and how long they took, in milliseconds.
async fn once(stage: &Stage, system: &System, plan: Plan, hanging: usize) -> Result<[f64; 3]> {
    let most = usize::from(stage.suite.hanging.iter().copied().max().unwrap_or_default());
    let before = healthy(system, most);
    let start = Instant::now();
    system.receiver.begin(start, most);
    system.receiver.hang(hanging);
    load::post(plan, &system.target, start).await?;
    let expected = healthy(system, most) - before;
    system.receiver.wait_for_measured(expected, PATIENCE).await?;
    let arrivals = system.receiver.arrivals();
    // What hung arrives now, so that the next measurement begins as this one did, and nothing is lost.
    system.receiver.hang(0);
    system.receiver.wait_for(system.target.accepted(), PATIENCE).await.context("what hung")?;
    system.rest().await;
    Ok([arrivals.rate(start), arrivals.millis(0.5), arrivals.millis(0.99)])
}

/// Events so far for all but the first so many of each hundred projects.
fn healthy(system: &System, unmeasured: usize) -> u64 {
    let streams = system.target.streams.iter().enumerate();
    let healthy = streams.filter(|(stream, _)| stream % system.scene.projects % 100 >= unmeasured);
    healthy.map(|(_, next)| next.load(Ordering::Relaxed)).sum()
}

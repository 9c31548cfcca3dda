//! The nemesis: strikes as the plan says, mends what it broke, and writes down when it did what.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `processes` | kill, freeze, restart, more and fewer |
//! | `broker` | RabbitMQ |
//! | `redis` | Redis |
//! | `postgres` | PostgreSQL |
//! | `network` | the ways between roles and services |

mod broker;
mod network;
mod postgres;
mod processes;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::history::{At, Fault};
use crate::plan::{Kind, Plan, Strike};
use crate::stage::Stage;

pub(crate) use broker::NODES as BROKER_NODES;

/// Two strikes at one service take turns: it cannot be stopped while it is being started.
#[derive(Default)]
struct Turns {
    rabbit: Mutex<()>,
    redis: Mutex<()>,
    postgres: Mutex<()>,
}

impl Turns {
    /// The turn at the service that a fault strikes itself, not on the way to it.
    async fn at(&self, kind: Kind) -> Option<MutexGuard<'_, ()>> {
        match kind {
            Kind::KillBrokerNode
            | Kind::RestartBroker
            | Kind::CloseChannels
            | Kind::CloseConnections
            | Kind::MoveLeaders => Some(self.rabbit.lock().await),
            Kind::FlushRedis | Kind::RestartRedis | Kind::FailOverRedis => Some(self.redis.lock().await),
            Kind::RestartPostgres | Kind::StopPostgres | Kind::ExhaustPostgres | Kind::FillDisk => {
                Some(self.postgres.lock().await)
            }
            _ => None,
        }
    }
}

/// What one strike did.
struct Struck {
    /// What was struck.
    target: String,
    /// Whether a process was frozen that may have been about to send.
    freezes: bool,
}

impl Struck {
    fn at(target: impl Into<String>) -> Self {
        Self { target: target.into(), freezes: false }
    }
}

/// Strikes until the plan's time is over and everything is mended.
pub(crate) async fn run(
    stage: &Arc<Stage>,
    plan: &Plan,
    clock: Clock,
    begun: At,
    tell: &(impl Fn(String) + Send + Sync),
) -> Vec<Fault> {
    let turns = Arc::new(Turns::default());
    let mut faults = Vec::new();
    let end = begun.plus(plan.setup.seconds * 1_000_000);
    // What takes longer to mend than was planned moves all later turns, in their order.
    let (mut moved, mut broken) = (0, false);
    for turn in &plan.turns {
        let mut striking = JoinSet::new();
        let Some(first) = turn.strikes.first() else { continue };
        let due = begun.plus(first.at.0 + moved);
        if due >= end {
            break;
        }
        clock.until(due).await;
        for strike in turn.strikes.clone() {
            let (stage, turns) = (Arc::clone(stage), Arc::clone(&turns));
            striking.spawn(async move {
                clock.until(begun.plus(strike.at.0 + moved)).await;
                let _turn = turns.at(strike.kind).await;
                let begun = clock.now();
                let struck = perform(&stage, strike).await;
                (strike.kind, begun, clock.now(), struck)
            });
        }
        while let Some(struck) = striking.join_next().await {
            match struck {
                Ok((kind, begun, ended, Struck { target, freezes })) => {
                    tell(format!("{begun} to {ended}: {kind} {target}"));
                    let clean = matches!(kind, Kind::RollingRestart | Kind::MovePartitions);
                    faults.push(Fault { kind: kind.to_string(), target, begun, ended, freezes, clean });
                }
                // The other one still mends what it broke.
                Err(error) => {
                    stage.trouble(format!("a fault ended by a panic: {error}"));
                    broken = true;
                }
            }
        }
        if broken {
            // What was broken stays so, and everything else would be its consequence.
            break;
        }
        let planned = turn.strikes.iter().map(|strike| strike.at.0 + strike.lasts * 1_000).max().unwrap_or(0);
        moved = moved.max(clock.now().minus(begun.0).0.saturating_sub(planned));
    }
    clock.until(end).await;
    faults
}

async fn perform(stage: &Stage, strike: Strike) -> Struck {
    let lasts = Duration::from_millis(strike.lasts);
    match strike.kind {
        Kind::KillIngest | Kind::KillDispatcher => processes::kill(stage, strike, lasts).await,
        Kind::FreezeIngest | Kind::FreezeDispatcher => processes::freeze(stage, strike, lasts).await,
        Kind::RollingRestart => processes::rolling_restart(stage).await,
        Kind::MovePartitions => processes::move_partitions(stage).await,
        Kind::Link(network, service) => network::disturb(stage, strike.pick, network, service, lasts).await,
        Kind::KillBrokerNode
        | Kind::RestartBroker
        | Kind::CloseChannels
        | Kind::CloseConnections
        | Kind::MoveLeaders => broker::strike(stage, strike, lasts).await,
        Kind::FlushRedis | Kind::RestartRedis | Kind::FailOverRedis => redis::strike(stage, strike.kind, lasts).await,
        Kind::RestartPostgres | Kind::StopPostgres | Kind::ExhaustPostgres | Kind::FillDisk => {
            postgres::strike(stage, strike.kind, lasts).await
        }
    }
}

/// A place among so many, counted round.
fn place(pick: u64, count: usize) -> usize {
    usize::try_from(pick % count.max(1) as u64).unwrap_or(0)
}

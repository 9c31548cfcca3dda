//! One go of posting, and what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::{System, processes};
use crate::load::{self, Plan, Posted};
use crate::receiver::Arrivals;

/// How long the last delivery may take after the last post.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// How long the machine may take to become quiet, and how often it is looked at.
const REST: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(250);
/// Processor time between two looks below which it is quiet.
const QUIET: Duration = Duration::from_millis(20);

/// The role of this process, which posts and receives.
const BENCH: &str = "load and receiver";

/// What came of it.
pub(crate) struct Run {
    pub(crate) start: Instant,
    pub(crate) posted: Posted,
    pub(crate) arrivals: Arrivals,
    /// Processor time by role, with what is written in the background behind the last delivery.
    pub(crate) cpu: BTreeMap<&'static str, Duration>,
    /// Resident memory of its own processes, at the last arrival.
    pub(crate) memory: u64,
}

impl Run {
    /// Events accepted a second.
    pub(crate) fn accepted(&self) -> f64 {
        self.posted.events as f64 / self.posted.took.as_secs_f64().max(1e-6)
    }

    /// Deliveries a second.
    pub(crate) fn delivered(&self) -> f64 {
        self.arrivals.rate(self.start)
    }
}

impl System {
    /// Posts, waits until all has arrived once and in order, and until the machine is quiet.
    pub(crate) async fn run(&self, plan: Plan) -> Result<Run> {
        let cpu_before = self.cpu();
        let start = Instant::now();
        self.receiver.begin(start, 0);
        let posted = load::post(plan, &self.target, start).await?;
        self.receiver.wait_for(self.target.accepted() * self.scene.urls as u64, PATIENCE).await?;
        let arrivals = self.receiver.arrivals();
        let memory = self.memory();
        self.rest().await;
        let mut cpu = self.cpu();
        for (role, used) in &mut cpu {
            *used = used.saturating_sub(cpu_before.get(role).copied().unwrap_or_default());
        }
        Ok(Run { start, posted, arrivals, cpu, memory })
    }

    fn cpu(&self) -> BTreeMap<&'static str, Duration> {
        let mut cpu = processes::cpu(&self.roles);
        cpu.insert(BENCH, processes::own_cpu());
        cpu
    }

    /// Waits until its processes have little to do, so that the next measurement has the machine to itself.
    pub(crate) async fn rest(&self) {
        let until = Instant::now() + REST;
        let mut before: Duration = self.cpu().values().sum();
        while Instant::now() < until {
            sleep(LOOK).await;
            let now: Duration = self.cpu().values().sum();
            if now.saturating_sub(before) <= QUIET {
                return;
            }
            before = now;
        }
    }
}

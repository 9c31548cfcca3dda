//! Partitions that nobody delivers, by the register of processes: also a process that takes events alone sees when there
//! is none that delivers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntGauge, Registry};
use spectrum_webhook_core::ports::Fleet;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_dispatcher::Clock;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::gauge;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(10);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A process that has said nothing for so long, in milliseconds, holds nothing: it says something every 5 s.
const SILENT: i64 = 20_000;

/// The task that looks; dropping it ends it.
pub(crate) struct Ownership {
    _task: AbortOnDropHandle<()>,
}

impl Ownership {
    /// Registers the gauges and starts to look.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub(crate) fn start(
        registry: &Registry,
        fleet: Arc<dyn Fleet>,
        clock: Clock,
        partitions: u16,
    ) -> prometheus::Result<Self> {
        gauge(registry, "partitions", "Partitions of the deployment.")?.set(i64::from(partitions));
        let help = "Partitions that no process says it delivers, as the register of processes had it last.";
        let unowned = gauge(registry, "partitions_unowned", help)?;
        Ok(Self { _task: AbortOnDropHandle::new(tokio::spawn(look(unowned, fleet, clock, partitions))) })
    }
}

async fn look(unowned: IntGauge, fleet: Arc<dyn Fleet>, clock: Clock, partitions: u16) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Before the first report of this process there is nothing to see.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let since = Millis(clock.now().wall.0.saturating_sub(SILENT));
        match timeout(PATIENCE, fleet.members(since)).await {
            Ok(Ok(members)) => {
                let owned: HashSet<u16> = members.into_iter().flat_map(|member| member.partitions).collect();
                unowned.set((0..partitions).filter(|partition| !owned.contains(partition)).count() as i64);
            }
            Ok(Err(error)) => tracing::debug!(%error, "the register of processes could not be read"),
            Err(_) => tracing::debug!("the register of processes does not answer"),
        }
    }
}

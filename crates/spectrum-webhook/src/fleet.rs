//! What this process says of itself in the register of processes, every few seconds: who it is, which partitions it holds,
//! which services it reaches, which master keys it knows, and what it has counted. Whoever is on call reads it on the
//! dashboard.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use spectrum_webhook_core::ids::OwnerId;
use spectrum_webhook_core::ports::{Counts, Fleet, Member, Reach};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_dispatcher::Clock;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How often it says so.
const EVERY: Duration = Duration::from_secs(5);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Those that are silent for so long are forgotten, in milliseconds: a day.
const FORGOTTEN: i64 = 86_400_000;

/// The partitions that a process holds.
pub(crate) type Partitions = Arc<dyn Fn() -> Vec<u16> + Send + Sync>;

/// The fingerprints of the master keys that a process knows, that which encrypts first.
pub(crate) type Keys = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// What is known of this process.
pub(crate) struct Reported {
    pub(crate) role: &'static str,
    pub(crate) registry: Registry,
    pub(crate) services: Vec<Arc<Reach>>,
    pub(crate) partitions: Partitions,
    pub(crate) keys: Keys,
}

/// The task that says it; dropping it ends it without a word.
pub(crate) struct Reporter {
    fleet: Arc<dyn Fleet>,
    id: OwnerId,
    task: AbortOnDropHandle<()>,
}

impl Reporter {
    /// Says it now, and from now on.
    ///
    /// # Errors
    /// When the register does not answer the first time.
    pub(crate) async fn start(
        fleet: Arc<dyn Fleet>,
        id: OwnerId,
        reported: Reported,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let (host, started_at) = (host(), clock.now().wall);
        report(fleet.as_ref(), (id, &host, started_at), &reported, clock).await?;
        let task = tokio::spawn({
            let fleet = Arc::clone(&fleet);
            async move {
                let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    if let Err(error) = report(fleet.as_ref(), (id, &host, started_at), &reported, clock).await {
                        tracing::debug!(error = %format_args!("{error:#}"), "this process is not in the register");
                    }
                }
            }
        });
        Ok(Self { fleet, id, task: AbortOnDropHandle::new(task) })
    }

    /// Says that it ends in order.
    pub(crate) async fn leave(self) {
        self.task.abort();
        if !matches!(timeout(PATIENCE, self.fleet.leave(self.id)).await, Ok(Ok(()))) {
            tracing::debug!("the register of processes still has this one: it is forgotten by itself");
        }
    }
}

async fn report(
    fleet: &dyn Fleet,
    (id, host, started_at): (OwnerId, &str, Millis),
    reported: &Reported,
    clock: Clock,
) -> anyhow::Result<()> {
    let now = clock.now().wall;
    let services = reported.services.iter().map(|reach| (reach.service().to_owned(), reach.state().err()));
    let member = Member {
        id,
        role: reported.role.to_owned(),
        host: host.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at,
        seen_at: now,
        partitions: (reported.partitions)(),
        services: services.collect(),
        keys: (reported.keys)(),
        counts: counts(&reported.registry),
    };
    let before = Millis(now.0.saturating_sub(FORGOTTEN));
    let answer = timeout(PATIENCE, fleet.report(&member, before)).await;
    Ok(answer.context("the register of processes does not answer")??)
}

/// The host's name, as the kernel has it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.chars().take(64).collect() }
}

/// What was counted, as the metrics have it; what a process does not count is 0.
fn counts(registry: &Registry) -> Counts {
    let families = registry.gather();
    let value = |name: &str| {
        let family = families.iter().find(|family| family.name().strip_prefix("spectrum_webhook_") == Some(name));
        let metric = family.and_then(|family| family.get_metric().first());
        let value = metric.map_or(0.0, |metric| metric.get_counter().get_value().max(metric.get_gauge().get_value()));
        // Counts below 2^53 are whole in it.
        value.max(0.0) as u64
    };
    Counts {
        accepted: value("accepted_total"),
        recovered: value("deliveries_recovered_total"),
        fanned_out: value("deliveries_fanned_out_total"),
        delivered: value("deliveries_delivered_total"),
        dead: value("deliveries_dead_total"),
        dropped: value("deliveries_dropped_total"),
        released: value("deliveries_released_total"),
        pending: value("deliveries_pending"),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounter, IntGauge};

    use super::*;

    #[test]
    fn what_is_counted_is_read_from_the_metrics_and_the_rest_is_0() {
        let registry = Registry::new();
        let counter = IntCounter::new("spectrum_webhook_accepted_total", "a").expect("a name");
        let gauge = IntGauge::new("spectrum_webhook_deliveries_pending", "a").expect("a name");
        registry.register(Box::new(counter.clone())).expect("free");
        registry.register(Box::new(gauge.clone())).expect("free");
        counter.inc_by(7);
        gauge.set(3);
        assert_eq!(counts(&registry), Counts { accepted: 7, pending: 3, ..Counts::default() });
    }
}

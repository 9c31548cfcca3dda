//! What the store holds, counted now and then, never while metrics are asked for; and which services can be reached.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use spectrum_webhook_core::ports::{Reach, Store};
use spectrum_webhook_dispatcher::Clock;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How often it counts.
const EVERY: Duration = Duration::from_secs(15);
/// How long counting may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The task that counts; dropping it ends it.
pub(crate) struct StoreGauges {
    _task: AbortOnDropHandle<()>,
}

struct Gauges {
    backlog: IntGauge,
    set_aside: IntGauge,
    dead_letters: IntGauge,
    quarantine: IntGauge,
    oldest_seconds: IntGauge,
}

impl StoreGauges {
    /// Registers the gauges and starts to count.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub(crate) fn start(registry: &Registry, store: Arc<dyn Store>, clock: Clock) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("spectrum_webhook_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let gauges = Gauges {
            backlog: gauge("store_backlog_deliveries", "Deliveries in backlogs")?,
            set_aside: gauge("store_set_aside_deliveries", "Deliveries set aside")?,
            dead_letters: gauge("store_dead_letters", "Dead letters")?,
            quarantine: gauge("store_quarantined_messages", "Messages that could not be read")?,
            oldest_seconds: gauge("store_oldest_seconds", "Age of the oldest delivery in backlogs and set aside")?,
        };
        Ok(Self { _task: AbortOnDropHandle::new(tokio::spawn(gauges.count(store, clock))) })
    }
}

impl Gauges {
    async fn count(self, store: Arc<dyn Store>, clock: Clock) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match timeout(PATIENCE, store.totals()).await {
                Ok(Ok(totals)) => {
                    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                    self.backlog.set(number(totals.backlog));
                    self.set_aside.set(number(totals.set_aside));
                    self.dead_letters.set(number(totals.dead_letters));
                    self.quarantine.set(number(totals.quarantine));
                    let age = totals.oldest.map_or(0, |oldest| clock.now().wall.0.saturating_sub(oldest.0));
                    self.oldest_seconds.set(age / 1_000);
                }
                Ok(Err(error)) => tracing::warn!(%error, "what the store holds could not be counted"),
                Err(_) => tracing::warn!("counting what the store holds took too long"),
            }
        }
    }
}

/// The services of a cluster as their clients saw them last.
pub(crate) struct ServiceGauges {
    services: Vec<Arc<Reach>>,
    up: IntGaugeVec,
    losses: IntCounterVec,
}

impl ServiceGauges {
    /// Gauges of these services; none embedded.
    ///
    /// # Errors
    /// Never: the names are sound.
    pub(crate) fn new(services: Vec<Arc<Reach>>) -> prometheus::Result<Self> {
        let up = Opts::new("spectrum_webhook_service_up", "Whether a service answers: 1 or 0");
        let losses = Opts::new("spectrum_webhook_service_losses_total", "How often a service stopped answering");
        let label = ["service"];
        Ok(Self { services, up: IntGaugeVec::new(up, &label)?, losses: IntCounterVec::new(losses, &label)? })
    }
}

impl Collector for ServiceGauges {
    fn desc(&self) -> Vec<&Desc> {
        [self.up.desc(), self.losses.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for service in &self.services {
            let label = [service.service()];
            self.up.with_label_values(&label).set(i64::from(service.state().is_ok()));
            let losses = self.losses.with_label_values(&label);
            losses.inc_by(service.losses().saturating_sub(losses.get()));
        }
        [self.up.collect(), self.losses.collect()].concat()
    }
}

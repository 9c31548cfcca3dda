//! What the store holds, counted now and then, never while metrics are asked for. Counting walks over the backlog's
//! index: the longer that takes, the more seldom it is done.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use spectrum_webhook_core::delivery::Fault;
use spectrum_webhook_core::ports::{Store, Totals};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_dispatcher::Clock;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{gauge, number, registered};

/// How often it counts at most.
const EVERY: Duration = Duration::from_secs(15);
/// How much longer it rests than it counted.
const REST: u32 = 20;
/// How long counting may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The task that counts; dropping it ends it.
pub(crate) struct StoreGauges {
    _task: AbortOnDropHandle<()>,
}

struct Gauges {
    backlog: IntGauge,
    set_aside: IntGauge,
    dead_letters: IntGaugeVec,
    quarantine: IntGauge,
    oldest: IntGauge,
    oldest_flowing: IntGauge,
    counted_at: IntGauge,
}

impl StoreGauges {
    /// Registers the gauges and starts to count.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub(crate) fn start(registry: &Registry, store: Arc<dyn Store>, clock: Clock) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| gauge(registry, &format!("store_{name}"), help);
        let letters = Opts::new("spectrum_webhook_store_dead_letters", "Dead letters that are not closed, by fault.");
        let gauges = Gauges {
            backlog: gauge("backlog_deliveries", "Deliveries in backlogs.")?,
            set_aside: gauge("set_aside_deliveries", "Deliveries set aside.")?,
            dead_letters: registered(registry, IntGaugeVec::new(letters, &["fault"])?)?,
            quarantine: gauge("quarantined_messages", "Messages that could not be read.")?,
            oldest: gauge("oldest_seconds", "Age of the oldest delivery in backlogs and set aside.")?,
            oldest_flowing: gauge(
                "oldest_flowing_seconds",
                "Age of the oldest delivery in the backlogs of webhooks that are neither disabled nor in an outage.",
            )?,
            counted_at: gauge("counted_timestamp_seconds", "When these were counted last; 0: not yet.")?,
        };
        gauges.set(&Totals::default(), Millis(0));
        Ok(Self { _task: AbortOnDropHandle::new(tokio::spawn(gauges.count(store, clock))) })
    }
}

impl Gauges {
    async fn count(self, store: Arc<dyn Store>, clock: Clock) {
        loop {
            let began = Instant::now();
            match timeout(PATIENCE, store.totals()).await {
                Ok(Ok(totals)) => self.set(&totals, clock.now().wall),
                Ok(Err(error)) => tracing::warn!(%error, "what the store holds could not be counted"),
                Err(_) => tracing::warn!("counting what the store holds took too long"),
            }
            sleep(EVERY.max(began.elapsed() * REST)).await;
        }
    }

    fn set(&self, totals: &Totals, now: Millis) {
        let age = |oldest: Option<Millis>| oldest.map_or(0, |oldest| now.0.saturating_sub(oldest.0).max(0) / 1_000);
        let letters = |fault: Fault| self.dead_letters.with_label_values(&[fault.code()]);
        self.backlog.set(number(totals.backlog));
        self.set_aside.set(number(totals.set_aside));
        letters(Fault::Platform).set(number(totals.platform_letters));
        letters(Fault::Receiver).set(number(totals.dead_letters.saturating_sub(totals.platform_letters)));
        self.quarantine.set(number(totals.quarantine));
        self.oldest.set(age(totals.oldest));
        self.oldest_flowing.set(age(totals.oldest_flowing));
        self.counted_at.set(now.0 / 1_000);
    }
}

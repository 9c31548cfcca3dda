//! Which services can be reached.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};
use spectrum_webhook_core::ports::Reach;

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
        let up = Opts::new("spectrum_webhook_service_up", "Whether a service answers: 1 or 0.");
        let losses = Opts::new("spectrum_webhook_service_losses_total", "How often a service stopped answering.");
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

//! The dispatcher's counters. Conservation, in deliveries, at any time and over all processes:
//! `recovered + fanned_out = delivered + dead + dropped + released + pending`.

use prometheus::{IntCounter, IntGauge, Registry};

/// Counters and gauges of one process; none has a label whose values are not known beforehand.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) recovered: IntCounter,
    pub(crate) fanned_out: IntCounter,
    pub(crate) delivered: IntCounter,
    pub(crate) dead: IntCounter,
    pub(crate) dropped: IntCounter,
    pub(crate) released: IntCounter,
    pub(crate) pending: IntGauge,
    pub(crate) lanes: IntGauge,
    pub(crate) partitions_held: IntGauge,
    pub(crate) ownerships_lost: IntCounter,
}

impl Metrics {
    /// Makes them and registers them.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("spectrum_webhook_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("spectrum_webhook_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            recovered: counter(
                "deliveries_recovered_total",
                "Deliveries found at rest when a partition was taken over",
            )?,
            fanned_out: counter("deliveries_fanned_out_total", "Deliveries made of accepted events")?,
            delivered: counter("deliveries_delivered_total", "Deliveries that their endpoint took")?,
            dead: counter("deliveries_dead_total", "Deliveries that became dead letters")?,
            dropped: counter("deliveries_dropped_total", "Deliveries dropped with their webhook")?,
            released: counter(
                "deliveries_released_total",
                "Deliveries that were pending when a partition was given up: its next owner recovers or repeats them",
            )?,
            pending: gauge("deliveries_pending", "Deliveries of the partitions held whose way has not ended")?,
            lanes: gauge("lanes", "Lanes in memory")?,
            partitions_held: gauge("partitions_held", "Partitions that this process delivers")?,
            ownerships_lost: counter("partitions_lost_total", "Ownerships that ended by an error")?,
        })
    }
}

//! What is counted at the door.

use std::time::Duration;

use prometheus::{Error, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use crate::problem;

/// The counters of ingest; clones share them.
#[derive(Clone)]
pub struct Metrics {
    accepted: IntCounter,
    duplicates: IntCounter,
    rejected: IntCounterVec,
    seconds: Histogram,
    bypassed: IntCounter,
}

/// Bounds of the histogram, in seconds: a confirmed publish takes a few milliseconds.
const BUCKETS: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl Metrics {
    /// Registers them; an error is a name that is taken.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let counter = |name: &str, help: &str| IntCounter::new(format!("spectrum_webhook_{name}"), help);
        let metrics = Self {
            accepted: counter("accepted_total", "Events that the queue confirmed.")?,
            duplicates: counter("duplicates_total", "Posts that repeated an accepted event.")?,
            rejected: IntCounterVec::new(
                Opts::new("spectrum_webhook_rejected_total", "Posts of events that were refused, by code."),
                &["code"],
            )?,
            seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "spectrum_webhook_accept_seconds",
                    "From the start of a post, or a line of a batch, to its 202.",
                )
                .buckets(BUCKETS.to_vec()),
            )?,
            bypassed: counter(
                "admission_bypassed_total",
                "Events published without duplicate detection, because it was not available.",
            )?,
        };
        // Every code is there from the start, at 0, so that a first one shows as a step.
        for kind in problem::ALL {
            metrics.rejected.with_label_values(&[kind.code]);
        }
        registry.register(Box::new(metrics.accepted.clone()))?;
        registry.register(Box::new(metrics.duplicates.clone()))?;
        registry.register(Box::new(metrics.rejected.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.bypassed.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn accepted(&self, duplicate: bool, took: Duration) {
        if duplicate { &self.duplicates } else { &self.accepted }.inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn rejected(&self, problem: &problem::Problem) {
        self.rejected.with_label_values(&[problem.code()]).inc();
    }

    pub(crate) fn bypassed(&self) {
        self.bypassed.inc();
    }
}

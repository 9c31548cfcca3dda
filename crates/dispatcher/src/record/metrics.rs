//! The attempts' metrics.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Failure};
use spectrum_webhook_core::classify::{Verdict, classify};

/// Counts attempts. Clones count together.
#[derive(Clone)]
pub struct AttemptMetrics {
    delivered: IntCounter,
    retriable: IntCounter,
    fatal: IntCounter,
    failed: IntCounterVec,
    seconds: Histogram,
    unlogged: IntCounter,
}

/// Causes of failure that are a status.
const STATUSES: [&str; 4] = ["status_3xx", "status_4xx", "status_5xx", "status_other"];

/// Why an attempt did not deliver.
fn cause(ended: Ended) -> &'static str {
    match ended {
        Ended::Failed(failure) => failure.code(),
        Ended::Answered { status, .. } => match status {
            300..=399 => STATUSES[0],
            400..=499 => STATUSES[1],
            500..=599 => STATUSES[2],
            _ => STATUSES[3],
        },
    }
}

impl AttemptMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has metrics of these names.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let attempts = IntCounterVec::new(
            Opts::new("spectrum_webhook_attempts_total", "Attempts by what the answer meant."),
            &["outcome"],
        )?;
        let failed = IntCounterVec::new(
            Opts::new("spectrum_webhook_attempts_failed_total", "Attempts that did not deliver, by why."),
            &["cause"],
        )?;
        // From a receiver next door to the attempt's time-out.
        let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let seconds = Histogram::with_opts(
            HistogramOpts::new("spectrum_webhook_attempt_seconds", "How long attempts took.").buckets(buckets),
        )?;
        let unlogged = IntCounter::new(
            "spectrum_webhook_attempts_unlogged_total",
            "Attempts that the delivery log does not have: it was full or the store was down.",
        )?;
        for cause in Failure::ALL.map(Failure::code).into_iter().chain(STATUSES) {
            failed.with_label_values(&[cause]);
        }
        registry.register(Box::new(attempts.clone()))?;
        registry.register(Box::new(failed.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(unlogged.clone()))?;
        Ok(Self {
            delivered: attempts.with_label_values(&["delivered"]),
            retriable: attempts.with_label_values(&["retriable"]),
            fatal: attempts.with_label_values(&["fatal"]),
            failed,
            seconds,
            unlogged,
        })
    }

    pub(super) fn count(&self, attempt: &AttemptRecord) {
        let verdict = classify(attempt.ended);
        match verdict {
            Verdict::Delivered => self.delivered.inc(),
            Verdict::Retriable { .. } => self.retriable.inc(),
            Verdict::Fatal | Verdict::Gone => self.fatal.inc(),
        }
        if verdict != Verdict::Delivered {
            self.failed.with_label_values(&[cause(attempt.ended)]).inc();
        }
        self.seconds.observe(f64::from(attempt.total_ms) / 1_000.0);
    }

    pub(super) fn unlogged(&self, attempts: usize) {
        self.unlogged.inc_by(attempts as u64);
    }
}

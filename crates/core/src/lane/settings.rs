//! The numbers that lanes go by.

use std::time::Duration;

use crate::retry::{Policy, Schedule};

/// The numbers of every lane of a deployment; the defaults are the contract's and the design's.
#[derive(Clone, PartialEq, Debug)]
pub struct LaneSettings {
    /// Attempts of an event before it counts as exhausted.
    pub attempts: u32,
    /// The waits between them.
    pub retry: Schedule,
    /// How old the oldest delivery in memory may be before all of them are held in the backlog, in milliseconds.
    pub hold_after: u64,
    /// Events exhausted in a row that prove an outage.
    pub outage_after: u32,
    /// The waits between the probes of an outage.
    pub probe: Schedule,
    /// How long an outage may last, in milliseconds: the first probe that fails after it disables the webhook.
    pub outage_budget: u64,
    /// How old the events of a disabled webhook's backlog may become, in milliseconds.
    pub keep: u64,
    /// Rows of the backlog that are read at once.
    pub batch: u32,
    /// Order keys of one webhook whose deliveries are tried beside one another, at most.
    pub parallel: usize,
}

impl LaneSettings {
    /// The waits between probes by default: 30 s, doubling, 10 min at most.
    pub fn default_probe() -> Policy {
        Policy { initial: Duration::from_secs(30), factor: 2.0, cap: Duration::from_secs(600), attempts: 1 }
    }
}

impl Default for LaneSettings {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            attempts: policy.attempts,
            retry: Schedule::new(&policy),
            hold_after: 2_000,
            outage_after: 3,
            probe: Schedule::new(&Self::default_probe()),
            outage_budget: 72 * 3_600_000,
            keep: 30 * 24 * 3_600_000,
            batch: 64,
            parallel: 16,
        }
    }
}

//! What can be set, with its defaults and its bounds.

use std::time::Duration;

pub use spectrum_webhook_core::credentials::OperatorToken;

const MIB: usize = 1 << 20;

/// The settings of ingest. Sizes are bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest event.
    pub max_event_size: usize,
    /// The largest batch.
    pub max_batch_size: usize,
    /// How long a repeat of an event is recognised.
    pub idempotency_window: Duration,
    /// The number of partitions of the deployment, as stored at its first start.
    pub partitions: u16,
    /// What an operator posts events with, for any project; `None` lets no operator in.
    pub operator_token: Option<OperatorToken>,
    /// How long the queue may take to confirm an event.
    pub publish_timeout: Duration,
    /// How long a caller may take to send a body.
    pub read_timeout: Duration,
    /// How long a batch may take in all, sending and publishing.
    pub batch_timeout: Duration,
    /// How long a deletion waits for the owner of the partition: longer than the lease of a dead one.
    pub change_patience: Duration,
    /// How long a caller who steers a webhook waits until it is done.
    pub steer_patience: Duration,
    /// The longest time that the deployment gives an attempt: a webhook can ask for less.
    pub attempt_timeout: Duration,
    /// The most events between the end of their reading and their answer.
    pub max_in_flight: usize,
    /// The most bytes of bodies in memory, those still being read included.
    pub max_buffered: usize,
    /// For how long a project's credentials are taken as read, when events are posted. A secret that was replaced
    /// still posts events for so long; a new one does at once.
    pub credentials_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_event_size: MIB,
            max_batch_size: 32 * MIB,
            idempotency_window: Duration::from_secs(3_600),
            partitions: 64,
            operator_token: None,
            publish_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            batch_timeout: Duration::from_secs(300),
            change_patience: Duration::from_secs(20),
            steer_patience: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
            max_in_flight: 1_024,
            max_buffered: 256 * MIB,
            credentials_ttl: Duration::from_secs(5),
        }
    }
}

impl Settings {
    /// Everything that cannot hold, one line each; empty when the settings are good.
    pub fn problems(&self) -> Vec<String> {
        let rules = [
            (self.partitions >= 1, "partitions must be at least 1"),
            ((1..=64 * MIB).contains(&self.max_event_size), "the largest event must be 1 byte to 64 MiB"),
            (
                self.max_batch_size >= self.max_event_size,
                "the largest batch must not be smaller than the largest event",
            ),
            (self.max_buffered >= self.max_event_size, "buffered bytes must not be fewer than the largest event"),
            ((1..=1 << 20).contains(&self.max_in_flight), "events in flight must be 1 to 1048576"),
            (!self.publish_timeout.is_zero(), "the publish time-out must be longer than 0"),
            (!self.read_timeout.is_zero(), "the read time-out must be longer than 0"),
            (self.batch_timeout >= self.read_timeout, "the batch time-out must not be shorter than the read time-out"),
            (!self.change_patience.is_zero(), "the change patience must be longer than 0"),
        ];
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_what_cannot_hold_is_named_all_at_once() {
        assert!(Settings::default().problems().is_empty());
        let bad = Settings { partitions: 0, max_batch_size: 1, max_in_flight: 0, ..Settings::default() };
        assert_eq!(bad.problems().len(), 3);
    }
}

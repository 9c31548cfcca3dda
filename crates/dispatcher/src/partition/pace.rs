//! The pace of a webhook with a rate limit: its attempts start evenly spaced.

use parking_lot::Mutex;
use spectrum_webhook_core::shape::RateLimit;
use tokio::time::{Instant, sleep_until};

/// When the last attempt to a webhook started. A lane has one attempt at a time, so that one at a time waits here, and a
/// check at most beside it.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<Instant>);

impl Default for Pace {
    /// One whose last attempt is not known: it may have started just now, at an owner before this one.
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Pace {
    /// Waits until the next attempt may start.
    pub(crate) async fn wait(&self, limit: Option<RateLimit>) {
        let Some(limit) = limit else { return };
        loop {
            let next = *self.0.lock() + limit.spacing();
            if next <= Instant::now() {
                return;
            }
            sleep_until(next).await;
        }
    }

    /// An attempt starts. It is noted with or without a limit: one that is set later counts from here.
    pub(crate) fn started(&self) {
        *self.0.lock() = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn takes(pace: &Pace, limit: u64) -> Duration {
        let begun = Instant::now();
        pace.wait(RateLimit::new(limit)).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_start_a_fraction_of_a_second_apart_however_long_each_takes() {
        let pace = Pace::default();
        assert_eq!(
            takes(&pace, 4).await,
            Duration::from_millis(250),
            "an owner before this one may have just begun one"
        );
        for attempt in [0, 100, 249] {
            pace.started();
            tokio::time::advance(Duration::from_millis(attempt)).await;
            assert_eq!(takes(&pace, 4).await, Duration::from_millis(250 - attempt));
        }
        pace.started();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(takes(&pace, 4).await, Duration::ZERO, "what it did not use is gone");
        pace.started();
        assert_eq!(takes(&pace, 4).await, Duration::from_millis(250), "and cannot be made up for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_set_later_counts_from_the_last_attempt() {
        let pace = Pace::default();
        let begun = Instant::now();
        pace.wait(None).await;
        pace.started();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(takes(&pace, 1).await, Duration::from_millis(700));
    }
}

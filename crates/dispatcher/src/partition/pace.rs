//! The pace of a webhook with a rate limit: its attempts start evenly spaced.

use parking_lot::Mutex;
use spectrum_webhook_core::shape::RateLimit;
use tokio::time::{Instant, sleep_until};

/// When the last attempt to a webhook started, and whose turn is next.
#[derive(Debug)]
pub(crate) struct Pace {
    last: Mutex<Instant>,
    /// Held by whoever starts next, for with an order of its own for each space, and with checks beside them, several may
    /// want to.
    next: tokio::sync::Mutex<()>,
}

impl Default for Pace {
    /// One whose last attempt is not known: it may have started just now, at an owner before this one.
    fn default() -> Self {
        Self { last: Mutex::new(Instant::now()), next: tokio::sync::Mutex::new(()) }
    }
}

/// The turn to start an attempt. Dropped without that, it is the next one's.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pace: &'a Pace,
    _next: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Turn<'_> {
    /// The attempt starts. It is noted with or without a limit: one that is set later counts from here.
    pub(crate) fn started(self) {
        *self.pace.last.lock() = Instant::now();
    }
}

impl Pace {
    /// Waits until the next attempt may start.
    pub(crate) async fn turn(&self, limit: Option<RateLimit>) -> Turn<'_> {
        let Some(limit) = limit else { return Turn { pace: self, _next: None } };
        let guard = self.next.lock().await;
        loop {
            let next = *self.last.lock() + limit.spacing();
            if next <= Instant::now() {
                return Turn { pace: self, _next: Some(guard) };
            }
            sleep_until(next).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn takes(pace: &Pace, limit: u64) -> Duration {
        let begun = Instant::now();
        drop(pace.turn(RateLimit::new(limit)).await);
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
            pace.turn(None).await.started();
            tokio::time::advance(Duration::from_millis(attempt)).await;
            assert_eq!(takes(&pace, 4).await, Duration::from_millis(250 - attempt));
        }
        pace.turn(None).await.started();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(takes(&pace, 4).await, Duration::ZERO, "what it did not use is gone");
        pace.turn(None).await.started();
        assert_eq!(takes(&pace, 4).await, Duration::from_millis(250), "and cannot be made up for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_set_later_counts_from_the_last_attempt() {
        let pace = Pace::default();
        let begun = Instant::now();
        pace.turn(None).await.started();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(takes(&pace, 1).await, Duration::from_millis(700));
    }

    #[tokio::test(start_paused = true)]
    async fn several_that_wait_at_once_start_one_after_the_other() {
        let (pace, begun) = (Pace::default(), Instant::now());
        let attempt = || async {
            let turn = pace.turn(RateLimit::new(10)).await;
            // For a slot, and for its body.
            tokio::time::sleep(Duration::from_millis(30)).await;
            turn.started();
            begun.elapsed().as_millis()
        };
        let (one, two, three) = tokio::join!(attempt(), attempt(), attempt());
        assert_eq!([one, two, three], [130, 260, 390]);
    }
}

//! The one place that reads clocks: both at once, so that a test can pass its own.

use std::time::{SystemTime, UNIX_EPOCH};

use spectrum_webhook_core::time::{Millis, Mono, Now};
use tokio::time::{Duration, Instant};

/// The process's clocks. The monotonic one is tokio's, so that it can be paused.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock {
    /// One reading.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: Millis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)) }
    }

    /// The monotonic clock alone.
    pub fn mono(&self) -> Mono {
        Mono(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When the monotonic clock shows `mono`, rounded up: a timer that fires early would fire again at once.
    pub fn instant(&self, mono: Mono) -> Instant {
        self.start + Duration::from_millis(mono.0.saturating_add(1))
    }
}

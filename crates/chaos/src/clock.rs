//! The one clock of a run.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::history::At;

/// Time since the run began. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    origin: u64,
}

impl Clock {
    /// A run that begins now.
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), origin: u64::try_from(unix.as_micros()).unwrap_or(0) }
    }

    /// Now.
    pub(crate) fn now(&self) -> At {
        At(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The UNIX time at which it began, in microseconds.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// Waits for a moment; not at all when it has passed.
    pub(crate) async fn until(&self, at: At) {
        tokio::time::sleep_until((self.began + std::time::Duration::from_micros(at.0)).into()).await;
    }
}

//! Time as an argument: nothing in this crate reads a clock.

use serde::{Deserialize, Serialize};

/// Milliseconds since the UNIX epoch, UTC: the form in which time is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

/// Milliseconds of a monotonic clock with an arbitrary start: the form in which a process waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// This moment and `millis` more.
    #[must_use]
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this moment, 0 if that is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One reading of both clocks: one to wait by, one to store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Mono,
    /// The wall clock, which may jump.
    pub wall: Millis,
}

//! How a webhook wants its deliveries.

use std::time::Duration;

use crate::headers::CustomHeaders;
use crate::ordering::Ordering;

/// What a webhook asks for beyond the contract; by default nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    /// Headers beside ours.
    pub headers: CustomHeaders,
    /// How fast attempts may follow one another; `None` is as fast as they are answered.
    pub rate_limit: Option<RateLimit>,
    /// The time of one attempt, if the deployment's is not shorter; `None` is the deployment's.
    pub attempt_timeout: Option<Duration>,
    /// Which events wait for one another.
    pub ordering: Ordering,
}

/// The most attempts a second that a webhook gets: 1 to [`RateLimit::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit(u16);

impl RateLimit {
    /// The greatest limit, in attempts a second.
    pub const MAX: u16 = 1_000;

    /// This many attempts a second; `None` when it is not 1 to [`RateLimit::MAX`].
    pub fn new(per_second: u64) -> Option<Self> {
        u16::try_from(per_second).ok().filter(|limit| (1..=Self::MAX).contains(limit)).map(Self)
    }

    /// Attempts a second.
    pub fn per_second(self) -> u16 {
        self.0
    }

    /// The shortest time from the start of one attempt to the start of the next.
    pub fn spacing(self) -> Duration {
        Duration::from_secs(1).div_f64(f64::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_1_to_1000_a_second_evenly_spaced() {
        assert_eq!([0, 1_001, 65_537, u64::MAX].map(RateLimit::new), [None; 4]);
        for (limit, micros) in [(1, 1_000_000), (3, 333_333), (1_000, 1_000)] {
            let limit = RateLimit::new(limit).expect("a limit");
            assert_eq!(limit.spacing().as_micros(), micros);
        }
    }
}

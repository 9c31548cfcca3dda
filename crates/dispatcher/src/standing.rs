//! What readiness says of the dispatcher: does it deliver its share of the partitions?

use std::time::Duration;

use parking_lot::Mutex;
use spectrum_webhook_core::time::Mono;

/// How long after its last answered heartbeat a dispatcher counts as living, beyond a few of them.
const SILENCE: Duration = Duration::from_secs(2);

/// What the lease keeper found when it looked last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// When a heartbeat was answered last.
    pub(crate) heartbeat: Option<Mono>,
    /// This process's share of the partitions.
    pub(crate) target: usize,
    /// Those that it holds and keeps.
    pub(crate) kept: usize,
    /// Which those are.
    pub(crate) partitions: Vec<u16>,
    /// Those that another process holds.
    pub(crate) elsewhere: usize,
    /// What went wrong last, for people.
    pub(crate) trouble: Option<String>,
}

/// The standing of a dispatcher, shared with whoever asks for it.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    found: Mutex<Found>,
}

impl Standing {
    pub(crate) fn update(&self, update: impl FnOnce(&mut Found)) {
        update(&mut self.found.lock());
    }

    /// The partitions that it holds and keeps.
    pub(crate) fn partitions(&self) -> Vec<u16> {
        self.found.lock().partitions.clone()
    }

    /// `Ok` when its share is consumed, of those partitions that nobody else has.
    pub(crate) fn check(&self, partitions: usize, consuming: i64, every: Duration, now: Mono) -> Result<(), String> {
        let found = self.found.lock().clone();
        let trouble = found.trouble.map_or_else(String::new, |trouble| format!(" ({trouble})"));
        let patience = u64::try_from((every * 3 + SILENCE).as_millis()).unwrap_or(u64::MAX);
        if found.heartbeat.is_none_or(|at| now.since(at) > patience) {
            return Err(format!("the sequence lock does not answer{trouble}"));
        }
        let consuming = usize::try_from(consuming).unwrap_or(0);
        let share = found.target.min(partitions - found.elsewhere.min(partitions)).max(found.kept);
        if consuming < share {
            Err(format!("{consuming} of {share} partitions are delivered{trouble}"))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(1);

    fn standing(target: usize, kept: usize, elsewhere: usize) -> Standing {
        let standing = Standing::default();
        standing.update(|found| {
            *found = Found { heartbeat: Some(Mono(1_000)), target, kept, elsewhere, ..Found::default() };
        });
        standing
    }

    #[test]
    fn a_dispatcher_that_delivers_its_share_is_ready() {
        assert_eq!(standing(32, 32, 0).check(64, 32, EVERY, Mono(1_500)), Ok(()));
    }

    #[test]
    fn one_for_which_the_others_left_less_or_nothing_is_ready() {
        assert_eq!(standing(22, 20, 44).check(64, 20, EVERY, Mono(1_500)), Ok(()));
        assert_eq!(standing(1, 0, 2).check(2, 0, EVERY, Mono(1_500)), Ok(()));
    }

    #[test]
    fn one_that_holds_more_than_it_consumes_is_not() {
        assert!(standing(32, 32, 0).check(64, 31, EVERY, Mono(1_500)).is_err());
    }

    #[test]
    fn one_that_leaves_a_partition_that_nobody_has_is_not() {
        assert!(standing(32, 20, 32).check(64, 20, EVERY, Mono(1_500)).is_err());
    }

    #[test]
    fn one_whose_heartbeat_is_not_answered_is_not() {
        assert!(standing(32, 32, 0).check(64, 32, EVERY, Mono(20_000)).is_err());
        assert!(Standing::default().check(64, 0, EVERY, Mono(0)).is_err());
    }
}

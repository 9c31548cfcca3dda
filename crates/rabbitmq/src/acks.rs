//! Acknowledgements, as few as possible: what is settled waits a little, and goes together.
//!
//! A message that is settled has its marks and rows. So an acknowledgement that a crash takes along costs a look-up of the
//! message when it comes again, and nothing that anyone sees.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::consume::Shared;

/// How long what is settled waits for more. Each acknowledgement is a command in the log of its queue, and most queues take
/// some tens of messages a second: of those a few go together.
const LINGER: Duration = Duration::from_millis(200);

/// Which messages behind one that is not settled are acknowledged, each by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Singly {
    /// Those that were passed over before: what they wait for may take long. The others may soon be of the prefix.
    Old,
    All,
}

/// What came on a channel and is not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Tags that are not settled, taken or not.
    unsettled: BTreeSet<u64>,
    /// Tags that are.
    waiting: BTreeSet<u64>,
    /// The highest of those that were passed over.
    old: u64,
}

impl Settled {
    pub(crate) fn came(&mut self, tag: u64) {
        self.unsettled.insert(tag);
    }

    /// A tag that is not among those that came is none of this channel's, or settled already.
    pub(crate) fn settle(&mut self, tag: u64) {
        if self.unsettled.remove(&tag) {
            self.waiting.insert(tag);
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Tags to acknowledge, each with whether it stands for all before it too.
    pub(crate) fn take(&mut self, singly: Singly) -> Vec<(u64, bool)> {
        let behind = match self.unsettled.first() {
            Some(lowest) => self.waiting.split_off(lowest),
            None => BTreeSet::new(),
        };
        let prefix = std::mem::replace(&mut self.waiting, behind);
        let mut taken: Vec<(u64, bool)> = prefix.last().map(|tag| (*tag, true)).into_iter().collect();
        let past = match singly {
            Singly::All => std::mem::take(&mut self.waiting),
            Singly::Old => {
                let young = self.waiting.split_off(&(self.old + 1));
                std::mem::replace(&mut self.waiting, young)
            }
        };
        taken.extend(past.into_iter().map(|tag| (tag, false)));
        self.old = self.waiting.last().copied().unwrap_or(self.old);
        taken
    }
}

/// Acknowledges what waits on all channels of the process, at the same time, so that it goes out in one write.
pub(crate) struct Acker {
    reminders: Arc<Reminders>,
    _worker: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Reminders {
    /// Channels on which something waits; each is there once.
    channels: Mutex<Vec<Weak<Shared>>>,
    any: Notify,
}

impl Acker {
    pub(crate) fn start() -> Self {
        let reminders = Arc::<Reminders>::default();
        let worker = AbortOnDropHandle::new(tokio::spawn(work(Arc::clone(&reminders))));
        Self { reminders, _worker: worker }
    }

    /// Something waits on a channel that is not among the reminders.
    pub(crate) fn remind(&self, channel: &Arc<Shared>) {
        self.reminders.channels.lock().push(Arc::downgrade(channel));
        self.reminders.any.notify_one();
    }
}

async fn work(reminders: Arc<Reminders>) {
    loop {
        reminders.any.notified().await;
        tokio::time::sleep(LINGER).await;
        let channels = std::mem::take(&mut *reminders.channels.lock());
        let left =
            channels.into_iter().filter(|channel| channel.upgrade().is_some_and(|channel| channel.acknowledge_old()));
        let left: Vec<_> = left.collect();
        if !left.is_empty() {
            reminders.channels.lock().extend(left);
            reminders.any.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn came(count: u64) -> Settled {
        let mut settled = Settled::default();
        (1..=count).for_each(|tag| settled.came(tag));
        settled
    }

    fn settle(settled: &mut Settled, tags: &[u64]) {
        tags.iter().for_each(|tag| settled.settle(*tag));
    }

    #[test]
    fn the_settled_prefix_is_acknowledged_at_once_and_the_rest_singly() {
        let mut settled = came(6);
        settle(&mut settled, &[5, 2, 1]);
        assert_eq!(settled.take(Singly::All), [(2, true), (5, false)]);
        settle(&mut settled, &[2, 5, 9]);
        assert_eq!(settled.take(Singly::All), [], "twice, and another channel's");
        settle(&mut settled, &[3, 4]);
        assert_eq!(settled.take(Singly::All), [(4, true)], "5 is acknowledged already");
        settle(&mut settled, &[6]);
        assert_eq!(settled.take(Singly::All), [(6, true)]);
    }

    #[test]
    fn what_is_behind_a_stuck_one_waits_once_for_it() {
        let mut settled = came(5);
        settle(&mut settled, &[2, 3]);
        assert_eq!(settled.take(Singly::Old), [], "1 may soon be settled");
        settle(&mut settled, &[4]);
        assert_eq!(settled.take(Singly::Old), [(2, false), (3, false)]);
        settle(&mut settled, &[1]);
        assert_eq!(settled.take(Singly::Old), [(4, true)]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Come,
        Settle(u64),
        Take(Singly),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Come),
            4 => (1..40_u64).prop_map(Step::Settle),
            1 => prop_oneof![Just(Singly::Old), Just(Singly::All)].prop_map(Step::Take),
        ]
    }

    proptest! {
        /// As the broker counts: a tag with `multiple` stands for all before it.
        #[test]
        fn whatever_happens_what_is_settled_is_acknowledged_once_and_nothing_else(
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let (mut settled, mut last) = (Settled::default(), 0);
            let (mut unacknowledged, mut done) = (BTreeSet::new(), BTreeSet::new());
            let ends = [Step::Take(Singly::All)];
            for step in steps.into_iter().chain(ends) {
                match step {
                    Step::Come => {
                        last += 1;
                        settled.came(last);
                        unacknowledged.insert(last);
                    }
                    Step::Settle(tag) => {
                        settled.settle(tag);
                        if tag <= last {
                            done.insert(tag);
                        }
                    }
                    Step::Take(singly) => for (tag, multiple) in settled.take(singly) {
                        let from = if multiple { 0 } else { tag };
                        let covered: Vec<u64> = unacknowledged.range(from..=tag).copied().collect();
                        prop_assert!(covered.contains(&tag), "{} is acknowledged twice", tag);
                        for tag in covered {
                            prop_assert!(done.contains(&tag), "{} is not settled", tag);
                            unacknowledged.remove(&tag);
                        }
                    },
                }
            }
            prop_assert!(unacknowledged.is_disjoint(&done));
            prop_assert_eq!(settled.waiting(), 0);
        }
    }
}

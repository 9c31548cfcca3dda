//! What must hold after every step, in release builds too: a broken one stops the partition, not the truth.

use super::state::{Current, Item};
use super::{Health, Lane, Status};
use crate::ordering::Ordering;

/// An invariant that does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a lane's invariant is broken: {0}")]
pub struct Broken(pub &'static str);

impl Lane {
    /// Checks the lane. Its cost is constant but for the order of the (bounded) head.
    pub fn invariants(&self) -> Result<(), Broken> {
        let check = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Broken(what)) };
        let attempting = self.current.values().any(Current::is_attempting);
        let current = || self.current.values().map(|current| &current.item);
        let before = |item: &Item, next: &Item| item.key != next.key || item.sequence < next.sequence;

        check(self.head.iter().all(|item| item.held), "what was read from the backlog has a row")?;
        check(self.tail.front().is_none_or(|item| !item.held), "what came from the queue has no row")?;
        check(current().all(|item| item.held || item.message.is_some()), "a delivery without a row keeps its message")?;
        check(
            self.current.iter().all(|(key, current)| *key == current.item.key),
            "a current delivery is where its key says",
        )?;
        check(
            self.head.iter().zip(self.head.iter().skip(1)).all(|(one, next)| before(one, next)),
            "the head is in order",
        )?;
        let first = [self.head.front(), self.tail.front()];
        check(
            current().all(|item| first.iter().flatten().all(|next| before(item, next))),
            "a current delivery is the first of its key",
        )?;
        check(
            match self.ordering {
                Ordering::Project => self.current.len() <= 1,
                Ordering::Space | Ordering::None => self.current.len() <= self.settings.parallel.max(1),
            },
            "not more is tried at once than may be",
        )?;
        check(self.deferred.is_empty() || (attempting && self.write.is_some()), "only a write defers an end")?;
        check(
            self.fetch.is_none() || !attempting || self.ordering != Ordering::Project,
            "nothing is tried while the next is being read",
        )?;
        check((self.health != Health::Outage) || self.outage.is_some(), "an outage has a beginning")?;
        check(
            self.status != Status::Deleted || self.tail.is_empty() || self.write.is_some(),
            "nothing waits for a deleted webhook but the write in flight",
        )
    }
}

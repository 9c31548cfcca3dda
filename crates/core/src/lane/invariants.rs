//! What must hold after every step, in release builds too: a broken one stops the partition, not the truth.

use super::state::Phase;
use super::{Health, Lane, Status};

/// An invariant that does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a lane's invariant is broken: {0}")]
pub struct Broken(pub &'static str);

impl Lane {
    /// Checks the lane. Its cost is constant but for the order of the (bounded) head.
    pub fn invariants(&self) -> Result<(), Broken> {
        let check = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Broken(what)) };
        let attempting = matches!(self.current.as_ref().map(|current| current.phase), Some(Phase::Attempting(_)));
        let current = self.current.as_ref().map(|current| &current.item);

        check(self.head.iter().all(|item| item.held), "what was read from the backlog has a row")?;
        check(self.tail.front().is_none_or(|item| !item.held), "what came from the queue has no row")?;
        check(
            current.is_none_or(|item| item.held || item.message.is_some()),
            "a delivery without a row keeps its message",
        )?;
        check(
            self.head.iter().zip(self.head.iter().skip(1)).all(|(one, next)| one.sequence < next.sequence),
            "the head is in order",
        )?;
        check(
            match (current, self.head.front().or_else(|| self.tail.front())) {
                (Some(item), Some(next)) => item.sequence < next.sequence,
                _ => true,
            },
            "the current delivery is the first",
        )?;
        check(self.deferred.is_none() || (attempting && self.write.is_some()), "only a write defers an end")?;
        check(self.fetch.is_none() || !attempting, "nothing is tried while the next is being read")?;
        check((self.health != Health::Outage) || self.outage.is_some(), "an outage has a beginning")?;
        check(
            self.status != Status::Deleted || self.tail.is_empty() || self.write.is_some(),
            "nothing waits for a deleted webhook but the write in flight",
        )
    }
}

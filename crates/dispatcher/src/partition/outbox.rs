//! What waits to be written: grouped, so that many lanes share a transaction, and many settled events an
//! acknowledgement.

use spectrum_webhook_core::lane::Ticket;
use spectrum_webhook_core::partition::LaneId;
use spectrum_webhook_core::ports::{Change, Mark, Tag};

/// One lane's write.
#[derive(Clone, Debug)]
pub(crate) struct LaneWrite {
    pub(crate) lane: LaneId,
    pub(crate) ticket: Ticket,
    pub(crate) changes: Vec<Change>,
}

impl LaneWrite {
    /// Whether its outcome must be known for this lane alone.
    fn stands_alone(&self) -> bool {
        self.changes.iter().any(Change::moves_by_rule)
    }
}

/// Changes that one transaction takes at most, give or take one lane's.
const GROUP: usize = 1_000;

/// Writes, marks and acknowledgements that are not on their way yet. Bounded by the window: each stands for a
/// delivery that is not settled, or a row that was read.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    writes: Vec<LaneWrite>,
    marks: Vec<Mark>,
    tags: Vec<Tag>,
}

impl Outbox {
    pub(crate) fn write(&mut self, write: LaneWrite) {
        self.writes.push(write);
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    pub(crate) fn ack(&mut self, tags: Vec<Tag>) {
        self.tags.extend(tags);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.marks.is_empty() && self.tags.is_empty()
    }

    /// The next transaction: writes in the order in which they were asked for.
    pub(crate) fn take_writes(&mut self) -> Vec<LaneWrite> {
        if self.writes.first().is_some_and(LaneWrite::stands_alone) {
            return vec![self.writes.remove(0)];
        }
        let mut changes = 0;
        let end = self
            .writes
            .iter()
            .take_while(|write| {
                let room = changes < GROUP && !write.stands_alone();
                changes += write.changes.len();
                room
            })
            .count();
        self.writes.drain(..end).collect()
    }

    /// The next marks, and the acknowledgements that come after them.
    pub(crate) fn take_settled(&mut self) -> (Vec<Mark>, Vec<Tag>) {
        (std::mem::take(&mut self.marks), std::mem::take(&mut self.tags))
    }

    pub(crate) fn has_settled(&self) -> bool {
        !self.marks.is_empty() || !self.tags.is_empty()
    }
}

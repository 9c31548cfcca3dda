//! The newest messages of a partition, as they were appended: a consumer that keeps up takes them from here, and nothing
//! is read back from the file. One that does not keep up loses nothing: what has no room is in the file.

use std::collections::VecDeque;

use spectrum_webhook_core::ports::Publication;

/// Messages of a partition, at most.
const ROWS: usize = 512;
/// Bytes of their bodies, at most.
const BYTES: usize = 256 << 10;

/// All messages of a partition behind a position.
pub(super) struct Fresh {
    behind: i64,
    rows: VecDeque<(i64, Publication)>,
    bytes: usize,
}

impl Fresh {
    /// None yet behind this position.
    pub(super) fn behind(position: i64) -> Self {
        Self { behind: position, rows: VecDeque::new(), bytes: 0 }
    }

    /// Bytes of bodies.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the partition's next message, which is committed. Without room for it all are left to the file.
    pub(super) fn push(&mut self, position: i64, publication: Publication) {
        let size = publication.message.body.len();
        if self.rows.len() >= ROWS || self.bytes + size > BYTES {
            *self = Self::behind(position);
        } else {
            self.bytes += size;
            self.rows.push_back((position, publication));
        }
    }

    /// Takes the messages behind a position, in order: at most `rows`, and no more after `bytes` of bodies are reached.
    /// The flag says that there are more. `None`: if there is a next one, it is in the file.
    pub(super) fn take(&mut self, behind: i64, rows: usize, bytes: usize) -> Option<(Vec<(i64, Publication)>, bool)> {
        if behind < self.behind {
            return None;
        }
        let mut taken = Vec::new();
        let mut size = 0;
        while taken.len() < rows && size < bytes {
            let Some((position, publication)) = self.rows.pop_front() else { break };
            self.behind = position;
            self.bytes -= publication.message.body.len();
            // Those before have been read from the file.
            if position > behind {
                size += publication.message.body.len();
                taken.push((position, publication));
            }
        }
        let more = !self.rows.is_empty();
        (!taken.is_empty()).then_some((taken, more))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use spectrum_webhook_core::delivery::{Message, Purpose};
    use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion};
    use spectrum_webhook_core::time::Millis;
    use uuid::Uuid;

    use super::*;

    fn publication(size: usize) -> Publication {
        let message = Message {
            id: EventId(Uuid::nil()),
            project: ProjectId(Uuid::nil()),
            event_type: "messages".to_owned(),
            accepted_at: Millis(0),
            registry: RegistryVersion(1),
            traceparent: None,
            purpose: Purpose::Event,
            body: Bytes::from(vec![0; size]),
        };
        Publication { message, again: false, idempotency: None }
    }

    fn positions(taken: Option<(Vec<(i64, Publication)>, bool)>) -> Option<(Vec<i64>, bool)> {
        taken.map(|(rows, more)| (rows.into_iter().map(|(position, _)| position).collect(), more))
    }

    #[test]
    fn they_are_taken_in_order_within_bounds_and_without_those_that_were_read() {
        let mut fresh = Fresh::behind(10);
        (11..=20).for_each(|position| fresh.push(position, publication(100)));
        assert_eq!(positions(fresh.take(9, 10, 1_000)), None, "what is before them is in the file");
        assert_eq!(positions(fresh.take(10, 2, 1_000)), Some((vec![11, 12], true)));
        assert_eq!(positions(fresh.take(14, 10, 150)), Some((vec![15, 16], true)));
        assert_eq!(positions(fresh.take(16, 10, 1_000)), Some((vec![17, 18, 19, 20], false)));
        assert_eq!((positions(fresh.take(20, 10, 1_000)), fresh.bytes()), (None, 0));
        assert_eq!(positions(fresh.take(10, 1, 1_000)), None, "what was taken is taken again from the file");
    }

    #[test]
    fn what_has_no_room_is_left_to_the_file_with_all_before_it() {
        for (size, room) in [(10, ROWS), (BYTES / 4, 4)] {
            let mut fresh = Fresh::behind(0);
            (1..=room as i64 + 2).for_each(|position| fresh.push(position, publication(size)));
            assert_eq!(positions(fresh.take(0, 10, 1_000)), None);
            let last = room as i64 + 1;
            assert_eq!(positions(fresh.take(last - 1, 10, 1_000)), None);
            assert_eq!(positions(fresh.take(last, 10, 1_000)), Some((vec![last + 1], false)));
        }
    }
}

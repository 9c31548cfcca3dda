//! What comes next: from the head, from rows that are read, or from the tail.

use std::collections::BTreeSet;

use super::state::{Fetch, Item, Resume};
use super::{Action, Actions, Lane, Status, Ticket};
use crate::delivery::HeldDelivery;
use crate::ordering::{OrderKey, Ordering, Reading};
use crate::time::Now;

/// Removals in flight beyond which nothing is read: their keys are left out of a read.
const REMOVALS: usize = 64;
/// Deliveries whose attempts are remembered while they wait in the backlog: of those beyond it the count begins where
/// their row has it.
const RESUMED: usize = 64;

/// What comes next.
pub(super) enum Next {
    Item(Item),
    /// It is being read, or must be once what is in flight is done.
    Reading,
    Nothing,
}

impl Lane {
    /// The next delivery whose key is free.
    pub(super) fn take_next(&mut self, out: &mut Actions) -> Next {
        if let Some(place) = self.head.iter().position(|item| self.is_free(item))
            && let Some(item) = self.head.remove(place)
        {
            return Next::Item(item);
        }
        self.read(out);
        // What came later waits for the rows of its key.
        let follows = |item: &Item| self.is_free(item) && !self.beyond.may_hold(item.key);
        if let Some(place) = self.tail.iter().position(follows)
            && let Some(item) = self.tail.remove(place)
        {
            return Next::Item(item);
        }
        if self.beyond.is_nothing() { Next::Nothing } else { Next::Reading }
    }

    /// In an outage one delivery is taken, the first of all, and nothing else is in memory.
    pub(super) fn take_head(&mut self, out: &mut Actions) -> Next {
        if let Some(item) = self.head.pop_front() {
            return Next::Item(item);
        }
        if !self.beyond.is_nothing() {
            if self.may_read() {
                self.fetch(Reading::lowest(1), out);
            }
            return Next::Reading;
        }
        self.tail.pop_front().map_or(Next::Nothing, Next::Item)
    }

    fn is_free(&self, item: &Item) -> bool {
        !self.current.contains_key(&item.key)
    }

    /// A read of all keys begins only when no write or removal of the lane is in flight: it might bring back what was
    /// delivered.
    pub(super) fn may_read(&self) -> bool {
        self.write.is_none() && self.removals.is_empty() && self.fetch.is_none()
    }

    /// Asks for more rows, if there may be some that can be tried. The keys of which something is under way are left out,
    /// and so are those of the head: what is read of a key is its lowest rows.
    fn read(&mut self, out: &mut Actions) {
        if self.beyond.is_nothing() || self.write.is_some() || self.fetch.is_some() {
            return;
        }
        // What waits there for keys that are being tried must not keep out the rows of others.
        let room = self.settings.parallel.saturating_mul(Reading::OF_A_SPACE as usize);
        if self.head.len() >= room.max(self.settings.batch as usize) || self.removals.len() > REMOVALS {
            return;
        }
        let except: BTreeSet<OrderKey> = self
            .current
            .keys()
            .chain(self.removals.values())
            .copied()
            .chain(self.head.iter().map(|item| item.key))
            .collect();
        if self.ordering == Ordering::Project && !except.is_empty() {
            return;
        }
        let Some((after, up_to)) = self.beyond.next(self.ordering, &except) else { return };
        self.fetch(Reading { ordering: self.ordering, after, up_to, except, rows: self.settings.batch }, out);
    }

    fn fetch(&mut self, reading: Reading, out: &mut Actions) {
        let ticket = self.ticket();
        out.push(Action::Fetch { ticket, reading: Box::new(reading.clone()) });
        self.fetch = Some(Fetch { ticket, reading, void: false });
    }

    pub(super) fn void_read(&mut self) {
        if let Some(fetch) = &mut self.fetch {
            fetch.void = true;
        }
    }

    /// Forgets what was read: it is read anew, and what is there beside it.
    pub(super) fn forget_read(&mut self) {
        self.head.clear();
        self.beyond.look_again(self.ordering);
        self.void_read();
    }

    /// Forgets what was read of one key.
    pub(super) fn forget_read_of(&mut self, key: OrderKey) {
        let before = self.head.len();
        self.head.retain(|item| item.key != key);
        if self.head.len() < before {
            self.beyond.add(key);
        }
    }

    pub(super) fn rows(&mut self, now: Now, ticket: Ticket, rows: Vec<HeldDelivery>, more: bool) {
        let Some(Fetch { reading, void, .. }) = self.fetch.take_if(|fetch| fetch.ticket == ticket) else { return };
        // A hold or a return that was sent after the read may not be in it, and would be passed over.
        if void || self.status != Status::Enabled {
            return;
        }
        let ordering = self.ordering;
        let key = |row: &HeldDelivery| ordering.key(row.sequence, row.space);
        if reading.ordering == ordering {
            self.beyond.found(&reading, rows.iter().map(key), more);
        } else if rows.is_empty() {
            self.beyond.clear();
        }
        for row in rows {
            // Kept until it is tried: what is read may be forgotten before.
            let resume = self.resume.get(&row.message.id);
            let (attempts, sent) = resume.map_or((0, false), |resume| (resume.attempts, resume.sent));
            let attempts = row.attempts.max(attempts);
            // Exhausted by an outage that is over, or that a person ended: no evidence against the event.
            let forgiven = self.outage.is_none() && attempts >= self.settings.attempts;
            self.head.push_back(Item {
                event: row.message.id,
                sequence: row.sequence,
                key: key(&row),
                space: Some(row.space),
                attempts,
                before: if forgiven { attempts } else { 0 },
                sent: row.sent || sent,
                held: true,
                arrived: now.mono,
                message: Some(row.message.into()),
            });
        }
    }

    /// Puts a delivery back to where it is read or taken from first.
    pub(super) fn put_back(&mut self, item: Item) {
        if item.held {
            while self.resume.len() >= RESUMED {
                self.resume.pop_first();
            }
            self.resume.insert(item.event, Resume { attempts: item.attempts, sent: item.sent });
            self.forget_read_of(item.key);
            self.beyond.add(item.key);
            // A read that left its row out would say that it is not there.
            if self.fetch.as_ref().is_some_and(|fetch| fetch.reading.except.contains(&item.key)) {
                self.void_read();
            }
        } else {
            let place = self.tail.partition_point(|later| later.sequence < item.sequence);
            self.tail.insert(place, item);
        }
    }
}

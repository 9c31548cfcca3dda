//! A store in memory with the meaning that the port's documentation gives to each change.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::{Command, DeadReason, HeldDelivery, Message, Purpose};
use crate::ids::{EventId, ProjectId, Sequence, WebhookId};
use crate::ordering::{OrderKey, Ordering, Reading};
use crate::ports::{Change, Committed, LaneRecord, RestingLane};
use crate::time::Millis;
use crate::webhook::DisabledReason;

#[derive(Clone, Debug, Default)]
pub(super) struct ModelStore {
    pub(super) backlog: BTreeMap<Sequence, HeldDelivery>,
    pub(super) set_aside: BTreeMap<Sequence, HeldDelivery>,
    pub(super) dead: BTreeMap<EventId, (DeadReason, u32)>,
    pub(super) record: Option<LaneRecord>,
    pub(super) disabled: Option<DisabledReason>,
    /// When a person changed the webhook.
    pub(super) changed: Millis,
    pub(super) highest: Sequence,
    /// What people wanted and was done to the end.
    pub(super) steered: BTreeSet<EventId>,
}

impl ModelStore {
    pub(super) fn has(&self, event: EventId) -> bool {
        self.dead.contains_key(&event)
            || self.backlog.values().chain(self.set_aside.values()).any(|row| row.message.id == event)
    }

    pub(super) fn commit(&mut self, changes: &[Change]) -> Committed {
        let mut committed = Committed::default();
        for change in changes {
            self.apply(change, &mut committed);
        }
        committed
    }

    fn apply(&mut self, change: &Change, committed: &mut Committed) {
        match change {
            Change::Hold { delivery, .. } => {
                self.highest = self.highest.max(delivery.sequence);
                if !self.has(delivery.message.id) {
                    self.backlog.insert(delivery.sequence, HeldDelivery::clone(delivery));
                }
            }
            Change::Remove { key } => {
                take(&mut self.backlog, key.event);
            }
            Change::SetAside { key, attempts, .. } => {
                if let Some(mut row) = take(&mut self.backlog, key.event) {
                    row.attempts = *attempts;
                    row.sent = true;
                    self.set_aside.insert(row.sequence, row);
                }
            }
            Change::Return { .. } => self.backlog.append(&mut self.set_aside),
            Change::Bury { key, reason, attempts, .. } => {
                if take(&mut self.backlog, key.event).is_some() {
                    self.dead.insert(key.event, (*reason, *attempts));
                }
            }
            Change::BurySetAside { .. } => {
                committed.buried += self.set_aside.len() as u64;
                for row in std::mem::take(&mut self.set_aside).into_values() {
                    self.dead.insert(row.message.id, (DeadReason::Poison, row.attempts));
                }
            }
            Change::Lane { record, .. } => self.record = *record,
            Change::Disable { reason, seen, .. } => {
                if self.changed == *seen {
                    self.disabled.get_or_insert(*reason);
                }
            }
            Change::Drop { limit, .. } => {
                self.record = None;
                for _ in 0..*limit {
                    if self.backlog.pop_first().or_else(|| self.set_aside.pop_first()).is_none() {
                        return;
                    }
                    committed.dropped += 1;
                }
                committed.more = true;
            }
            Change::Expire { before, limit, .. } => {
                let old = |rows: &BTreeMap<Sequence, HeldDelivery>| {
                    rows.iter().find(|(_, row)| row.message.accepted_at < *before).map(|(sequence, _)| *sequence)
                };
                for _ in 0..*limit {
                    let (backlog, set_aside) = (old(&self.backlog), old(&self.set_aside));
                    let row = backlog
                        .and_then(|sequence| self.backlog.remove(&sequence))
                        .or_else(|| set_aside.and_then(|sequence| self.set_aside.remove(&sequence)));
                    let Some(row) = row else { return };
                    self.dead.insert(row.message.id, (DeadReason::Expired, row.attempts));
                    committed.buried += 1;
                }
                committed.more = true;
            }
            Change::Steer { message, limit, .. } => self.steer(message, *limit, committed),
        }
    }

    fn steer(&mut self, message: &Message, limit: u32, committed: &mut Committed) {
        let Purpose::Steering(steering) = &message.purpose else { panic!("an order") };
        match &steering.command {
            Command::Resume | Command::Check => {}
            Command::Skip(event) => {
                if let Some(row) = take(&mut self.backlog, *event) {
                    self.dead.insert(*event, (DeadReason::Skipped, row.attempts));
                    committed.buried += 1;
                }
            }
            Command::Drop(until) => {
                for _ in 0..limit {
                    let old = self.backlog.values().find(|row| row.message.accepted_at <= *until);
                    let Some(event) = old.map(|row| row.message.id) else { break };
                    take(&mut self.backlog, event);
                    self.dead.insert(event, (DeadReason::Dropped, 0));
                    committed.dropped += 1;
                }
                committed.more = committed.dropped >= u64::from(limit);
            }
        }
        if !committed.more {
            self.steered.insert(message.id);
        }
    }

    /// The rows that are asked for, and whether there are more.
    pub(super) fn read(&self, reading: &Reading) -> (Vec<HeldDelivery>, bool) {
        let key = |row: &HeldDelivery| reading.ordering.key(row.sequence, row.space);
        let asked = |key: &OrderKey| {
            reading.after.is_none_or(|after| *key > after)
                && reading.up_to.is_none_or(|up_to| *key <= up_to)
                && !reading.except.contains(key)
        };
        let mut of_key: BTreeMap<OrderKey, Vec<&HeldDelivery>> = BTreeMap::new();
        for row in self.backlog.values().filter(|row| asked(&key(row))) {
            of_key.entry(key(row)).or_default().push(row);
        }
        let limit = if reading.ordering == Ordering::Space { Reading::OF_A_SPACE as usize } else { usize::MAX };
        let all = of_key.into_values().flat_map(|rows| rows.into_iter().take(limit));
        let mut rows: Vec<HeldDelivery> = all.take(reading.rows as usize + 1).cloned().collect();
        let more = rows.len() > reading.rows as usize;
        rows.truncate(reading.rows as usize);
        (rows, more)
    }

    pub(super) fn resting(&self, webhook: WebhookId, project: ProjectId) -> RestingLane {
        RestingLane {
            webhook,
            project,
            backlog: self.backlog.len() as u64,
            set_aside: self.set_aside.len() as u64,
            record: self.record,
        }
    }
}

fn take(rows: &mut BTreeMap<Sequence, HeldDelivery>, event: EventId) -> Option<HeldDelivery> {
    let sequence = rows.iter().find(|(_, row)| row.message.id == event).map(|(sequence, _)| *sequence)?;
    rows.remove(&sequence)
}

//! What a lane makes of the end of an attempt, and how it tells a poison event from a URL that is down.
//!
//! An event that used up its attempts is set aside and the next one tried. If a later one is delivered, those set
//! aside were poison: dead letters. If enough in a row fail, or nothing was ever sent, or nothing else is left to try,
//! the URL is down: those set aside go back to the front, nothing is given up, and the head is probed slowly.
//!
//! An outage that began with fewer exhausted events than prove one is interrupted as soon as an event waits that was
//! never tried: a lone poison event would otherwise hold up all that come after it for as long as an outage may last.

use super::state::{ALLOWANCE, Current, Item, Outage, Phase};
use super::step::{count, hold};
use super::{Actions, Fate, Health, Lane, Status};
use crate::attempt::{Ended, Next};
use crate::chance::Chance;
use crate::classify::{Verdict, classify};
use crate::delivery::{DeadReason, DeliveryKey, Fault};
use crate::ids::EventId;
use crate::ordering::OrderKey;
use crate::ports::Change;
use crate::time::{Millis, Now};
use crate::webhook::DisabledReason;

impl Lane {
    pub(super) fn ended(&mut self, now: Now, key: OrderKey, ended: Ended, chance: &mut dyn Chance, out: &mut Actions) {
        let Some(Current { item, probe, seen, .. }) = self.current.remove(&key) else { return };
        self.last = Some(ended.last());
        match classify(ended) {
            Verdict::Delivered => self.delivered(now, item, out),
            _ if self.status == Status::Deleted => {
                // A row goes with the sweep, which counts it.
                if !item.held {
                    count(out, Fate::Dropped, 1);
                    out.push(super::Action::Settle { event: item.event });
                }
            }
            Verdict::Retriable { retry_after } => {
                self.failed(now, (item, probe.then_some(seen)), (ended, retry_after), chance, out);
            }
            Verdict::Fatal => {
                let lasts_too_long = probe && self.lasts_too_long(now);
                let disables = lasts_too_long.then_some((DisabledReason::Outage, seen));
                self.give_up(now, item, disables, chance, out);
            }
            Verdict::Gone => self.give_up(now, item, Some((DisabledReason::Gone, seen)), chance, out),
        }
    }

    fn delivered(&mut self, now: Now, item: Item, out: &mut Actions) {
        count(out, Fate::Delivered, 1);
        self.allowance = self.allowance.saturating_add(1).min(self.settings.parallel);
        let key = self.key(item.event);
        let suspected = self.health != Health::Flowing;
        self.recover();
        if self.set_aside == 0 && !(suspected && self.record.is_some()) {
            if item.held {
                self.remove(item.key, Change::Remove { key }, out);
            } else {
                out.push(super::Action::Settle { event: item.event });
            }
            return;
        }
        // Those set aside become dead letters before this delivery is settled: otherwise a crash in between would
        // leave them waiting for a verdict that was given already.
        let mut changes = Vec::new();
        if self.set_aside > 0 {
            changes.push(Change::BurySetAside { webhook: self.webhook, at: now.wall });
            self.set_aside = 0;
        }
        let mut settles = Vec::new();
        if item.held {
            changes.push(Change::Remove { key });
        } else {
            settles.push(item.event);
        }
        self.commit(changes, settles, 0, out);
    }

    fn failed(
        &mut self,
        now: Now,
        (mut item, probe): (Item, Option<Millis>),
        (ended, retry_after): (Ended, Option<u64>),
        chance: &mut dyn Chance,
        out: &mut Actions,
    ) {
        let first_exhaustion = item.tried().saturating_add(1) == self.settings.attempts;
        item.attempts = item.attempts.saturating_add(1);
        item.sent |= ended.sent();
        self.failing = true;
        self.allowance = ALLOWANCE;
        if self.status == Status::Disabled {
            self.put_back(item);
            return;
        }
        if self.health == Health::Outage {
            self.put_back(item);
            // What was under way when the outage began is no probe of it.
            if let Some(seen) = probe {
                self.probe_failed(now, seen, ended, chance, out);
            }
            return;
        }
        if item.tried() < self.settings.attempts {
            let wait = self.settings.retry.wait(item.tried(), retry_after, chance);
            // A lane that waits keeps no body.
            if item.held {
                item.message = None;
            }
            self.forget_read_of(item.key);
            self.try_at(now.mono.plus(wait), item);
            return;
        }
        if first_exhaustion {
            self.exhausted = self.exhausted.saturating_add(1);
        }
        let proven = self.exhausted >= self.settings.outage_after || !item.sent;
        if !proven && self.others_wait() {
            self.set_aside(now, vec![item], out);
        } else {
            self.begin_outage(now, Some(item), proven, chance, out);
        }
    }

    /// Whether an outage is interrupted and this delivery was exhausted in it. What was never sent is no suspect: it
    /// must arrive before what is behind it does.
    pub(super) fn is_passed_over(&self, item: &Item) -> bool {
        self.health == Health::Suspect && item.tried() >= self.settings.attempts && item.sent
    }

    /// The next delivery was exhausted before this suspicion: it is not tried again before those behind it are.
    pub(super) fn pass_over(&mut self, now: Now, item: Item, chance: &mut dyn Chance, out: &mut Actions) {
        let mut exhausted = vec![item];
        let follows = |lane: &Self, next: &Item| lane.is_passed_over(next) && !lane.current.contains_key(&next.key);
        while self.head.front().is_some_and(|next| follows(self, next)) {
            exhausted.extend(self.head.pop_front());
        }
        if self.others_wait() {
            self.set_aside(now, exhausted, out);
        } else {
            // Those behind the first were read from the backlog, and will be again.
            let first = exhausted.swap_remove(0);
            self.begin_outage(now, Some(first), self.exhausted >= self.settings.outage_after, chance, out);
        }
    }

    fn set_aside(&mut self, now: Now, items: Vec<Item>, out: &mut Actions) {
        let last = self.last.unwrap_or(crate::delivery::LastAttempt::Failed(crate::attempt::Failure::Timeout));
        let mut changes = Vec::new();
        let mut settles = Vec::new();
        for mut item in items {
            if let Some(change) = hold(self.webhook, &mut item) {
                settles.push(item.event);
                changes.push(change);
            }
            let key = self.key(item.event);
            changes.push(Change::SetAside { key, attempts: item.attempts, last, at: now.wall });
            self.set_aside = self.set_aside.saturating_add(1);
        }
        self.health = Health::Suspect;
        self.commit(changes, settles, 0, out);
    }

    /// The URL is down: everything goes back to its place, and nothing is given up. `last` was tried last.
    pub(super) fn begin_outage(
        &mut self,
        now: Now,
        last: Option<Item>,
        proven: bool,
        chance: &mut dyn Chance,
        out: &mut Actions,
    ) {
        let (since, probes) = self.outage.map_or((now.wall, 0), |outage| (outage.since, outage.probes));
        // Those that wait are tried if a probe shows later that the head alone is at fault.
        let fresh = self.others_wait();
        let counted = last.as_ref().and_then(|item| self.count_attempts(now, item));
        if let Some(item) = last {
            self.try_at(now.mono, item);
        }
        let (mut changes, settles) = self.hold_all();
        let returns = self.set_aside > 0 || counted.is_some();
        changes.extend(counted);
        if returns {
            changes.push(Change::Return { webhook: self.webhook });
            self.set_aside = 0;
        }
        self.put_back_waiting();
        self.forget_read();
        self.health = Health::Outage;
        self.failing = true;
        self.schedule_probe(now, Outage { since, probes, proven, fresh, ..NO_PROBE }, chance);
        self.commit(changes, settles, 0, out);
    }

    /// Its row was written before its last attempts: on the way aside and back it learns of them. What was never sent
    /// is not moved that way.
    fn count_attempts(&self, now: Now, item: &Item) -> Option<Change> {
        let last = self.last.filter(|_| item.held && item.sent)?;
        Some(Change::SetAside { key: self.key(item.event), attempts: item.attempts, last, at: now.wall })
    }

    /// Whether the outage is older than one may be.
    fn lasts_too_long(&self, now: Now) -> bool {
        let budget = i64::try_from(self.settings.outage_budget).unwrap_or(i64::MAX);
        self.outage.is_some_and(|outage| now.wall.0 >= outage.since.0.saturating_add(budget))
    }

    fn probe_failed(&mut self, now: Now, seen: Millis, ended: Ended, chance: &mut dyn Chance, out: &mut Actions) {
        let Some(outage) = self.outage else { return };
        if self.lasts_too_long(now) {
            self.disable(now, (DisabledReason::Outage, seen), Vec::new(), Vec::new(), 0, out);
            return;
        }
        // A probe that was sent says that the URL answers again, if badly: the evidence must then be the events'.
        let proven = self.exhausted >= self.settings.outage_after || !ended.sent();
        let probes = outage.probes.saturating_add(1);
        self.schedule_probe(now, Outage { probes, proven, ..outage }, chance);
    }

    fn schedule_probe(&mut self, now: Now, outage: Outage, chance: &mut dyn Chance) {
        let wait = self.settings.probe.wait(outage.probes.saturating_add(1), None, chance);
        let next_wall = Millis(now.wall.0.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX)));
        self.outage = Some(Outage { next: now.mono.plus(wait), next_wall, ..outage });
    }

    /// `disables`: and the webhook, for this reason, if it was not changed since.
    fn give_up(
        &mut self,
        now: Now,
        mut item: Item,
        disables: Option<(DisabledReason, Millis)>,
        chance: &mut dyn Chance,
        out: &mut Actions,
    ) {
        self.failing = true;
        let key = self.key(item.event);
        let mut changes = Vec::new();
        let mut settles = Vec::new();
        if let Some(change) = hold(self.webhook, &mut item) {
            settles.push(item.event);
            changes.push(change);
        }
        changes.push(Change::Bury {
            key,
            reason: DeadReason::Fatal,
            fault: Fault::Receiver,
            attempts: item.attempts.saturating_add(1),
            last: self.last,
            at: now.wall,
        });
        // In an outage the next head has the head's place, and its turn at the next probe.
        if let (Health::Outage, Some(outage)) = (self.health, self.outage) {
            self.forget_read();
            self.schedule_probe(now, outage, chance);
        }
        if let Some(reason) = disables {
            self.disable(now, reason, changes, settles, 1, out);
        } else {
            self.commit(changes, settles, 1, out);
        }
    }

    /// Sends no more until a person enables the webhook again.
    pub(super) fn disable(
        &mut self,
        now: Now,
        (reason, seen): (DisabledReason, Millis),
        mut changes: Vec<Change>,
        settles: Vec<EventId>,
        buries: u64,
        out: &mut Actions,
    ) {
        if self.set_aside > 0 {
            changes.push(Change::Return { webhook: self.webhook });
            self.set_aside = 0;
            self.forget_read();
        }
        changes.push(Change::Disable { webhook: self.webhook, reason, seen, at: now.wall });
        if self.status == Status::Enabled {
            self.status = Status::Disabled;
        }
        self.recover();
        self.commit(changes, settles, buries, out);
    }

    /// What becomes of a delivery whose attempt ended so, as far as it is decided by now: for the delivery log.
    pub fn outlook(&self, now: Now, event: EventId, ended: Ended) -> Next {
        let at = |due: crate::time::Mono| {
            let wait = i64::try_from(due.since(now.mono)).unwrap_or(i64::MAX);
            Millis(now.wall.0.saturating_add(wait))
        };
        let current = self.current.values().find(|current| current.item.event == event);
        match (classify(ended), current, self.outage) {
            (Verdict::Delivered, ..) => Next::Delivered,
            _ if self.status == Status::Deleted => Next::Dropped,
            (Verdict::Fatal | Verdict::Gone, ..) => Next::DeadLetter,
            (_, Some(Current { phase, .. }), _) => match phase {
                Phase::Waiting(due) => Next::Retry(at(*due)),
                // It ended while a write is in flight, which goes first.
                Phase::Attempting(_) => Next::Undecided,
            },
            _ if self.status == Status::Disabled => Next::Disabled,
            (_, _, Some(outage)) if self.health == Health::Outage => Next::Outage(at(outage.next)),
            _ if self.health == Health::Suspect => Next::SetAside,
            _ => Next::Undecided,
        }
    }

    fn key(&self, event: EventId) -> DeliveryKey {
        DeliveryKey { event, webhook: self.webhook }
    }
}

/// An outage whose next probe is still to be scheduled.
const NO_PROBE: Outage = Outage {
    since: Millis(0),
    probes: 0,
    next_wall: Millis(0),
    next: crate::time::Mono(0),
    proven: false,
    fresh: false,
};

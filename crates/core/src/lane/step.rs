//! What a lane does: take in one input, then go as far as it can.

use super::reading::Next;
use super::state::{ALLOWANCE, Current, Item, Outage, Phase, Write};
use super::{Action, Actions, Arrival, AttemptId, Attempted, Class, Fate, Health, Input, Lane, Status, Terms, Ticket};
use crate::chance::Chance;
use crate::delivery::{Command, Purpose};
use crate::ids::EventId;
use crate::ordering::{OrderKey, Ordering, Space};
use crate::ports::{Change, LaneMode, LaneRecord};
use crate::time::{Mono, Now};

/// Rows that one transaction drops or expires: small steps that hold up nobody.
const SWEEP: u32 = 500;
/// How often the backlog of a disabled webhook is looked through for old events.
const EXPIRY_EVERY: u64 = 3_600_000;
/// The wait before an attempt that did not take place is asked for again.
const NOT_STARTED_WAIT: u64 = 1_000;

impl Lane {
    /// Takes in one input and appends what is to be done.
    pub fn step(&mut self, now: Now, input: Input, chance: &mut dyn Chance, out: &mut Actions) {
        self.wall = now.wall;
        match input {
            Input::Deliver(arrival) => self.arrived(now, arrival),
            Input::Attempted { attempt, result } => self.attempted(now, attempt, result, chance, out),
            Input::Wake => {}
            Input::Rows { ticket, rows, more } => self.rows(now, ticket, rows, more),
            Input::Written { ticket, buried, dropped, more } => self.written(ticket, buried, dropped, more, out),
            Input::Steer(order) => self.orders.push_back(order),
            Input::Webhook(Terms { status, ordering, changed }) => {
                self.wanted = ordering;
                self.changed = changed;
                self.webhook_changed(status);
            }
            Input::Relieve => self.relieve = true,
        }
        self.advance(now, chance, out);
    }

    /// When the lane wants an [`Input::Wake`]; `None` when only other inputs can move it.
    pub fn deadline(&self) -> Option<Mono> {
        if self.write.is_some() {
            return None;
        }
        let hold = self.oldest().map(|arrived| arrived.plus(self.settings.hold_after));
        let waits = |current: &Current| match current.phase {
            Phase::Waiting(until) => Some(until),
            Phase::Attempting(_) => None,
        };
        let next = match self.status {
            // What a person wants comes first, and waits for nothing that time brings.
            _ if !self.orders.is_empty() || self.wanted != self.ordering => None,
            Status::Enabled if self.current.is_empty() && self.health == Health::Outage => {
                self.outage.filter(|_| self.may_read()).map(|outage| outage.next)
            }
            Status::Enabled => self.current.values().filter_map(waits).min(),
            Status::Disabled if self.current.is_empty() && self.has_rows() => self.expiry,
            Status::Disabled | Status::Deleted => None,
        };
        [hold, next].into_iter().flatten().min()
    }

    fn arrived(&mut self, now: Now, Arrival { sequence, message }: Arrival) {
        let space = (self.ordering == Ordering::Space).then(|| Space::of(&message.body));
        self.tail.push_back(Item {
            event: message.id,
            sequence,
            key: self.ordering.key(sequence, space.unwrap_or_default()),
            space,
            attempts: 0,
            before: 0,
            sent: false,
            held: false,
            arrived: now.mono,
            message: Some(message),
        });
        if let Some(outage) = &mut self.outage {
            outage.fresh = true;
        }
    }

    fn attempted(
        &mut self,
        now: Now,
        attempt: AttemptId,
        result: Attempted,
        chance: &mut dyn Chance,
        out: &mut Actions,
    ) {
        let mut open = self.current.iter_mut();
        let Some((key, current)) = open.find(|(_, current)| current.phase == Phase::Attempting(attempt)) else {
            return;
        };
        let key = *key;
        match result {
            Attempted::NotStarted => current.phase = Phase::Waiting(now.mono.plus(NOT_STARTED_WAIT)),
            Attempted::Ended(ended) if self.write.is_some() => self.deferred.push_back((key, ended)),
            Attempted::Ended(ended) => self.ended(now, key, ended, chance, out),
        }
    }

    fn written(&mut self, ticket: Ticket, buried: u64, dropped: u64, more: bool, out: &mut Actions) {
        if self.removals.remove(&ticket).is_some() {
            return;
        }
        let Some(write) = self.write.take_if(|write| write.ticket == ticket) else { return };
        out.extend(write.settles.into_iter().map(|event| Action::Settle { event }));
        count(out, Fate::Dead, write.buries.saturating_add(buried));
        count(out, Fate::Dropped, dropped);
        if write.obeys {
            if !more && let Some(order) = self.orders.pop_front() {
                out.push(Action::Settle { event: order.id });
            }
        } else if more {
            match self.status {
                Status::Deleted => self.sweep = true,
                Status::Disabled => self.expiry = Some(Mono(0)),
                Status::Enabled => {}
            }
        }
    }

    fn webhook_changed(&mut self, status: Status) {
        // Read before the webhook was disabled here, or after it was enabled again: once the write is done it is read
        // anew.
        if self.status == status || (status == Status::Enabled && self.is_disabling()) {
            return;
        }
        self.status = status;
        match status {
            // A person switched it on again: what was thought of it before no longer counts.
            Status::Enabled => {
                self.outage = None;
                self.exhausted = 0;
                self.failing = false;
                self.expiry = None;
                self.health = if self.set_aside > 0 { Health::Suspect } else { Health::Flowing };
            }
            Status::Disabled => {}
            Status::Deleted => self.sweep = true,
        }
    }

    /// Goes as far as it can without another input.
    pub(super) fn advance(&mut self, now: Now, chance: &mut dyn Chance, out: &mut Actions) {
        while self.write.is_none() {
            if let Some((key, ended)) = self.deferred.pop_front() {
                self.ended(now, key, ended, chance, out);
                continue;
            }
            let moved = match self.status {
                Status::Deleted => self.drop_all(out),
                _ if !self.orders.is_empty() => self.hold_if_due(now, out) || self.obey(now, out),
                _ if self.wanted != self.ordering => self.hold_if_due(now, out) || self.change_ordering(out),
                Status::Disabled => self.hold_if_due(now, out) || self.rest(now, out),
                Status::Enabled => self.hold_if_due(now, out) || self.go_on(now, chance, out),
            };
            if !moved {
                return;
            }
        }
    }

    /// The webhook is deleted: drop what waits, in small steps, after what is in flight.
    fn drop_all(&mut self, out: &mut Actions) -> bool {
        let waiting = self.take_waiting();
        let dropped: Vec<EventId> =
            waiting.into_iter().chain(self.tail.drain(..)).filter(|item| !item.held).map(|item| item.event).collect();
        count(out, Fate::Dropped, dropped.len() as u64);
        out.extend(dropped.into_iter().map(|event| Action::Settle { event }));
        out.extend(self.orders.drain(..).map(|order| Action::Settle { event: order.id }));
        self.head.clear();
        self.beyond.clear();
        self.health = Health::Flowing;
        self.outage = None;
        self.exhausted = 0;
        self.resume.clear();
        if !self.sweep || !self.current.is_empty() || !self.removals.is_empty() {
            return false;
        }
        self.sweep = false;
        self.set_aside = 0;
        self.record = None;
        self.commit(vec![Change::Drop { webhook: self.webhook, limit: SWEEP }], Vec::new(), 0, out);
        true
    }

    /// Moves all that is in memory and not settled to the backlog, when the oldest of it has waited long enough or
    /// memory is scarce.
    fn hold_if_due(&mut self, now: Now, out: &mut Actions) -> bool {
        let due = self.oldest().is_some_and(|arrived| now.mono >= arrived.plus(self.settings.hold_after));
        let scarce = self.relieve && self.unsettled() > 0;
        if !due && !scarce {
            self.relieve = false;
            return false;
        }
        self.relieve = false;
        let (changes, settles) = self.hold_all();
        self.commit(changes, settles, 0, out);
        true
    }

    /// The rows for all that is not settled, which from here on counts as held.
    pub(super) fn hold_all(&mut self) -> (Vec<Change>, Vec<EventId>) {
        let mut changes = Vec::new();
        let mut settles = Vec::new();
        for current in self.current.values_mut() {
            if let Some(change) = hold(self.webhook, &mut current.item) {
                settles.push(current.item.event);
                changes.push(change);
                if !current.is_attempting() {
                    current.item.message = None;
                }
            }
        }
        for mut item in self.tail.drain(..) {
            if let Some(change) = hold(self.webhook, &mut item) {
                settles.push(item.event);
                changes.push(change);
            }
            self.beyond.add(item.key);
        }
        self.void_read();
        (changes, settles)
    }

    /// The webhook is disabled: put the current delivery back, and look for events that are too old.
    fn rest(&mut self, now: Now, out: &mut Actions) -> bool {
        self.put_back_waiting();
        if !self.current.is_empty() {
            return false;
        }
        if !self.head.is_empty() {
            self.forget_read();
        }
        if !self.has_rows() || self.fetch.is_some() || !self.removals.is_empty() {
            return false;
        }
        if self.expiry.is_some_and(|due| now.mono < due) {
            return false;
        }
        self.expiry = Some(now.mono.plus(EXPIRY_EVERY));
        let keep = i64::try_from(self.settings.keep).unwrap_or(i64::MAX);
        let before = crate::time::Millis(now.wall.0.saturating_sub(keep));
        let change = Change::Expire { webhook: self.webhook, before, at: now.wall, limit: SWEEP };
        self.commit(vec![change], Vec::new(), 0, out);
        true
    }

    /// Does what a person wants, to rows alone: all that is in memory is held first, and read back after. It waits for
    /// the end of the attempt in flight and for rows of delivered ones on their way out, so that nothing is moved of
    /// which the end is not known; nothing else is tried before it is done.
    fn obey(&mut self, now: Now, out: &mut Actions) -> bool {
        if !self.is_at_rest() {
            return false;
        }
        let Some(order) = self.orders.front().cloned() else { return false };
        let (mut changes, settles) = self.hold_all();
        self.put_back_waiting();
        self.forget_read();
        let command = match &order.purpose {
            Purpose::Steering(steering) => Some(steering.command),
            Purpose::Event | Purpose::Directed(_) => None,
        };
        match command {
            Some(Command::Drop(_)) => {
                if self.set_aside > 0 {
                    changes.push(Change::Return { webhook: self.webhook });
                    self.set_aside = 0;
                }
                self.recover();
            }
            Some(Command::Resume) if self.health == Health::Outage => self.recover(),
            _ => {}
        }
        changes.push(Change::Steer { message: order, at: now.wall, limit: SWEEP, outcome: None });
        self.commit(changes, settles, 0, out);
        true
    }

    /// The webhook's events wait for one another otherwise than before: once all that is in memory is held, and no attempt
    /// is under way, the rows are read by their new keys.
    fn change_ordering(&mut self, out: &mut Actions) -> bool {
        if !self.is_at_rest() {
            return false;
        }
        if self.unsettled() > 0 {
            let (changes, settles) = self.hold_all();
            self.commit(changes, settles, 0, out);
            return true;
        }
        self.put_back_waiting();
        self.ordering = self.wanted;
        self.allowance = ALLOWANCE;
        if !self.head.is_empty() || !self.beyond.is_nothing() {
            self.forget_read();
        }
        true
    }

    /// Whether no attempt is under way, and no removal of what was delivered.
    fn is_at_rest(&self) -> bool {
        self.removals.is_empty() && !self.current.values().any(Current::is_attempting)
    }

    fn take_waiting(&mut self) -> Vec<Item> {
        let waiting = self.current.extract_if(.., |_, current| !current.is_attempting());
        waiting.map(|(_, current)| current.item).collect()
    }

    /// Puts back what waits for its next attempt.
    pub(super) fn put_back_waiting(&mut self) {
        for item in self.take_waiting() {
            self.put_back(item);
        }
    }

    /// Whether rows may be waiting that grow old while the webhook is disabled.
    fn has_rows(&self) -> bool {
        !self.beyond.is_nothing() || self.set_aside > 0
    }

    /// The webhook is enabled: try the next deliveries.
    fn go_on(&mut self, now: Now, chance: &mut dyn Chance, out: &mut Actions) -> bool {
        self.attempt_due(now, out);
        if self.health == Health::Outage {
            return self.current.is_empty() && self.go_on_in_outage(now, out);
        }
        if self.is_full() {
            return false;
        }
        if self.record_now() != self.record {
            self.commit(Vec::new(), Vec::new(), 0, out);
            return true;
        }
        match self.take_next(out) {
            Next::Item(item) if self.is_passed_over(&item) => {
                self.pass_over(now, item, chance, out);
                true
            }
            Next::Item(item) => {
                self.try_at(now.mono, item);
                true
            }
            Next::Reading => false,
            // Nothing else is left to try while events are set aside.
            Next::Nothing if self.health == Health::Suspect && self.current.is_empty() => {
                self.begin_outage(now, None, self.exhausted >= self.settings.outage_after, chance, out);
                true
            }
            Next::Nothing => false,
        }
    }

    /// Whether no other delivery may be tried beside those that are.
    fn is_full(&self) -> bool {
        match self.ordering {
            Ordering::Project => !self.current.is_empty(),
            Ordering::Space | Ordering::None => {
                self.current.len() >= self.settings.parallel
                    || self.current.values().filter(|current| current.is_first()).count() >= self.allowance
            }
        }
    }

    /// The delivery's next attempt is due then.
    pub(super) fn try_at(&mut self, due: Mono, item: Item) {
        let probe = self.health == Health::Outage;
        self.resume.remove(&item.event);
        self.current.insert(item.key, Current { item, phase: Phase::Waiting(due), probe, seen: self.changed });
    }

    fn go_on_in_outage(&mut self, now: Now, out: &mut Actions) -> bool {
        let Some(outage) = &mut self.outage else {
            self.health = Health::Flowing;
            return true;
        };
        // Fewer events failed than prove an outage: one that was never tried tells more than another probe.
        if outage.fresh && !outage.proven {
            outage.fresh = false;
            self.health = Health::Suspect;
            self.forget_read();
            return true;
        }
        if self.record_now() != self.record {
            self.commit(Vec::new(), Vec::new(), 0, out);
            return true;
        }
        if self.outage.is_some_and(|outage| now.mono < outage.next) {
            return false;
        }
        match self.take_head(out) {
            Next::Item(item) => {
                self.try_at(now.mono, item);
                true
            }
            Next::Reading => false,
            // Nothing waits any more: nothing is known of the URL either.
            Next::Nothing => {
                self.recover();
                true
            }
        }
    }

    /// Forgets what was thought of the URL.
    pub(super) fn recover(&mut self) {
        self.health = Health::Flowing;
        self.outage = None;
        self.exhausted = 0;
        self.failing = false;
    }

    /// Makes the attempts that are due.
    fn attempt_due(&mut self, now: Now, out: &mut Actions) {
        let due = |current: &Current| matches!(current.phase, Phase::Waiting(until) if now.mono >= until);
        let due: Vec<OrderKey> = self.current.iter().filter(|(_, current)| due(current)).map(|(key, _)| *key).collect();
        for key in due {
            self.attempt(key, out);
        }
    }

    fn attempt(&mut self, key: OrderKey, out: &mut Actions) {
        let attempt = AttemptId(self.ticket().0);
        let class = match (self.health, self.failing) {
            (Health::Outage, _) => Class::Outage,
            (_, true) => Class::Failing,
            (_, false) => Class::Healthy,
        };
        let Some(current) = self.current.get_mut(&key) else { return };
        current.phase = Phase::Attempting(attempt);
        current.seen = self.changed;
        let item = &mut current.item;
        // What has a row needs no second copy here; what has none is needed for a hold.
        let message = if item.held { item.message.take() } else { item.message.clone() };
        out.push(Action::Attempt {
            attempt,
            number: item.attempts.saturating_add(1),
            event: item.event,
            sequence: item.sequence,
            class,
            held: item.held,
            message,
        });
    }

    /// Writes, with whatever changed of the lane's record, and waits for it.
    pub(super) fn commit(&mut self, changes: Vec<Change>, settles: Vec<EventId>, buries: u64, out: &mut Actions) {
        let ticket = self.ticket();
        let mut changes = changes;
        let desired = self.record_now();
        if desired != self.record && self.status != Status::Deleted {
            changes.push(Change::Lane { webhook: self.webhook, record: desired, at: self.wall });
            self.record = desired;
        }
        let disables = changes.iter().any(|change| matches!(change, Change::Disable { .. }));
        let obeys = changes.iter().any(|change| matches!(change, Change::Steer { .. }));
        self.write = Some(Write { ticket, settles, buries, disables, obeys });
        out.push(Action::Write { ticket, changes });
    }

    /// Removes the row of a delivered one; only reads wait for it.
    pub(super) fn remove(&mut self, key: OrderKey, change: Change, out: &mut Actions) {
        let ticket = self.ticket();
        self.removals.insert(ticket, key);
        out.push(Action::Write { ticket, changes: vec![change] });
    }

    fn record_now(&self) -> Option<LaneRecord> {
        let mode = match (self.health, self.outage) {
            (Health::Flowing, _) => return None,
            (_, Some(Outage { since, probes, next_wall, proven, .. })) => {
                LaneMode::Outage { since, probes, next_probe: next_wall, proven }
            }
            (_, None) => LaneMode::Suspect,
        };
        Some(LaneRecord { mode, exhausted: self.exhausted })
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        Ticket(self.tickets)
    }

    /// When the oldest unsettled delivery came.
    fn oldest(&self) -> Option<Mono> {
        if self.status == Status::Deleted {
            return None;
        }
        let current = self.current.values().map(|current| &current.item).filter(|item| !item.held);
        current.chain(self.tail.front()).map(|item| item.arrived).min()
    }

    /// Whether another delivery waits, or is being tried, beside one that is not current any more.
    pub(super) fn others_wait(&self) -> bool {
        !self.head.is_empty() || !self.beyond.is_nothing() || !self.tail.is_empty() || !self.current.is_empty()
    }
}

/// The row of an item that has none; from here on it counts as held.
pub(super) fn hold(webhook: crate::ids::WebhookId, item: &mut Item) -> Option<Change> {
    let row = item.row()?;
    item.held = true;
    Some(Change::Hold { webhook, delivery: Box::new(row) })
}

pub(super) fn count(out: &mut Actions, fate: Fate, deliveries: u64) {
    if deliveries > 0 {
        out.push(Action::Count { fate, deliveries });
    }
}

//! What a lane does: take in one input, then go as far as it can.

use super::state::{Current, Fetch, Item, Outage, Phase, Resume, Write};
use super::{Action, Actions, Arrival, AttemptId, Attempted, Class, Fate, Health, Input, Lane, Status, Ticket};
use crate::chance::Chance;
use crate::delivery::{Command, HeldDelivery, Purpose};
use crate::ids::EventId;
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
            Input::Webhook(status) => self.webhook_changed(status),
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
        let next = match (self.status, &self.current) {
            // What a person wants comes first, and waits for nothing that time brings.
            _ if !self.orders.is_empty() => None,
            (Status::Enabled, Some(Current { phase: Phase::Waiting(until), .. })) => Some(*until),
            (Status::Enabled, None) if self.health == Health::Outage && self.may_read() => {
                self.outage.map(|outage| outage.next)
            }
            (Status::Disabled, None) if self.has_rows() => self.expiry,
            _ => None,
        };
        [hold, next].into_iter().flatten().min()
    }

    fn arrived(&mut self, now: Now, Arrival { sequence, message }: Arrival) {
        self.tail.push_back(Item {
            event: message.id,
            sequence,
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
        let Some(current) = self.current.as_mut().filter(|current| current.phase == Phase::Attempting(attempt)) else {
            return;
        };
        match result {
            Attempted::NotStarted => current.phase = Phase::Waiting(now.mono.plus(NOT_STARTED_WAIT)),
            Attempted::Ended(ended) if self.write.is_some() => self.deferred = Some(ended),
            Attempted::Ended(ended) => self.ended(now, ended, chance, out),
        }
    }

    fn rows(&mut self, now: Now, ticket: Ticket, rows: Vec<HeldDelivery>, more: bool) {
        let Some(fetch) = self.fetch.take_if(|fetch| fetch.ticket == ticket) else { return };
        // A hold or a return that was sent after the read may not be in it, and would be passed over.
        if fetch.void || self.status != Status::Enabled || self.current.is_some() {
            return;
        }
        self.beyond = more;
        self.head = rows
            .into_iter()
            .map(|row| Item {
                event: row.message.id,
                sequence: row.sequence,
                attempts: row.attempts,
                before: 0,
                sent: row.sent,
                held: true,
                arrived: now.mono,
                message: Some(row.message.into()),
            })
            .collect();
        if let (Some(resume), Some(first)) = (self.resume.take(), self.head.front_mut())
            && resume.event == first.event
        {
            first.attempts = first.attempts.max(resume.attempts);
            first.sent |= resume.sent;
        }
        // Exhausted by an outage that is over, or that a person ended: no evidence against the event.
        if self.outage.is_none() {
            for item in &mut self.head {
                item.before = if item.attempts >= self.settings.attempts { item.attempts } else { 0 };
            }
        }
    }

    fn written(&mut self, ticket: Ticket, buried: u64, dropped: u64, more: bool, out: &mut Actions) {
        if self.removals.remove(&ticket) {
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
            if let Some(ended) = self.deferred.take() {
                self.ended(now, ended, chance, out);
                continue;
            }
            let moved = match self.status {
                Status::Deleted => self.drop_all(out),
                _ if !self.orders.is_empty() => self.hold_if_due(now, out) || self.obey(now, out),
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
        let waiting = self.current.take_if(|current| matches!(current.phase, Phase::Waiting(_)));
        let dropped: Vec<EventId> = waiting
            .map(|current| current.item)
            .into_iter()
            .chain(self.tail.drain(..))
            .filter(|item| !item.held)
            .map(|item| item.event)
            .collect();
        count(out, Fate::Dropped, dropped.len() as u64);
        out.extend(dropped.into_iter().map(|event| Action::Settle { event }));
        out.extend(self.orders.drain(..).map(|order| Action::Settle { event: order.id }));
        self.head.clear();
        self.beyond = false;
        self.health = Health::Flowing;
        self.outage = None;
        self.exhausted = 0;
        self.resume = None;
        if !self.sweep || self.current.is_some() || !self.removals.is_empty() {
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
        if let Some(current) = &mut self.current
            && let Some(change) = hold(self.webhook, &mut current.item)
        {
            settles.push(current.item.event);
            changes.push(change);
            if matches!(current.phase, Phase::Waiting(_)) {
                current.item.message = None;
            }
        }
        for mut item in self.tail.drain(..) {
            if let Some(change) = hold(self.webhook, &mut item) {
                settles.push(item.event);
                changes.push(change);
            }
            self.beyond = true;
        }
        self.void_read();
        (changes, settles)
    }

    /// The webhook is disabled: put the current delivery back, and look for events that are too old.
    fn rest(&mut self, now: Now, out: &mut Actions) -> bool {
        if let Some(current) = self.current.take_if(|current| matches!(current.phase, Phase::Waiting(_))) {
            self.put_back(current.item);
        }
        if self.current.is_some() {
            return false;
        }
        if !self.head.is_empty() {
            self.head.clear();
            self.beyond = true;
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
        let attempting = self.current.as_ref().is_some_and(|current| matches!(current.phase, Phase::Attempting(_)));
        if attempting || !self.removals.is_empty() {
            return false;
        }
        let Some(order) = self.orders.front().cloned() else { return false };
        let (mut changes, settles) = self.hold_all();
        if let Some(current) = self.current.take() {
            self.put_back(current.item);
        }
        self.head.clear();
        self.beyond = true;
        self.void_read();
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

    /// Whether rows may be waiting that grow old while the webhook is disabled.
    fn has_rows(&self) -> bool {
        self.beyond || self.set_aside > 0
    }

    /// Puts a delivery back to where it is read or taken from first.
    pub(super) fn put_back(&mut self, mut item: Item) {
        if item.held {
            self.resume = Some(Resume { event: item.event, attempts: item.attempts, sent: item.sent });
            item.message = None;
            self.head.clear();
            self.beyond = true;
        } else {
            self.tail.push_front(item);
        }
    }

    /// The webhook is enabled: try the next delivery.
    fn go_on(&mut self, now: Now, chance: &mut dyn Chance, out: &mut Actions) -> bool {
        if let Some(current) = &self.current {
            if matches!(current.phase, Phase::Waiting(until) if now.mono >= until) {
                self.attempt(out);
            }
            return false;
        }
        if self.health == Health::Outage {
            return self.go_on_in_outage(now, out);
        }
        if self.record_now() != self.record {
            self.commit(Vec::new(), Vec::new(), 0, out);
            return true;
        }
        match self.take_next(self.settings.batch, out) {
            Next::Item(item) if self.is_passed_over(&item) => {
                self.pass_over(now, item, chance, out);
                true
            }
            Next::Item(item) => {
                self.current = Some(Current { item, phase: Phase::Waiting(now.mono) });
                true
            }
            Next::Reading => false,
            // Nothing else is left to try while events are set aside.
            Next::Nothing if self.health == Health::Suspect => {
                self.begin_outage(now, self.exhausted >= self.settings.outage_after, chance, out);
                true
            }
            Next::Nothing => false,
        }
    }

    fn go_on_in_outage(&mut self, now: Now, out: &mut Actions) -> bool {
        let Some(outage) = &mut self.outage else {
            self.health = Health::Flowing;
            return true;
        };
        // Fewer events failed than prove an outage: one that was never tried tells more than another probe.
        if outage.fresh && !outage.proven {
            outage.fresh = false;
            self.head.clear();
            self.beyond = true;
            self.health = Health::Suspect;
            return true;
        }
        if self.record_now() != self.record {
            self.commit(Vec::new(), Vec::new(), 0, out);
            return true;
        }
        let Some(outage) = self.outage.filter(|outage| now.mono >= outage.next) else { return false };
        let budget = i64::try_from(self.settings.outage_budget).unwrap_or(i64::MAX);
        if now.wall.0 >= outage.since.0.saturating_add(budget) {
            self.disable(now, crate::webhook::DisabledReason::Outage, Vec::new(), Vec::new(), 0, out);
            return true;
        }
        match self.take_next(1, out) {
            Next::Item(item) => {
                self.current = Some(Current { item, phase: Phase::Waiting(now.mono) });
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

    fn take_next(&mut self, rows: u32, out: &mut Actions) -> Next {
        if let Some(item) = self.head.pop_front() {
            return Next::Item(item);
        }
        if self.beyond {
            if self.may_read() {
                let ticket = self.ticket();
                self.fetch = Some(Fetch { ticket, void: false });
                out.push(Action::Fetch { ticket, rows });
            }
            return Next::Reading;
        }
        self.tail.pop_front().map_or(Next::Nothing, Next::Item)
    }

    /// A read begins only when no write or removal of the lane is in flight: it might bring back what was delivered.
    fn may_read(&self) -> bool {
        self.write.is_none() && self.removals.is_empty() && self.fetch.is_none()
    }

    pub(super) fn void_read(&mut self) {
        if let Some(fetch) = &mut self.fetch {
            fetch.void = true;
        }
    }

    fn attempt(&mut self, out: &mut Actions) {
        let attempt = AttemptId(self.ticket().0);
        let class = match (self.health, self.failing) {
            (Health::Outage, _) => Class::Outage,
            (_, true) => Class::Failing,
            (_, false) => Class::Healthy,
        };
        let Some(current) = &mut self.current else { return };
        current.phase = Phase::Attempting(attempt);
        let item = &mut current.item;
        // What has a row needs no second copy here; what has none is needed for a hold.
        let message = if item.held { item.message.take() } else { item.message.clone() };
        out.push(Action::Attempt {
            attempt,
            number: item.attempts.saturating_add(1),
            event: item.event,
            sequence: item.sequence,
            class,
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
    pub(super) fn remove(&mut self, change: Change, out: &mut Actions) {
        let ticket = self.ticket();
        self.removals.insert(ticket);
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

    fn ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        Ticket(self.tickets)
    }

    /// When the oldest unsettled delivery came.
    fn oldest(&self) -> Option<Mono> {
        if self.status == Status::Deleted {
            return None;
        }
        let current = self.current.as_ref().map(|current| &current.item).filter(|item| !item.held);
        current.or_else(|| self.tail.front()).map(|item| item.arrived)
    }

    /// Whether another delivery waits behind the current one.
    pub(super) fn others_wait(&self) -> bool {
        !self.head.is_empty() || self.beyond || !self.tail.is_empty()
    }
}

/// What comes next.
enum Next {
    Item(Item),
    /// It is being read, or must be once the writes in flight are done.
    Reading,
    Nothing,
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

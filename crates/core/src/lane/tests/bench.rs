//! A lane with its store and a hand to feed it: what it asks for waits here until the test lets it happen.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::model_store::ModelStore;
use crate::attempt::{Ended, Failure};
use crate::chance::Chance;
use crate::delivery::{HeldDelivery, Message, Purpose};
use crate::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::lane::{
    Action, Arrival, AttemptId, Attempted, Class, Fate, Health, Input, Lane, LaneSettings, Status, Terms, Ticket,
};
use crate::ordering::{Ordering, Reading};
use crate::ports::{Change, Committed};
use crate::time::{Millis, Mono, Now};

/// Always the middle: waits are the schedule's own.
pub(super) struct Middle;

impl Chance for Middle {
    fn next(&mut self) -> u64 {
        1 << 63
    }
}

pub(super) const WEBHOOK: WebhookId = WebhookId(Uuid::from_u128(7));
pub(super) const PROJECT: ProjectId = ProjectId(Uuid::from_u128(8));
/// When the bench's clocks start.
pub(super) const START: i64 = 1_000_000_000_000;

pub(super) fn event(number: u64) -> EventId {
    EventId(Uuid::from_u128(u128::from(number)))
}

pub(super) fn message(number: u64, accepted_at: Millis) -> Message {
    Message {
        id: event(number),
        project: PROJECT,
        event_type: "messages".to_owned(),
        accepted_at,
        registry: RegistryVersion(1),
        traceparent: None,
        purpose: Purpose::Event,
        body: Bytes::from(format!("body {number}")),
    }
}

/// An attempt that the lane asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) attempt: AttemptId,
    pub(super) event: u64,
    pub(super) number: u32,
    pub(super) class: Class,
}

pub(super) struct Bench {
    pub(super) lane: Lane,
    pub(super) now: Now,
    pub(super) store: ModelStore,
    pub(super) settings: Arc<LaneSettings>,
    pub(super) ordering: Ordering,
    /// Asked for and not ended, in that order.
    pub(super) attempts: VecDeque<Asked>,
    /// Asked for and not committed.
    pub(super) writes: VecDeque<(Ticket, Vec<Change>)>,
    /// Asked for and not read.
    pub(super) fetch: Option<(Ticket, Reading)>,
    pub(super) settled: Vec<u64>,
    /// Every attempt: the event.
    pub(super) tried: Vec<u64>,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) dropped: u64,
    /// Events that came.
    pub(super) events: u64,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(LaneSettings::default(), Status::Enabled)
    }

    pub(super) fn with(settings: LaneSettings, status: Status) -> Self {
        Self::ordered(settings, status, Ordering::Project)
    }

    pub(super) fn ordered(settings: LaneSettings, status: Status, ordering: Ordering) -> Self {
        let settings = Arc::new(settings);
        Self {
            lane: Lane::new(WEBHOOK, Terms { status, ordering, changed: Millis(0) }, Arc::clone(&settings)),
            ordering,
            now: Now { mono: Mono(0), wall: Millis(START) },
            store: ModelStore::default(),
            settings,
            attempts: VecDeque::new(),
            writes: VecDeque::new(),
            fetch: None,
            settled: Vec::new(),
            tried: Vec::new(),
            delivered: 0,
            dead: 0,
            dropped: 0,
            events: 0,
        }
    }

    pub(super) fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.lane.step(self.now, input, &mut Middle, &mut actions);
        self.lane.invariants().expect("the invariants hold");
        for action in actions {
            self.perform(action);
        }
        let due = self.lane.deadline();
        assert!(due.is_none_or(|due| due > self.now.mono), "a deadline that has passed would spin: {:?}", self.lane);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Attempt { attempt, number, event, class, message, .. } => {
                assert!(self.attempts.is_empty() || self.ordering != Ordering::Project, "one attempt at a time");
                let row = self.store.backlog.values().find(|row| row.message.id == event);
                assert!(message.is_some() || row.is_some(), "its body is in memory or in the store");
                let asked = Asked { attempt, event: event.0.as_u128() as u64, number, class };
                self.tried.push(asked.event);
                self.attempts.push_back(asked);
            }
            Action::Write { ticket, changes } => self.writes.push_back((ticket, changes)),
            Action::Fetch { ticket, reading } => {
                assert!(self.fetch.is_none(), "one read at a time");
                let project = self.ordering == Ordering::Project;
                assert!(!project || self.writes.is_empty(), "a read begins when no write is in flight");
                self.fetch = Some((ticket, *reading));
            }
            Action::Settle { event } => self.settled.push(event.0.as_u128() as u64),
            Action::Count { fate: Fate::Delivered, deliveries } => self.delivered += deliveries,
            Action::Count { fate: Fate::Dead, deliveries } => self.dead += deliveries,
            Action::Count { fate: Fate::Dropped, deliveries } => self.dropped += deliveries,
        }
    }

    /// The next events come from the queue.
    pub(super) fn deliver(&mut self, events: u64) {
        for _ in 0..events {
            self.events += 1;
            let message = Arc::new(message(self.events, self.now.wall));
            let sequence = Sequence(self.events.cast_signed());
            self.step(Input::Deliver(Arrival { sequence, message }));
        }
    }

    fn terms(&self, status: Status) -> Terms {
        Terms { status, ordering: self.ordering, changed: self.store.changed }
    }

    /// The webhook changed.
    pub(super) fn change(&mut self, status: Status) {
        self.step(Input::Webhook(self.terms(status)));
    }

    /// Time passes, and the lane is woken when it asked for it.
    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.now.mono.plus(millis);
        while let Some(due) = self.lane.deadline().filter(|due| *due <= end) {
            self.advance_to(due.max(self.now.mono));
            self.step(Input::Wake);
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, mono: Mono) {
        self.now.wall.0 += mono.since(self.now.mono).cast_signed();
        self.now.mono = mono;
    }

    /// Lets time pass until the lane acts; the milliseconds that it took.
    pub(super) fn pass_until_woken(&mut self) -> u64 {
        let due = self.lane.deadline().expect("it wants to be woken");
        let waited = due.since(self.now.mono);
        self.pass(waited);
        waited
    }

    /// The attempt that is open.
    pub(super) fn open(&self) -> Asked {
        *self.attempts.front().expect("an attempt is open")
    }

    pub(super) fn ends(&mut self, result: Attempted) {
        let asked = self.attempts.pop_front().expect("an attempt is open");
        self.step(Input::Attempted { attempt: asked.attempt, result });
    }

    pub(super) fn answers(&mut self, status: u16) {
        self.ends(Attempted::Ended(Ended::Answered { status, retry_after: None }));
    }

    pub(super) fn fails(&mut self, failure: Failure) {
        self.ends(Attempted::Ended(Ended::Failed(failure)));
    }

    /// Commits the oldest write and says so.
    pub(super) fn commit(&mut self) -> Vec<Change> {
        let (ticket, changes) = self.writes.pop_front().expect("a write was asked for");
        let committed = self.store.commit(&changes);
        self.reply(ticket, &committed);
        changes
    }

    pub(super) fn reply(&mut self, ticket: Ticket, committed: &Committed) {
        let Committed { buried, dropped, more, .. } = *committed;
        self.step(Input::Written { ticket, buried, dropped, more });
    }

    /// What the read that was asked for finds now.
    pub(super) fn found(&self) -> (Ticket, Vec<HeldDelivery>, bool) {
        let (ticket, reading) = self.fetch.as_ref().expect("a read was asked for");
        let (rows, more) = self.store.read(reading);
        (*ticket, rows, more)
    }

    pub(super) fn read(&mut self) {
        let (ticket, rows, more) = self.found();
        self.fetch = None;
        self.step(Input::Rows { ticket, rows, more });
    }

    /// Commits and reads until the lane asks for neither.
    pub(super) fn settle_down(&mut self) {
        loop {
            if !self.writes.is_empty() {
                self.commit();
            } else if self.fetch.is_some() {
                self.read();
            } else {
                return;
            }
        }
    }

    /// Fails the current event's attempts with a status until none of them is left; commits and reads on the way.
    pub(super) fn exhaust(&mut self, status: u16) {
        let event = self.open().event;
        for _ in 0..self.settings.attempts {
            self.settle_down();
            while self.attempts.is_empty() {
                self.pass_until_woken();
                self.settle_down();
            }
            assert_eq!(self.open().event, event);
            self.answers(status);
        }
        self.settle_down();
    }

    /// The same, when some of its attempts have failed already.
    pub(super) fn exhaust_rest(&mut self, status: u16) {
        self.settle_down();
        while self.attempts.is_empty() {
            self.pass_until_woken();
            self.settle_down();
        }
        let event = self.open().event;
        while self.attempts.front().is_none_or(|asked| asked.event == event) {
            if !self.attempts.is_empty() {
                self.answers(status);
            } else {
                self.pass_until_woken();
            }
            self.settle_down();
        }
    }

    /// How many writes were asked for and are not committed.
    pub(super) fn open_write(&self) -> usize {
        self.writes.len()
    }

    /// Answers everything that is tried with 200 until the lane has no more.
    pub(super) fn flow(&mut self) {
        self.settle_down();
        while !self.attempts.is_empty() {
            self.answers(200);
            self.settle_down();
        }
    }

    /// Another owner takes the lane over; what was in flight is lost.
    pub(super) fn restart(&mut self, status: Status) {
        self.attempts.clear();
        self.fetch = None;
        self.writes.clear();
        let resting = self.store.resting(WEBHOOK, PROJECT);
        self.lane = Lane::resting(&resting, self.terms(status), Arc::clone(&self.settings), self.now);
        self.step(Input::Wake);
    }

    pub(super) fn health(&self) -> Health {
        self.lane.health()
    }

    pub(super) fn backlog(&self) -> Vec<u64> {
        numbers(self.store.backlog.values())
    }

    pub(super) fn set_aside(&self) -> Vec<u64> {
        numbers(self.store.set_aside.values())
    }

    pub(super) fn dead_letters(&self) -> Vec<u64> {
        self.store.dead.keys().map(|event| event.0.as_u128() as u64).collect()
    }
}

fn numbers<'a>(rows: impl Iterator<Item = &'a HeldDelivery>) -> Vec<u64> {
    rows.map(|row| row.message.id.0.as_u128() as u64).collect()
}

//! Random histories: whatever comes in whatever order, nothing is lost, nothing is swapped, and the counts add up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::bench::{PROJECT, START, WEBHOOK, message};
use super::model_store::ModelStore;
use crate::attempt::{Ended, Failure};
use crate::chance::Seeded;
use crate::delivery::{Command, HeldDelivery, Message, Purpose, Steering};
use crate::ids::{EventId, Sequence};
use crate::lane::{
    Action, Arrival, AttemptId, Attempted, Fate, Health, Input, Lane, LaneSettings, Status, Terms, Ticket,
};
use crate::ordering::{Ordering, Reading};
use crate::ports::{Change, Committed};
use crate::retry::{Policy, Schedule};
use crate::time::{Millis, Mono, Now};

/// Events come of so many spaces, in turn.
const SPACES: u64 = 3;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// So many events come.
    Deliver(u8),
    /// The open attempt ends that so many were asked for before.
    End(Outcome, u8),
    /// The oldest write is committed; its caller does not know yet.
    Commit,
    /// The oldest committed write is answered.
    Reply,
    /// The read takes place; its rows are on their way.
    Read,
    /// The rows arrive.
    Rows,
    /// So many milliseconds pass, with wakes on the way.
    Pass(u16),
    /// The process ends; another takes over.
    Crash,
    /// Somebody changes the webhook.
    Change(Status),
    /// Somebody changes which of its events wait for one another.
    Order(Ordering),
    /// A person wants something of the lane.
    Steer(Wish),
    /// Memory is scarce.
    Relieve,
    /// Replies that nobody waits for.
    Stale,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Resume,
    /// The one so many places behind the oldest that is not settled.
    Skip(u8),
    Drop,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Ok,
    Busy,
    Bad,
    Gone,
    Refused,
    TimedOut,
    NotStarted,
}

impl Outcome {
    fn result(self) -> Attempted {
        let answered = |status| Attempted::Ended(Ended::Answered { status, retry_after: None });
        match self {
            Self::Ok => answered(200),
            Self::Busy => Attempted::Ended(Ended::Answered { status: 503, retry_after: Some(700) }),
            Self::Bad => answered(400),
            Self::Gone => answered(410),
            Self::Refused => Attempted::Ended(Ended::Failed(Failure::Connect)),
            Self::TimedOut => Attempted::Ended(Ended::Failed(Failure::Timeout)),
            Self::NotStarted => Attempted::NotStarted,
        }
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Ok),
        8 => Just(Outcome::Busy),
        1 => Just(Outcome::Bad),
        1 => Just(Outcome::Gone),
        3 => Just(Outcome::Refused),
        3 => Just(Outcome::TimedOut),
        1 => Just(Outcome::NotStarted),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1..4_u8).prop_map(Happening::Deliver),
        12 => (outcome(), 0..4_u8).prop_map(|(outcome, before)| Happening::End(outcome, before)),
        8 => Just(Happening::Commit),
        8 => Just(Happening::Reply),
        6 => Just(Happening::Read),
        6 => Just(Happening::Rows),
        10 => (1..3_000_u16).prop_map(Happening::Pass),
        1 => Just(Happening::Crash),
        1 => Just(Happening::Change(Status::Enabled)),
        1 => Just(Happening::Change(Status::Disabled)),
        1 => (0..3_usize).prop_map(|ordering| Happening::Order(Ordering::ALL[ordering])),
        1 => Just(Happening::Steer(Wish::Resume)),
        1 => (0..6_u8).prop_map(|behind| Happening::Steer(Wish::Skip(behind))),
        1 => Just(Happening::Steer(Wish::Drop)),
        1 => Just(Happening::Relieve),
        1 => Just(Happening::Stale),
    ]
}

/// Small numbers, so that everything happens often.
fn settings() -> LaneSettings {
    let retry =
        Policy { initial: Duration::from_millis(100), factor: 3.0, cap: Duration::from_millis(800), attempts: 3 };
    let probe = Policy { initial: Duration::from_millis(900), factor: 2.0, cap: Duration::from_secs(3), attempts: 1 };
    LaneSettings {
        attempts: 3,
        retry: Schedule::new(&retry),
        hold_after: 500,
        outage_after: 2,
        probe: Schedule::new(&probe),
        outage_budget: 20_000,
        keep: 60_000,
        batch: 3,
        parallel: 3,
    }
}

/// A write on its way.
#[derive(Debug)]
struct Written {
    ticket: Ticket,
    changes: Vec<Change>,
    committed: Option<Committed>,
}

struct World {
    lane: Lane,
    settings: Arc<LaneSettings>,
    chance: Seeded,
    now: Now,
    store: ModelStore,
    /// What the store says, which a change by hand makes differ from what the lane was told.
    deleted: bool,
    attempts: VecDeque<(AttemptId, u64)>,
    writes: VecDeque<Written>,
    fetch: Option<(Ticket, Reading)>,
    rows: Option<(Ticket, Vec<HeldDelivery>, bool)>,
    /// The queue: events that are not settled, in order.
    queue: BTreeMap<u64, Arc<Message>>,
    sequence: i64,
    events: u64,
    ordering: Ordering,
    /// It was this at some time.
    was: BTreeSet<&'static str>,
    /// The latest event that was sent, of each key of what was always promised.
    newest_sent: BTreeMap<i64, u64>,
    sent: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    /// Those of the numbers that are a person's orders, not events.
    orders: BTreeSet<u64>,
    /// Deliveries dropped with the webhook, by number or by rule.
    dropped: u64,
    /// Since the last crash.
    fanned_out: u64,
    ended: u64,
}

impl World {
    fn new(seed: u64, ordering: Ordering) -> Self {
        let settings = Arc::new(settings());
        Self {
            lane: Lane::new(
                WEBHOOK,
                Terms { status: Status::Enabled, ordering, changed: Millis(0) },
                Arc::clone(&settings),
            ),
            ordering,
            was: BTreeSet::from([ordering.code()]),
            settings,
            chance: Seeded::new(seed),
            now: Now { mono: Mono(0), wall: Millis(START) },
            store: ModelStore::default(),
            deleted: false,
            attempts: VecDeque::new(),
            writes: VecDeque::new(),
            fetch: None,
            rows: None,
            queue: BTreeMap::new(),
            sequence: 0,
            events: 0,
            newest_sent: BTreeMap::new(),
            sent: BTreeSet::new(),
            delivered: BTreeSet::new(),
            orders: BTreeSet::new(),
            dropped: 0,
            fanned_out: 0,
            ended: 0,
        }
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.lane.step(self.now, input, &mut self.chance, &mut actions);
        self.lane.invariants().expect("the invariants hold");
        for action in actions {
            self.perform(action);
        }
        let due = self.lane.deadline();
        assert!(due.is_none_or(|due| due > self.now.mono), "a deadline that has passed would spin: {:?}", self.lane);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Attempt { attempt, event, message, .. } => {
                let most = if self.was.contains("project") && self.was.len() == 1 { 1 } else { self.settings.parallel };
                assert!(self.attempts.len() < most, "not more attempts at a time than may be");
                assert!(self.attempts.iter().all(|(_, open)| *open != number(event)), "one attempt of an event");
                assert!(self.writes.iter().all(is_removal), "no attempt while a write is in flight");
                assert!(self.lane.status() == Status::Enabled, "no attempt unless enabled");
                if message.is_none() {
                    assert!(self.store.backlog.values().any(|row| row.message.id == event), "its body can be read");
                }
                self.attempts.push_back((attempt, number(event)));
            }
            Action::Write { ticket, changes } => {
                let blocking = |write: &Written| !is_removal(write);
                let write = Written { ticket, changes, committed: None };
                assert!(!blocking(&write) || !self.writes.iter().any(blocking), "one blocking write at a time");
                self.writes.push_back(write);
            }
            Action::Fetch { ticket, reading } => {
                let except_removals = |write: &Written| reading.ordering != Ordering::Project && is_removal(write);
                assert!(self.writes.iter().all(except_removals), "a read begins when no write is in flight");
                assert!(self.fetch.is_none() && self.rows.is_none(), "one read at a time");
                self.fetch = Some((ticket, *reading));
            }
            Action::Settle { event } => {
                let event = number(event);
                let settled = self.store.has(event_id(event))
                    || self.store.steered.contains(&event_id(event))
                    || self.delivered.contains(&event)
                    || self.deleted;
                assert!(settled, "{event} is settled before it is delivered or its row committed");
                self.queue.remove(&event);
            }
            Action::Count { fate, deliveries } => {
                self.ended += deliveries;
                if fate == Fate::Dropped {
                    self.dropped += deliveries;
                }
            }
        }
    }

    fn happens(&mut self, happening: &Happening) {
        match happening {
            Happening::Deliver(events) => {
                for _ in 0..*events {
                    self.events += 1;
                    let body = Bytes::from(format!(r#"{{"space":{{"id":{}}}}}"#, self.events % SPACES));
                    let message = Arc::new(Message { body, ..message(self.events, self.now.wall) });
                    self.queue.insert(self.events, Arc::clone(&message));
                    self.fan_out(message);
                }
            }
            Happening::End(outcome, before) => self.end(usize::from(*before), outcome.result()),
            Happening::Commit => {
                if let Some(write) = self.writes.iter_mut().find(|write| write.committed.is_none()) {
                    write.committed = Some(self.store.commit(&write.changes));
                }
            }
            Happening::Reply => {
                if let Some(write) = self.writes.pop_front_if(|write| write.committed.is_some()) {
                    let Committed { buried, dropped, more, .. } = write.committed.unwrap_or_default();
                    let disabling = self.lane.is_disabling();
                    self.step(Input::Written { ticket: write.ticket, buried, dropped, more });
                    // As the partition does it: after that the webhook is read anew.
                    if disabling && !self.lane.is_disabling() {
                        self.tell();
                    }
                }
            }
            Happening::Read => {
                if let Some((ticket, reading)) = self.fetch.take() {
                    let (rows, more) = self.store.read(&reading);
                    self.rows = Some((ticket, rows, more));
                }
            }
            Happening::Rows => {
                if let Some((ticket, rows, more)) = self.rows.take() {
                    self.step(Input::Rows { ticket, rows, more });
                }
            }
            Happening::Pass(millis) => self.pass(u64::from(*millis)),
            Happening::Crash => self.crash(),
            Happening::Change(status) => self.change(*status),
            Happening::Order(ordering) => {
                self.ordering = *ordering;
                self.was.insert(ordering.code());
                if !self.lane.is_disabling() {
                    self.tell();
                }
            }
            Happening::Steer(wish) => self.wish(*wish),
            Happening::Relieve => self.step(Input::Relieve),
            Happening::Stale => {
                self.step(Input::Written { ticket: Ticket(u64::MAX), buried: 1, dropped: 1, more: true });
                self.step(Input::Rows { ticket: Ticket(u64::MAX), rows: Vec::new(), more: false });
                self.step(Input::Attempted { attempt: AttemptId(u64::MAX), result: Outcome::Ok.result() });
            }
        }
    }

    fn wish(&mut self, wish: Wish) {
        let mut waiting =
            (1..=self.events).filter(|event| !self.delivered.contains(event) && !self.orders.contains(event));
        let command = match wish {
            Wish::Resume => Command::Resume,
            Wish::Drop => Command::Drop(self.now.wall),
            Wish::Skip(behind) => {
                let Some(event) = waiting.nth(usize::from(behind)) else { return };
                Command::Skip(event_id(event))
            }
        };
        self.events += 1;
        self.orders.insert(self.events);
        let purpose = Purpose::Steering(Box::new(Steering { webhook: WEBHOOK, command, reason: "a test".to_owned() }));
        let order = Arc::new(Message { purpose, ..message(self.events, self.now.wall) });
        self.queue.insert(self.events, Arc::clone(&order));
        self.fan_out(order);
    }

    fn fan_out(&mut self, message: Arc<Message>) {
        if self.orders.contains(&number(message.id)) {
            return self.step(Input::Steer(message));
        }
        self.sequence += 1;
        self.fanned_out += 1;
        let sequence = Sequence(self.sequence);
        self.step(Input::Deliver(Arrival { sequence, message }));
    }

    fn end(&mut self, before: usize, result: Attempted) {
        let last = self.attempts.len().saturating_sub(1);
        let Some((attempt, event)) = self.attempts.remove(before.min(last)) else { return };
        if let Attempted::Ended(ended) = result {
            self.sent(event, ended.sent());
            if matches!(ended, Ended::Answered { status: 200, .. }) {
                self.delivered.insert(event);
            }
        }
        self.step(Input::Attempted { attempt, result });
    }

    fn sent(&mut self, event: u64, sent: bool) {
        if !sent || !self.sent.insert(event) {
            return;
        }
        let key = match () {
            () if self.was.contains("none") => return,
            () if self.was.contains("space") => (event % SPACES).cast_signed(),
            () => 0,
        };
        let newest = self.newest_sent.insert(key, event).unwrap_or(0);
        assert!(event > newest, "{event} arrives first after {newest}");
    }

    fn pass(&mut self, millis: u64) {
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

    /// What was in flight ends unheard: the attempt may have arrived, or the write may have been committed.
    fn crash(&mut self) {
        for (_, event) in std::mem::take(&mut self.attempts) {
            self.sent(event, event % 2 == 0);
        }
        self.writes.clear();
        self.fetch = None;
        self.rows = None;
        let resting = self.store.resting(WEBHOOK, PROJECT);
        self.fanned_out = resting.backlog + resting.set_aside;
        self.ended = 0;
        self.sequence += 1_000_000_000;
        let status = self.status();
        self.lane = Lane::resting(&resting, Terms { status, ..self.terms() }, Arc::clone(&self.settings), self.now);
        self.step(Input::Wake);
        let redelivered: Vec<u64> = self.queue.keys().copied().collect();
        for event in redelivered {
            let Some(message) = self.queue.get(&event).cloned() else { continue };
            if self.store.has(message.id) || self.store.steered.contains(&message.id) {
                self.queue.remove(&event);
            } else {
                self.fan_out(message);
            }
        }
    }

    fn status(&self) -> Status {
        match self.store.disabled {
            _ if self.deleted => Status::Deleted,
            Some(_) => Status::Disabled,
            None => Status::Enabled,
        }
    }

    fn change(&mut self, status: Status) {
        self.store.changed = self.now.wall;
        match status {
            Status::Enabled => self.store.disabled = None,
            Status::Disabled => self.store.disabled = Some(crate::webhook::DisabledReason::Manual),
            Status::Deleted => self.deleted = true,
        }
        // As the partition does it: while the lane disables the webhook itself, nothing that was read counts.
        if !self.lane.is_disabling() {
            self.tell();
        }
    }

    fn terms(&self) -> Terms {
        Terms { status: self.status(), ordering: self.ordering, changed: self.store.changed }
    }

    /// The lane hears of the webhook as it is.
    fn tell(&mut self) {
        self.step(Input::Webhook(self.terms()));
    }

    /// Deliveries that did not end, by the counts and by where they are.
    fn check_conservation(&self) {
        assert!(self.writes.is_empty() && self.attempts.is_empty(), "it is quiet");
        let rests = self.store.backlog.len() + self.store.set_aside.len() + self.lane.unsettled();
        assert_eq!(self.fanned_out - self.ended, rests as u64, "{:?}", self.lane);
    }

    /// The faults are over: the endpoint answers, the webhook is enabled, and time passes.
    fn heal(&mut self) {
        for round in 0.. {
            assert!(round < 2_000, "it must come to rest: {:?}", self.lane);
            if self.store.disabled.is_some() && !self.lane.is_disabling() {
                self.change(Status::Enabled);
            }
            self.happens(&Happening::Commit);
            self.happens(&Happening::Reply);
            self.happens(&Happening::Read);
            self.happens(&Happening::Rows);
            self.end(0, Outcome::Ok.result());
            let quiet = self.attempts.is_empty() && self.writes.is_empty() && self.fetch.is_none();
            if quiet && self.rows.is_none() && self.lane.is_idle() {
                return;
            }
            if quiet {
                self.pass(500);
            }
        }
    }
}

fn number(event: EventId) -> u64 {
    event.0.as_u128() as u64
}

fn event_id(number: u64) -> EventId {
    super::bench::event(number)
}

fn is_removal(write: &Written) -> bool {
    matches!(write.changes[..], [Change::Remove { .. }])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_swapped_whatever_happens(
        seed: u64,
        ordering in 0..3_usize,
        history in proptest::collection::vec(happening(), 1..150),
    ) {
        let mut world = World::new(seed, Ordering::ALL[ordering]);
        for happening in &history {
            world.happens(happening);
        }
        world.heal();
        world.check_conservation();
        prop_assert!(world.queue.is_empty(), "never settled: {:?}", world.queue.keys());
        prop_assert_eq!(world.lane.health(), Health::Flowing);
        prop_assert_eq!(world.store.record, None);
        for event in 1..=world.events {
            let id = event_id(event);
            let order = world.orders.contains(&event);
            let dead = world.store.dead.contains_key(&id);
            prop_assert!(order || dead || world.delivered.contains(&event), "{} is lost", event);
        }
    }

    #[test]
    fn a_deleted_webhook_leaves_nothing_behind_whatever_happened(
        seed: u64,
        ordering in 0..3_usize,
        history in proptest::collection::vec(happening(), 1..100),
        later in proptest::collection::vec(happening(), 0..20),
    ) {
        let mut world = World::new(seed, Ordering::ALL[ordering]);
        for happening in &history {
            world.happens(happening);
        }
        world.deleted = true;
        world.tell();
        let comes = |happening: &Happening| matches!(happening, Happening::Deliver(_) | Happening::Steer(_));
        for happening in later.iter().filter(|happening| !comes(happening)) {
            world.happens(happening);
        }
        for _ in 0..1_000 {
            world.happens(&Happening::Commit);
            world.happens(&Happening::Reply);
            world.happens(&Happening::Read);
            world.happens(&Happening::Rows);
            world.end(0, Outcome::Busy.result());
        }
        world.check_conservation();
        prop_assert!(world.lane.is_idle(), "{:?}", world.lane);
        prop_assert!(world.store.backlog.is_empty() && world.store.set_aside.is_empty());
        prop_assert!(world.queue.is_empty(), "never settled: {:?}", world.queue.keys());
    }
}

//! What a partition does, shown by feeding it. The lanes' own behaviour is shown in `lane::tests`.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Action, Census, Input, LaneId, Partition, PartitionSettings};
use crate::attempt::Ended;
use crate::chance::Seeded;
use crate::delivery::{DeliveryKey, Directed, Message, Purpose};
use crate::ids::{Epoch, EventId, OwnerId, PartitionId, ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::lane::{self, Attempted};
use crate::ports::{Change, Lease, RestingLane, Tag, Takeover};
use crate::shape::Shape;
use crate::time::{Millis, Mono, Now};
use crate::webhook::{DisabledReason, Webhook};

const PROJECT: ProjectId = ProjectId(Uuid::from_u128(1));
const EPOCH: i64 = 5_000_000_000;

fn webhook_id(number: u128) -> WebhookId {
    WebhookId(Uuid::from_u128(1_000 + number))
}

fn lane(number: u128) -> LaneId {
    LaneId { project: PROJECT, webhook: webhook_id(number) }
}

fn webhook(number: u128, added: i64) -> Webhook {
    Webhook {
        id: webhook_id(number),
        project: PROJECT,
        url: format!("https://receiver.example/{number}"),
        disabled: None,
        event_types: None,
        shape: Shape::default(),
        added: RegistryVersion(added),
        created_at: Millis(0),
        updated_at: Millis(0),
    }
}

fn event(number: u64) -> EventId {
    EventId(Uuid::from_u128(u128::from(number)))
}

fn message(number: u64, registry: i64) -> Message {
    Message {
        id: event(number),
        project: PROJECT,
        event_type: "messages".to_owned(),
        accepted_at: Millis(0),
        registry: RegistryVersion(registry),
        traceparent: None,
        purpose: Purpose::Event,
        body: Bytes::from_static(b"ten bytes!"),
    }
}

struct Bench {
    partition: Partition,
    now: Now,
    chance: Seeded,
    /// What it asked for, in order, and the test has not taken.
    actions: Vec<Action>,
    /// Attempts, writes and reads that were not answered.
    lanes: Vec<(LaneId, lane::Action)>,
}

impl Bench {
    fn new() -> Self {
        Self::with(PartitionSettings::default(), Vec::new())
    }

    fn with(settings: PartitionSettings, lanes: Vec<RestingLane>) -> Self {
        let lease = Lease { partition: PartitionId(3), owner: OwnerId(Uuid::from_u128(9)), epoch: Epoch(EPOCH) };
        let takeover = Takeover { highest: Sequence(17), lanes };
        let mut actions = Vec::new();
        let partition = Partition::new(&lease, &takeover, settings, &mut actions);
        let now = Now { mono: Mono(0), wall: Millis(1_000_000) };
        Self { partition, now, chance: Seeded::new(1), actions, lanes: Vec::new() }
    }

    /// One with the project's webhooks 1 to `webhooks` loaded.
    fn loaded(webhooks: u128) -> Self {
        let mut bench = Self::new();
        bench.take(1);
        bench.load(1, (1..=webhooks).map(|number| webhook(number, 1)).collect());
        bench.answer_all(200);
        bench.actions.clear();
        bench
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.partition.step(self.now, input, &mut self.chance, &mut out).expect("the invariants hold");
        for action in out {
            match action {
                Action::Lane(id, action) => self.lanes.push((id, action)),
                action => self.actions.push(action),
            }
        }
        let mut recounted = Census::default();
        let projects = self.partition.projects.values();
        projects.flat_map(|project| project.lanes.values()).for_each(|entry| recounted.came(Census::look(&entry.lane)));
        assert_eq!(self.partition.census(), recounted, "the census is what a walk over all lanes finds");
    }

    fn take_as(&mut self, number: u64, registry: i64, redelivered: bool) {
        let message = Message { accepted_at: self.now.wall, ..message(number, registry) };
        self.step(Input::Took { tag: Tag(number), redelivered, message: Arc::new(message) });
    }

    fn take(&mut self, number: u64) {
        self.take_as(number, 1, false);
    }

    fn load(&mut self, version: i64, webhooks: Vec<Webhook>) {
        self.step(Input::Registry { project: PROJECT, version: RegistryVersion(version), webhooks });
    }

    /// The open attempts: webhook and event.
    fn attempts(&self) -> Vec<(WebhookId, EventId)> {
        let attempt = |(id, action): &(LaneId, lane::Action)| match action {
            lane::Action::Attempt { event, .. } => Some((id.webhook, *event)),
            _ => None,
        };
        self.lanes.iter().filter_map(attempt).collect()
    }

    /// Answers the open attempt of a lane.
    fn answer(&mut self, id: LaneId, status: u16) {
        let is_open =
            |(lane, action): &(LaneId, lane::Action)| *lane == id && matches!(action, lane::Action::Attempt { .. });
        let at = self.lanes.iter().position(is_open).expect("an attempt is open");
        let (_, lane::Action::Attempt { attempt, .. }) = self.lanes.remove(at) else { return };
        let result = Attempted::Ended(Ended::Answered { status, retry_after: None });
        self.step(Input::Lane(id, lane::Input::Attempted { attempt, result }));
    }

    /// Answers attempts until none is open.
    fn answer_all(&mut self, status: u16) {
        while let Some((webhook, _)) = self.attempts().first().copied() {
            self.answer(LaneId { project: PROJECT, webhook }, status);
        }
    }

    /// Takes the next write and says that it is committed.
    fn commit(&mut self) -> Vec<Change> {
        let at = self.lanes.iter().position(|(_, action)| matches!(action, lane::Action::Write { .. }));
        let (id, action) = self.lanes.remove(at.expect("a write was asked for"));
        let lane::Action::Write { ticket, changes } = action else { return Vec::new() };
        self.step(Input::Lane(id, lane::Input::Written { ticket, buried: 0, dropped: 0, more: false }));
        changes
    }

    fn loads(&self) -> usize {
        self.actions.iter().filter(|action| matches!(action, Action::LoadRegistry { .. })).count()
    }

    fn acked(&self) -> Vec<u64> {
        let tags = |action: &Action| match action {
            Action::Ack(tags) => tags.iter().map(|tag| tag.0).collect(),
            _ => Vec::new(),
        };
        self.actions.iter().flat_map(tags).collect()
    }

    fn marked(&self) -> Vec<(WebhookId, bool)> {
        let mark = |action: &Action| match action {
            Action::Mark(mark) => Some((mark.key.webhook, mark.last)),
            _ => None,
        };
        self.actions.iter().filter_map(mark).collect()
    }

    fn confirmed(&self) -> Vec<i64> {
        let version = |action: &Action| match action {
            Action::Confirm { version, .. } => Some(version.0),
            _ => None,
        };
        self.actions.iter().filter_map(version).collect()
    }

    fn looked_up(&self) -> Vec<(u64, Vec<DeliveryKey>)> {
        let look_up = |action: &Action| match action {
            Action::LookUp { number, keys } => Some((*number, keys.clone())),
            _ => None,
        };
        self.actions.iter().filter_map(look_up).collect()
    }
}

#[test]
fn an_event_is_acknowledged_when_all_its_deliveries_are_settled() {
    let mut bench = Bench::loaded(2);
    bench.take(2);
    assert_eq!(bench.attempts().len(), 2);
    bench.answer(lane(2), 200);
    assert_eq!((bench.marked(), bench.acked()), (vec![(webhook_id(2), false)], vec![]));
    bench.answer(lane(1), 200);
    assert_eq!((bench.marked()[1], bench.acked()), ((webhook_id(1), true), vec![2]));
    assert!(matches!(bench.actions.last(), Some(Action::Ack(_))), "after its marks");
    assert_eq!((bench.partition.unacknowledged(), bench.partition.bytes()), (0, 0));
    assert_eq!(bench.partition.counts().pending(), 0);
}

#[test]
fn a_lane_that_hangs_delays_no_other() {
    let mut bench = Bench::loaded(2);
    for number in 2..6 {
        bench.take(number);
    }
    for number in 2..6 {
        assert!(bench.attempts().contains(&(webhook_id(2), event(number))));
        bench.answer(lane(2), 200);
    }
    assert_eq!(bench.attempts(), [(webhook_id(1), event(2))]);
}

#[test]
fn numbers_rise_in_the_queues_order_and_above_every_earlier_one() {
    let mut bench = Bench::loaded(1);
    let mut numbers = Vec::new();
    for number in 2..5 {
        bench.take(number);
        let (_, lane::Action::Attempt { sequence, .. }) = &bench.lanes[0] else { panic!("an attempt") };
        numbers.push(sequence.0);
        bench.answer_all(200);
    }
    assert_eq!(numbers, [EPOCH + 2, EPOCH + 3, EPOCH + 4]);
}

#[test]
fn an_event_for_nobody_is_acknowledged_at_once() {
    let mut bench = Bench::loaded(0);
    bench.take(2);
    assert_eq!(bench.acked(), [2]);
    assert_eq!((bench.partition.unacknowledged(), bench.partition.bytes()), (0, 0));
}

#[test]
fn each_event_is_archived_with_its_number_whoever_takes_it() {
    let mut bench = Bench::loaded(1);
    bench.take(2);
    // A copy that comes while it is here, and one of whose deliveries nobody wants.
    bench.take_as(2, 1, true);
    bench.step(Input::LookedUp { number: 1, settled: Vec::new() });
    bench.load(2, Vec::new());
    bench.take_as(3, 2, false);
    let directed = Directed { webhook: webhook_id(1), event: event(1) };
    let resend = Message { purpose: Purpose::Directed(directed), ..message(4, 1) };
    bench.step(Input::Took { tag: Tag(4), redelivered: false, message: Arc::new(resend) });
    let archived = |action: &Action| match action {
        Action::Archive { sequence, message } => Some((sequence.0 - EPOCH, message.id)),
        _ => None,
    };
    let archived: Vec<_> = bench.actions.iter().filter_map(archived).collect();
    assert_eq!(archived, [(2, event(2)), (3, event(3))], "and no resend");
}

#[test]
fn a_webhook_registered_after_an_event_was_accepted_does_not_get_it() {
    let mut bench = Bench::new();
    bench.take(1);
    bench.load(2, vec![webhook(1, 1), webhook(2, 2)]);
    assert_eq!(bench.attempts(), [(webhook_id(1), event(1))]);
    bench.take_as(2, 2, false);
    assert_eq!(bench.attempts(), [(webhook_id(1), event(1)), (webhook_id(2), event(2))]);
}

#[test]
fn a_webhook_gets_only_the_events_that_it_takes() {
    let mut bench = Bench::new();
    bench.take(1);
    let picky = Webhook { event_types: Some(vec!["other".to_owned(), "*.v2".to_owned()]), ..webhook(1, 1) };
    bench.load(1, vec![picky, webhook(2, 1)]);
    assert_eq!(bench.attempts(), [(webhook_id(2), event(1))]);
}

#[test]
fn a_message_newer_than_the_registry_waits_for_it_and_holds_up_what_is_behind_it() {
    let mut bench = Bench::loaded(1);
    bench.take_as(2, 2, false);
    bench.take(3);
    assert_eq!((bench.loads(), bench.attempts()), (1, vec![]));
    assert_eq!(bench.partition.unacknowledged(), 2);
    // What is read after the version was heard of covers it, whatever number it carries.
    bench.load(2, vec![webhook(1, 1), webhook(2, 2)]);
    assert_eq!(bench.attempts(), [(webhook_id(1), event(2)), (webhook_id(2), event(2))]);
    bench.answer(lane(1), 200);
    assert!(bench.attempts().contains(&(webhook_id(1), event(3))));
}

#[test]
fn what_was_settled_before_is_not_sent_again() {
    let mut bench = Bench::loaded(2);
    bench.take_as(2, 1, true);
    bench.take_as(3, 1, true);
    let (number, keys) = bench.looked_up()[0].clone();
    assert_eq!((keys.len(), bench.attempts()), (2, vec![]));
    bench.step(Input::LookedUp { number, settled: vec![DeliveryKey { event: event(2), webhook: webhook_id(1) }] });
    assert_eq!(bench.attempts(), [(webhook_id(2), event(2))]);
    let (number, keys) = bench.looked_up()[1].clone();
    bench.step(Input::LookedUp { number, settled: keys });
    assert_eq!(bench.acked(), [3], "nothing of it is left to do");
}

#[test]
fn what_came_in_during_a_look_up_has_its_own() {
    let mut bench = Bench::loaded(1);
    bench.take_as(2, 1, true);
    bench.take_as(3, 1, true);
    let (number, keys) = bench.looked_up()[0].clone();
    assert_eq!(keys, [DeliveryKey { event: event(2), webhook: webhook_id(1) }]);
    bench.step(Input::LookedUp { number, settled: keys });
    assert_eq!(bench.attempts(), [], "nobody asked about the second");
    assert_eq!(bench.looked_up().len(), 2);
}

#[test]
fn a_look_up_that_nobody_waits_for_changes_nothing() {
    let mut bench = Bench::loaded(1);
    bench.take_as(2, 1, true);
    bench.step(Input::LookedUp { number: 99, settled: Vec::new() });
    assert!(bench.attempts().is_empty());
}

#[test]
fn a_copy_of_an_event_in_memory_joins_it_and_both_are_acknowledged_together() {
    let mut bench = Bench::loaded(1);
    bench.take(2);
    let message = Arc::new(Message {
        id: event(2),
        project: PROJECT,
        event_type: "messages".to_owned(),
        accepted_at: Millis(0),
        registry: RegistryVersion(1),
        traceparent: None,
        purpose: Purpose::Event,
        body: Bytes::from_static(b"ten bytes!"),
    });
    bench.step(Input::Took { tag: Tag(77), redelivered: false, message });
    assert_eq!((bench.attempts().len(), bench.partition.unacknowledged(), bench.partition.bytes()), (1, 2, 10));
    bench.answer_all(200);
    assert_eq!(bench.acked(), [2, 77]);
    assert_eq!(bench.partition.counts().fanned_out, 2, "the first event and this one, once");
}

#[test]
fn a_copy_of_an_event_in_memory_is_not_looked_up_for_the_answer_would_be_old() {
    let mut bench = Bench::loaded(1);
    bench.take(2);
    bench.take_as(3, 1, true);
    // Behind one that is looked up, and as the first.
    bench.take_as(2, 1, true);
    let (number, _) = bench.looked_up()[0].clone();
    bench.step(Input::LookedUp { number, settled: Vec::new() });
    bench.take_as(2, 1, true);
    assert_eq!(bench.looked_up().len(), 1);
    bench.answer_all(200);
    bench.answer_all(200);
    assert_eq!(bench.acked(), [2, 2, 2, 3]);
    assert_eq!(bench.partition.counts().pending(), 0);
    assert_eq!((bench.partition.unacknowledged(), bench.partition.bytes()), (0, 0));
}

#[test]
fn copies_that_wait_behind_their_event_join_it_before_anything_is_looked_up() {
    let mut bench = Bench::loaded(1);
    // A newer version is not known here yet: all of them wait.
    bench.take_as(2, 2, false);
    bench.take_as(3, 1, true);
    bench.take_as(2, 2, true);
    bench.load(2, vec![webhook(1, 1)]);
    let (number, keys) = bench.looked_up()[0].clone();
    assert_eq!(keys, [DeliveryKey { event: event(3), webhook: webhook_id(1) }]);
    bench.step(Input::LookedUp { number, settled: Vec::new() });
    bench.answer_all(200);
    bench.answer_all(200);
    assert_eq!((bench.acked(), bench.partition.unacknowledged()), (vec![2, 2, 3], 0));
}

#[test]
fn the_largest_lanes_are_held_when_the_window_is_nearly_used_up() {
    let settings = PartitionSettings { window: 16, ..PartitionSettings::default() };
    let mut bench = Bench::with(settings, Vec::new());
    bench.take(1);
    bench.load(1, vec![webhook(1, 1), webhook(2, 1)]);
    bench.answer_all(200);
    for number in 2..14 {
        bench.take(number);
        bench.answer(lane(2), 200);
    }
    let changes = bench.commit();
    assert_eq!(changes.len(), 12, "all that the hanging lane kept");
    assert_eq!(bench.partition.unacknowledged(), 0);
}

#[test]
fn a_change_is_confirmed_once_its_registry_is_loaded() {
    let mut bench = Bench::loaded(1);
    bench.take(2);
    bench.step(Input::RegistryChanged { project: PROJECT, version: RegistryVersion(2) });
    assert_eq!((bench.loads(), bench.confirmed()), (1, vec![]));
    bench.load(2, Vec::new());
    assert_eq!(bench.confirmed(), [2]);
    bench.answer_all(500);
    assert!(bench.attempts().is_empty(), "the webhook is deleted");
    bench.step(Input::RegistryChanged { project: PROJECT, version: RegistryVersion(2) });
    assert_eq!(bench.confirmed(), [2, 2], "what is known already is confirmed at once");
}

#[test]
fn a_load_that_began_before_the_news_is_followed_by_another() {
    let mut bench = Bench::new();
    bench.take(1);
    bench.step(Input::RegistryChanged { project: PROJECT, version: RegistryVersion(2) });
    assert_eq!(bench.loads(), 1);
    bench.load(1, vec![webhook(1, 1)]);
    assert_eq!((bench.loads(), bench.confirmed()), (2, vec![]));
    bench.load(2, Vec::new());
    assert_eq!(bench.confirmed(), [2]);
}

#[test]
fn a_change_of_a_project_that_is_not_in_memory_is_confirmed_at_once() {
    let mut bench = Bench::new();
    bench.step(Input::RegistryChanged { project: PROJECT, version: RegistryVersion(4) });
    assert_eq!((bench.confirmed(), bench.loads()), (vec![4], 0));
}

#[test]
fn after_a_lane_disabled_its_webhook_the_registry_is_read_anew() {
    let mut bench = Bench::loaded(1);
    bench.take(2);
    bench.take(3);
    bench.answer(lane(1), 410);
    // A person enables the webhook after the write is committed, and before its answer is here.
    bench.step(Input::RegistryChanged { project: PROJECT, version: RegistryVersion(3) });
    bench.load(3, vec![webhook(1, 1)]);
    assert!(bench.attempts().is_empty());
    bench.commit();
    assert_eq!(bench.loads(), 2);
    bench.load(3, vec![webhook(1, 1)]);
    assert_eq!(bench.attempts(), [(webhook_id(1), event(3))], "it is enabled");
}

#[test]
fn what_was_being_read_when_a_lane_disabled_its_webhook_counts_for_nothing() {
    let mut bench = Bench::loaded(1);
    bench.take(2);
    bench.take(3);
    bench.answer(lane(1), 410);
    bench.step(Input::RegistryChanged { project: PROJECT, version: RegistryVersion(2) });
    bench.commit();
    bench.load(2, vec![webhook(1, 1)]);
    assert!(bench.attempts().is_empty(), "it was read before the webhook was disabled");
    assert_eq!(bench.loads(), 2);
    let disabled = Webhook { disabled: Some((Millis(1), DisabledReason::Gone)), ..webhook(1, 1) };
    bench.load(3, vec![disabled]);
    assert!(bench.attempts().is_empty());
    assert_eq!(bench.confirmed(), [3]);
}

#[test]
fn lanes_found_at_takeover_are_read_once_their_project_is_loaded() {
    let resting = |number, backlog| RestingLane {
        webhook: webhook_id(number),
        project: PROJECT,
        backlog,
        set_aside: 0,
        record: None,
    };
    let mut bench = Bench::with(PartitionSettings::default(), vec![resting(1, 4), resting(2, 3)]);
    assert_eq!((bench.loads(), bench.partition.counts().recovered), (1, 7));
    bench.load(2, vec![webhook(1, 1)]);
    assert!(matches!(&bench.lanes[0], (id, lane::Action::Fetch { .. }) if *id == lane(1)));
    let (id, lane::Action::Write { ticket, changes }) = bench.lanes.remove(1) else { panic!("a write") };
    assert!(id == lane(2) && matches!(changes[..], [Change::Drop { .. }]), "its webhook is deleted");
    bench.step(Input::Lane(id, lane::Input::Written { ticket, buried: 0, dropped: 3, more: false }));
    assert_eq!((bench.partition.counts().dropped, bench.partition.counts().pending()), (3, 4));
    assert_eq!(bench.partition.lanes(), 1, "nothing is left of it");
}

#[test]
fn idle_lanes_and_projects_go_when_there_are_many() {
    let settings = PartitionSettings { lanes: 3, ..PartitionSettings::default() };
    let mut bench = Bench::with(settings, Vec::new());
    bench.take(1);
    bench.load(1, (1..=5).map(|number| webhook(number, 1)).collect());
    assert_eq!(bench.partition.lanes(), 5);
    bench.answer_all(200);
    for project in 0..20 {
        let id = ProjectId(Uuid::from_u128(500 + project));
        let message = Message {
            id: event(1_000 + project as u64),
            project: id,
            event_type: "messages".to_owned(),
            accepted_at: Millis(0),
            registry: RegistryVersion(0),
            traceparent: None,
            purpose: Purpose::Event,
            body: Bytes::from_static(b"{}"),
        };
        bench.step(Input::Took { tag: Tag(1), redelivered: false, message: Arc::new(message) });
        bench.step(Input::Registry { project: id, version: RegistryVersion(0), webhooks: Vec::new() });
    }
    assert!(bench.partition.lanes() <= 3 + 2);
    assert!(bench.partition.projects.len() <= 12, "{}", bench.partition.projects.len());
    assert!(bench.actions.iter().any(|action| matches!(action, Action::ForgetProject { .. })));
    // What is needed again is loaded again.
    bench.take(2);
    bench.load(1, vec![webhook(1, 1)]);
    assert_eq!(bench.attempts(), [(webhook_id(1), event(2))]);
}

#[test]
fn idle_lanes_and_projects_go_when_nothing_happens_to_them_for_a_while() {
    let mut bench = Bench::loaded(2);
    bench.take(2);
    bench.answer_all(200);
    let keep = PartitionSettings::default().keep_idle;
    // The first time they are looked for, they were in use since the start.
    while let Some(due) = bench.partition.deadline()
        && due <= Mono(keep)
    {
        bench.now.mono = due;
        bench.step(Input::Wake);
    }
    assert_eq!(bench.now.mono, Mono(keep));
    assert_eq!((bench.partition.lanes(), bench.partition.projects.len()), (2, 1));
    // One is in use for long, the other one is not.
    bench.take(3);
    bench.answer(lane(1), 200);
    while let Some(due) = bench.partition.deadline() {
        bench.now.mono = due;
        bench.step(Input::Wake);
    }
    assert_eq!((bench.partition.lanes(), bench.partition.projects.len()), (1, 1));
    // It was held meanwhile.
    bench.commit();
    bench.answer(lane(2), 200);
    bench.commit();
    let idle = bench.now.mono;
    while let Some(due) = bench.partition.deadline() {
        bench.now.mono = due;
        bench.step(Input::Wake);
    }
    assert!(bench.now.mono <= idle.plus(2 * keep));
    assert_eq!((bench.partition.lanes(), bench.partition.projects.len()), (0, 0));
    assert!(bench.actions.iter().any(|action| matches!(action, Action::ForgetProject { .. })));
    // What is needed again is loaded again.
    bench.take(4);
    bench.load(1, vec![webhook(1, 1)]);
    assert_eq!(bench.attempts(), [(webhook_id(1), event(4))]);
}

#[test]
fn the_partition_wakes_its_lanes_in_time() {
    let mut bench = Bench::loaded(2);
    bench.take(2);
    bench.answer_all(503);
    let due = bench.partition.deadline().expect("retries are due");
    assert!((100..=300).contains(&due.0));
    bench.now.mono = due;
    bench.step(Input::Wake);
    bench.now.mono = Mono(300);
    bench.step(Input::Wake);
    assert_eq!(bench.attempts().len(), 2);
    bench.now.mono = Mono(2_000);
    bench.step(Input::Wake);
    assert_eq!(bench.lanes.iter().filter(|(_, action)| matches!(action, lane::Action::Write { .. })).count(), 2);
    bench.commit();
    bench.commit();
    assert_eq!(bench.acked(), [2], "held at both");
}

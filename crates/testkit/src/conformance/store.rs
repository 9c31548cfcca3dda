//! The store: what rests stays, once and whole, and an old owner writes nothing. Moves between its tables are in
//! `store_moves`, reads by order keys in `store_readings`.

use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Failure, Next};
use spectrum_webhook_core::delivery::{Command, DeadReason, Directed, Fault, LastAttempt, Message, Purpose};
use spectrum_webhook_core::ids::{Epoch, PartitionId, ProjectId, RegistryVersion, Sequence, WebhookId};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::ports::{
    Change, Committed, LaneMode, LaneRecord, Lease, NewWebhook, PortError, Project, Pruning, RestingLane, Unreadable,
    WebhookPatch,
};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{DisabledReason, SigningSecret};
use uuid::Uuid;

use super::samples::{BODY, NOW, PARTITION, held, key, lease, message, owner, project};
use super::{Fixture, StoreWorld, checks, store_moves, store_readings};

/// Checks a store.
pub async fn store(fixture: &dyn Fixture<StoreWorld>) {
    checks!(fixture;
        an_epoch_only_grows,
        a_fenced_owner_writes_nothing,
        a_held_delivery_is_read_back_just_as_it_was,
        a_backlog_is_read_from_its_lowest_number,
        a_read_ends_at_its_rows_and_at_its_bytes_but_not_before_one,
        a_delivery_has_one_row,
        backlogs_of_webhooks_are_apart,
        a_body_stays_until_its_last_row_goes,
        a_takeover_finds_what_rests_and_the_highest_number,
        a_takeover_finds_only_its_own_partition,
        lane_records_are_kept_and_forgotten,
        a_webhook_is_disabled_once_and_its_project_changes_version,
        a_webhook_that_was_changed_since_it_was_tried_is_not_disabled,
        unreadable_messages_are_kept,
        old_attempts_are_pruned_in_steps,
        totals_count_what_rests,
    );
    store_moves::checks(fixture).await;
    store_readings::checks(fixture).await;
}

/// An owner of the partition, and a project with webhooks.
pub(super) struct Scene {
    pub(super) world: StoreWorld,
    pub(super) lease: Lease,
    pub(super) project: ProjectId,
    pub(super) webhooks: Vec<WebhookId>,
}

impl Scene {
    pub(super) async fn new(world: StoreWorld, webhooks: usize) -> Self {
        let lease = lease(Epoch::STEP);
        world.store.take_over(&lease).await.expect("take over");
        let project = create_project(&world).await;
        let mut scene = Self { world, lease, project, webhooks: Vec::new() };
        for number in 0..webhooks {
            let id = register(&scene.world, project, &format!("https://example.com/{number}")).await;
            scene.webhooks.push(id);
        }
        scene
    }

    pub(super) fn message(&self, body: &[u8]) -> Message {
        Message { project: self.project, ..message(body) }
    }

    pub(super) async fn commit(&self, changes: &[Change]) -> Committed {
        self.world.store.commit(&self.lease, changes).await.expect("commit")
    }

    /// Holds events for the first webhook at these numbers.
    pub(super) async fn hold(&self, sequences: &[i64]) -> Vec<Message> {
        let messages: Vec<Message> =
            sequences.iter().map(|sequence| self.message(sequence.to_string().as_bytes())).collect();
        let holds: Vec<Change> = messages
            .iter()
            .zip(sequences)
            .map(|(message, sequence)| hold(self.webhooks[0], *sequence, message))
            .collect();
        self.commit(&holds).await;
        messages
    }

    /// The numbers in a webhook's backlog.
    pub(super) async fn backlog(&self, webhook: WebhookId) -> Vec<i64> {
        let read = self.world.store.read_backlog(webhook, &Reading::lowest(1_000), usize::MAX).await.expect("read");
        assert!(!read.more);
        read.deliveries.iter().map(|delivery| delivery.sequence.0).collect()
    }

    pub(super) async fn has_row(&self, message: &Message) -> bool {
        let key = key(message, self.webhooks[0]);
        !self.world.store.find(&[key]).await.expect("find").is_empty()
    }

    /// What a new owner finds; this one is fenced then.
    pub(super) async fn lanes(&self) -> Vec<RestingLane> {
        let next = Lease { owner: owner(), epoch: Epoch(self.lease.epoch.0 + 1), ..self.lease };
        self.world.store.take_over(&next).await.expect("take over").lanes
    }
}

pub(super) async fn create_project(world: &StoreWorld) -> ProjectId {
    let id = project();
    let project = Project {
        id,
        name: "A project".to_owned(),
        secret_hash: [9; 32],
        registry: RegistryVersion(0),
        created_at: NOW,
    };
    world.directory.create_project(&project).await.expect("create");
    id
}

pub(super) async fn register(world: &StoreWorld, project: ProjectId, url: &str) -> WebhookId {
    let id = WebhookId(Uuid::now_v7());
    let secret = SigningSecret::from_random([1; 32]);
    let webhook = NewWebhook { id, project, url: url.to_owned(), secret, event_types: None, shape: Shape::default() };
    world.directory.register(webhook, NOW).await.expect("register").0.id
}

pub(super) fn hold(webhook: WebhookId, sequence: i64, message: &Message) -> Change {
    Change::Hold { webhook, delivery: Box::new(held(sequence, message)) }
}

fn is_fenced<T>(result: Result<T, PortError>) -> bool {
    matches!(result, Err(PortError::Fenced { .. }))
}

async fn an_epoch_only_grows(world: StoreWorld) {
    assert_eq!(world.store.epoch(PARTITION).await.expect("epoch"), Epoch(0));
    let found = world.store.take_over(&lease(10)).await.expect("take over");
    assert_eq!((found.highest, found.lanes.len()), (Sequence(0), 0));
    assert_eq!(world.store.epoch(PARTITION).await.expect("epoch"), Epoch(10));
    for epoch in [10, 9] {
        assert!(is_fenced(world.store.take_over(&lease(epoch)).await), "{epoch} is not greater");
    }
    world.store.take_over(&lease(11)).await.expect("take over");
    assert_eq!(world.store.epoch(PARTITION).await.expect("epoch"), Epoch(11));
    assert_eq!(world.store.epoch(PartitionId(9)).await.expect("epoch"), Epoch(0), "partitions are apart");
}

async fn a_fenced_owner_writes_nothing(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let (store, webhook) = (&scene.world.store, scene.webhooks[0]);
    let held = scene.hold(&[1, 2, 3]).await;
    let set_aside =
        Change::SetAside { key: key(&held[0], webhook), attempts: 6, last: LastAttempt::Status(500), at: NOW };
    scene.commit(std::slice::from_ref(&set_aside)).await;
    let before = store.totals().await.expect("totals");
    let registry = store.registry(scene.project).await.expect("registry").version;
    let current = Lease { owner: owner(), epoch: Epoch(scene.lease.epoch.0 + 5), ..scene.lease };
    store.take_over(&current).await.expect("take over");

    let key = key(&held[1], webhook);
    let changes = [
        hold(webhook, 4, &scene.message(b"4")),
        Change::Remove { key },
        set_aside,
        Change::Return { webhook },
        Change::Bury { key, reason: DeadReason::Fatal, fault: Fault::Receiver, attempts: 1, last: None, at: NOW },
        Change::BurySetAside { webhook, at: NOW },
        Change::Lane { webhook, record: Some(LaneRecord { mode: LaneMode::Suspect, exhausted: 1 }), at: NOW },
        Change::Disable { webhook, reason: DisabledReason::Gone, seen: NOW, at: NOW },
        Change::Drop { webhook, limit: 10 },
        Change::Expire { webhook, before: Millis(i64::MAX), at: NOW, limit: 10 },
        store_moves::steer(&scene, Command::Drop(NOW)).1,
    ];
    // An older epoch, one that nobody took over with, and another partition's.
    let strangers = [
        scene.lease,
        Lease { epoch: Epoch(current.epoch.0 + 1), ..current },
        Lease { partition: PartitionId(9), ..current },
    ];
    for lease in &strangers {
        for change in &changes {
            assert!(is_fenced(store.commit(lease, std::slice::from_ref(change)).await), "{change:?}");
        }
        assert!(is_fenced(store.commit(lease, &[]).await));
        let message = Unreadable { bytes: vec![1], detail: "?".to_owned() };
        assert!(is_fenced(store.quarantine(lease, &message, NOW).await));
    }
    assert_eq!(store.totals().await.expect("totals"), before);
    assert_eq!(store.registry(scene.project).await.expect("registry").version, registry);
    assert_eq!(scene.backlog(webhook).await, [2, 3]);
    store.commit(&current, &changes).await.expect("the owner may");
}

async fn a_held_delivery_is_read_back_just_as_it_was(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let mut message = scene.message(BODY);
    message.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let mut delivery = held((1 << 53) - 1, &message);
    (delivery.attempts, delivery.sent) = (4, true);
    let every_byte: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let webhook = scene.webhooks[0];
    let directed = |event| Purpose::Directed(Directed { webhook, event });
    let test = scene.message(b"a test");
    let test = Message { purpose: directed(test.id), ..test };
    let resend = Message { purpose: directed(test.id), ..scene.message(b"a resend") };
    let plain = [
        held(1, &scene.message(b"")),
        held(2, &scene.message(&every_byte)),
        held(3, &test),
        held(4, &resend),
        delivery,
    ];
    let holds: Vec<Change> =
        plain.iter().map(|delivery| Change::Hold { webhook, delivery: Box::new(delivery.clone()) }).collect();
    scene.commit(&holds).await;
    let read = scene.world.store.read_backlog(webhook, &Reading::lowest(10), usize::MAX).await.expect("read");
    assert_eq!(read.deliveries, plain);
}

async fn a_backlog_is_read_from_its_lowest_number(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    scene.hold(&[30, 10, 50]).await;
    scene.hold(&[40, 20]).await;
    // More rows than one statement takes.
    scene.hold(&(100..300).rev().collect::<Vec<i64>>()).await;
    let expected: Vec<i64> = [10, 20, 30, 40, 50].into_iter().chain(100..300).collect();
    assert_eq!(scene.backlog(scene.webhooks[0]).await, expected);
}

async fn a_read_ends_at_its_rows_and_at_its_bytes_but_not_before_one(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let webhook = scene.webhooks[0];
    let holds: Vec<Change> = (1..=5).map(|sequence| hold(webhook, sequence, &scene.message(&[b'x'; 1_000]))).collect();
    scene.commit(&holds).await;
    for (rows, bytes, expected, more) in
        [(2, usize::MAX, 2, true), (5, usize::MAX, 5, false), (9, 1, 1, true), (9, 0, 1, true), (9, 2_500, 3, true)]
    {
        let read = scene.world.store.read_backlog(webhook, &Reading::lowest(rows), bytes).await.expect("read");
        assert_eq!((read.deliveries.len(), read.more), (expected, more), "{rows} rows, {bytes} bytes");
    }
}

async fn a_delivery_has_one_row(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[7]).await;
    let webhook = scene.webhooks[0];
    // Twice in one commit, again, and at another place.
    scene.commit(&[hold(webhook, 7, &held[0]), hold(webhook, 7, &held[0])]).await;
    scene.commit(&[hold(webhook, 9, &held[0])]).await;
    assert_eq!(scene.backlog(webhook).await, [7]);
}

async fn backlogs_of_webhooks_are_apart(world: StoreWorld) {
    let scene = Scene::new(world, 2).await;
    let (one, two) = (scene.webhooks[0], scene.webhooks[1]);
    let message = scene.message(b"both");
    scene.commit(&[hold(one, 1, &message), hold(two, 1, &message)]).await;
    scene.commit(&[Change::Remove { key: key(&message, one) }]).await;
    assert!(scene.backlog(one).await.is_empty());
    let read = scene.world.store.read_backlog(two, &Reading::lowest(10), usize::MAX).await.expect("read");
    assert_eq!(read.deliveries[0].message, message, "its body is still there");
    let both = [key(&message, one), key(&message, two)];
    assert_eq!(scene.world.store.find(&both).await.expect("find"), [key(&message, two)]);
}

async fn a_body_stays_until_its_last_row_goes(world: StoreWorld) {
    let scene = Scene::new(world, 2).await;
    let (one, two) = (scene.webhooks[0], scene.webhooks[1]);
    let first = scene.message(b"first");
    // The same event with other bytes: what is read tells which ones are stored.
    let second = Message { body: bytes::Bytes::from_static(b"second"), ..first.clone() };
    scene.commit(&[hold(one, 1, &first), hold(two, 1, &first)]).await;
    scene.commit(&[Change::Remove { key: key(&first, one) }, hold(one, 1, &second)]).await;
    let read = scene.world.store.read_backlog(one, &Reading::lowest(1), usize::MAX).await.expect("read");
    assert_eq!(read.deliveries[0].message.body, first.body, "the other webhook's row needs it");
    scene.commit(&[Change::Remove { key: key(&first, one) }, Change::Remove { key: key(&first, two) }]).await;
    scene.commit(&[hold(one, 1, &second)]).await;
    let read = scene.world.store.read_backlog(one, &Reading::lowest(1), usize::MAX).await.expect("read");
    assert_eq!(read.deliveries[0].message.body, second.body, "nothing needed it any more");
}

async fn a_takeover_finds_what_rests_and_the_highest_number(world: StoreWorld) {
    let scene = Scene::new(world, 3).await;
    let (one, two) = (scene.webhooks[0], scene.webhooks[1]);
    let held = scene.hold(&[5, 6, 900]).await;
    let last = LastAttempt::Failed(Failure::Timeout);
    scene.commit(&[Change::SetAside { key: key(&held[0], one), attempts: 6, last, at: NOW }]).await;
    // A number counts also when its row has gone.
    scene.commit(&[Change::Remove { key: key(&held[2], one) }]).await;
    let record = LaneRecord { mode: LaneMode::Suspect, exhausted: 1 };
    scene.commit(&[Change::Lane { webhook: two, record: Some(record), at: NOW }]).await;

    let next = Lease { owner: owner(), epoch: Epoch(scene.lease.epoch.0 + 1), ..scene.lease };
    let found = scene.world.store.take_over(&next).await.expect("take over");
    assert_eq!(found.highest, Sequence(900));
    let mut lanes = found.lanes;
    lanes.sort_unstable_by_key(|lane| lane.webhook);
    let project = scene.project;
    let mut expected = [
        RestingLane { webhook: one, project, backlog: 1, set_aside: 1, record: None },
        RestingLane { webhook: two, project, backlog: 0, set_aside: 0, record: Some(record) },
    ];
    expected.sort_unstable_by_key(|lane| lane.webhook);
    assert_eq!(lanes, expected, "and not the one with nothing at rest");
}

async fn a_takeover_finds_only_its_own_partition(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    scene.hold(&[5]).await;
    let elsewhere = Lease { partition: PartitionId(9), ..scene.lease };
    let found = scene.world.store.take_over(&elsewhere).await.expect("take over");
    assert_eq!((found.highest, found.lanes.len()), (Sequence(0), 0));
}

async fn lane_records_are_kept_and_forgotten(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let webhook = scene.webhooks[0];
    let outage = LaneRecord {
        mode: LaneMode::Outage { since: NOW, probes: 12, next_probe: Millis(NOW.0 + 600_000), proven: true },
        exhausted: 3,
    };
    let suspect = LaneRecord { mode: LaneMode::Suspect, exhausted: 2 };
    let mut epoch = scene.lease.epoch.0;
    for record in [Some(suspect), Some(outage), Some(suspect), None] {
        let lease = Lease { epoch: Epoch(epoch), ..scene.lease };
        for _ in 0..2 {
            scene.world.store.commit(&lease, &[Change::Lane { webhook, record, at: NOW }]).await.expect("commit");
        }
        epoch += 1;
        let next = Lease { epoch: Epoch(epoch), ..scene.lease };
        let lanes = scene.world.store.take_over(&next).await.expect("take over").lanes;
        assert_eq!(lanes.first().and_then(|lane| lane.record), record);
        assert_eq!(lanes.len(), usize::from(record.is_some()));
    }
}

async fn a_webhook_is_disabled_once_and_its_project_changes_version(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let webhook = scene.webhooks[0];
    let before = scene.world.store.registry(scene.project).await.expect("registry").version;
    let raised = RegistryVersion(before.0 + 1);
    let gone = Change::Disable { webhook, reason: DisabledReason::Gone, seen: NOW, at: NOW };
    assert_eq!(scene.commit(std::slice::from_ref(&gone)).await.disabled, [(scene.project, raised)]);
    let later = Change::Disable { webhook, reason: DisabledReason::Outage, seen: NOW, at: Millis(NOW.0 + 1) };
    assert!(scene.commit(&[gone, later]).await.disabled.is_empty());
    let registry = scene.world.store.registry(scene.project).await.expect("registry");
    assert_eq!(registry.version, raised);
    assert_eq!(registry.webhooks[0].0.disabled, Some((NOW, DisabledReason::Gone)), "the first reason stays");
}

async fn a_webhook_that_was_changed_since_it_was_tried_is_not_disabled(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let (store, directory) = (&scene.world.store, &scene.world.directory);
    let webhook = scene.webhooks[0];
    let disable = |seen| Change::Disable { webhook, reason: DisabledReason::Gone, seen, at: Millis(NOW.0 + 9) };
    let patch = WebhookPatch { url: Some("https://moved.example/".to_owned()), ..WebhookPatch::default() };
    directory.patch(scene.project, webhook, patch, Millis(NOW.0 + 5)).await.expect("patch");
    let version = store.registry(scene.project).await.expect("registry").version;
    let committed = scene.commit(&[disable(NOW)]).await;
    assert!(committed.disabled.is_empty() && committed.happened.is_empty());
    let registry = store.registry(scene.project).await.expect("registry");
    assert_eq!((registry.version, registry.webhooks[0].0.disabled), (version, None));
    assert_eq!(scene.commit(&[disable(Millis(NOW.0 + 5))]).await.disabled.len(), 1);
}

async fn unreadable_messages_are_kept(world: StoreWorld) {
    let scene = Scene::new(world, 0).await;
    let message = Unreadable { bytes: BODY.to_vec(), detail: "not a message".to_owned() };
    scene.world.store.quarantine(&scene.lease, &message, NOW).await.expect("quarantine");
    assert_eq!(scene.world.store.totals().await.expect("totals").quarantine, 1);
}

async fn old_attempts_are_pruned_in_steps(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let event = scene.message(b"{}");
    let attempt = |number: u32| AttemptRecord {
        key: key(&event, scene.webhooks[0]),
        project: scene.project,
        event_type: "messages".to_owned(),
        sequence: Sequence(1),
        number,
        started_at: Millis(NOW.0 + i64::from(number)),
        connect_ms: None,
        first_byte_ms: Some(12),
        total_ms: 13,
        ended: if number.is_multiple_of(2) {
            Ended::Answered { status: 503, retry_after: Some(1_000) }
        } else {
            Ended::Failed(Failure::Reset)
        },
        address: "203.0.113.7:443".parse().ok(),
        snippet: "a \u{1F600} snippet".to_owned(),
        resend: None,
        next: Next::Retry(NOW),
    };
    let attempts: Vec<AttemptRecord> = (1..=10).map(attempt).collect();
    scene.world.store.record(&attempts).await.expect("record");
    scene.world.store.record(&attempts[..3]).await.expect("record again");
    scene.world.store.record(&[]).await.expect("record none");
    let prune = |before: i64, limit| Pruning { attempts_before: Millis(NOW.0 + before), now: NOW, limit };
    // Seven are older than the eighth.
    assert!(scene.world.store.prune(prune(8, 4)).await.expect("prune"));
    assert!(!scene.world.store.prune(prune(8, 4)).await.expect("prune"));
    assert!(!scene.world.store.prune(prune(8, 1)).await.expect("prune"), "none is left of them");
    assert!(scene.world.store.prune(prune(100, 3)).await.expect("prune"));
    assert!(!scene.world.store.prune(prune(100, 3)).await.expect("prune"));
}

async fn totals_count_what_rests(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let webhook = scene.webhooks[0];
    let totals = scene.world.store.totals().await.expect("totals");
    assert_eq!(totals, spectrum_webhook_core::ports::Totals::default());
    let messages: Vec<Message> =
        (1..=4).map(|n| Message { accepted_at: Millis(NOW.0 + n), ..scene.message(b"{}") }).collect();
    let holds: Vec<Change> = messages.iter().zip(1..).map(|(message, n)| hold(webhook, n, message)).collect();
    scene.commit(&holds).await;
    let bury = |message| Change::Bury {
        key: key(message, webhook),
        reason: DeadReason::Fatal,
        fault: Fault::Platform,
        attempts: 0,
        last: None,
        at: NOW,
    };
    let last = LastAttempt::Status(500);
    let set_aside = Change::SetAside { key: key(&messages[1], webhook), attempts: 6, last, at: NOW };
    scene.commit(&[bury(&messages[0]), set_aside]).await;
    let totals = scene.world.store.totals().await.expect("totals");
    assert_eq!((totals.backlog, totals.set_aside), (2, 1));
    assert_eq!((totals.dead_letters, totals.platform_letters), (1, 1));
    assert_eq!(totals.oldest, Some(Millis(NOW.0 + 2)), "dead letters are not on their way");
    assert_eq!(totals.oldest_flowing, Some(Millis(NOW.0 + 3)), "what is set aside waits for its URL");
    let outage = LaneMode::Outage { since: NOW, probes: 1, next_probe: NOW, proven: true };
    let record = Some(LaneRecord { mode: outage, exhausted: 3 });
    scene.commit(&[Change::Lane { webhook, record, at: NOW }]).await;
    let totals = scene.world.store.totals().await.expect("totals");
    assert_eq!((totals.oldest, totals.oldest_flowing), (Some(Millis(NOW.0 + 2)), None), "nothing flows in an outage");
}

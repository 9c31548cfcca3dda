//! Moves between backlog, set aside and dead letters: each happens once, however often it is asked for.

use std::sync::Arc;

use spectrum_webhook_core::attempt::Failure;
use spectrum_webhook_core::delivery::{Command, DeadReason, Fault, LastAttempt, Message, Purpose, Steering};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::ports::{Change, LaneMode, LaneRecord, Pruning};
use spectrum_webhook_core::time::Millis;

use super::samples::{NOW, key};
use super::store::{Scene, hold};
use super::{Fixture, StoreWorld};

pub(super) async fn checks(fixture: &dyn Fixture<StoreWorld>) {
    super::checks!(fixture;
        removing_takes_a_row_out_once,
        setting_aside_takes_a_row_out_of_the_way,
        a_return_brings_all_back_to_their_places,
        burying_makes_a_dead_letter,
        burying_what_is_set_aside_counts_it,
        what_is_settled_is_not_held_again,
        a_whole_commit_can_be_repeated,
        dropping_goes_in_steps_and_leaves_dead_letters,
        expiring_buries_the_old_ones_in_steps,
        a_skip_makes_one_dead_letter_and_can_be_repeated,
        a_steered_drop_goes_in_steps_and_what_it_dropped_stays_settled,
        a_steered_drop_whose_webhook_is_deleted_is_done_and_forgotten_with_the_log,
        a_resumption_is_known_to_be_done,
    );
}

fn set_aside(scene: &Scene, message: &Message) -> Change {
    let last = LastAttempt::Failed(Failure::Timeout);
    Change::SetAside { key: key(message, scene.webhooks[0]), attempts: 6, last, at: NOW }
}

fn bury(scene: &Scene, message: &Message) -> Change {
    Change::Bury {
        key: key(message, scene.webhooks[0]),
        reason: DeadReason::Fatal,
        fault: Fault::Receiver,
        attempts: 2,
        last: Some(LastAttempt::Status(400)),
        at: NOW,
    }
}

/// Rows in backlog, set aside, and dead letters.
async fn counts(scene: &Scene) -> (u64, u64, u64) {
    let totals = scene.world.store.totals().await.expect("totals");
    (totals.backlog, totals.set_aside, totals.dead_letters)
}

async fn removing_takes_a_row_out_once(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[1, 2]).await;
    for _ in 0..2 {
        scene.commit(&[Change::Remove { key: key(&held[0], scene.webhooks[0]) }]).await;
        assert_eq!(scene.backlog(scene.webhooks[0]).await, [2]);
    }
    assert!(!scene.has_row(&held[0]).await);
}

async fn setting_aside_takes_a_row_out_of_the_way(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[1, 2]).await;
    for _ in 0..2 {
        scene.commit(&[set_aside(&scene, &held[0])]).await;
        assert_eq!(scene.backlog(scene.webhooks[0]).await, [2]);
        assert_eq!(counts(&scene).await, (1, 1, 0));
    }
    assert!(scene.has_row(&held[0]).await);
}

async fn a_return_brings_all_back_to_their_places(world: StoreWorld) {
    let scene = Scene::new(world, 2).await;
    let held = scene.hold(&[1, 2, 3, 4]).await;
    // Another webhook's stays where it is.
    let other = Change::SetAside {
        key: key(&held[0], scene.webhooks[1]),
        attempts: 6,
        last: LastAttempt::Status(500),
        at: NOW,
    };
    scene.commit(&[hold(scene.webhooks[1], 1, &held[0]), other]).await;
    scene.commit(&[set_aside(&scene, &held[2]), set_aside(&scene, &held[0])]).await;
    for _ in 0..2 {
        scene.commit(&[Change::Return { webhook: scene.webhooks[0] }]).await;
        assert_eq!(scene.backlog(scene.webhooks[0]).await, [1, 2, 3, 4]);
        assert_eq!(counts(&scene).await, (4, 1, 0));
    }
    let read = scene.world.store.read_backlog(scene.webhooks[0], &Reading::lowest(1), usize::MAX).await.expect("read");
    let first = &read.deliveries[0];
    assert_eq!((first.attempts, first.sent), (6, true), "its attempts are not forgotten");
    assert_eq!(first.message, held[0]);
}

async fn burying_makes_a_dead_letter(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[1, 2]).await;
    for _ in 0..2 {
        scene.commit(&[bury(&scene, &held[0])]).await;
        assert_eq!(counts(&scene).await, (1, 0, 1));
    }
    assert!(scene.has_row(&held[0]).await);
    // There is no row to make one of.
    scene.commit(&[bury(&scene, &scene.message(b"unknown"))]).await;
    assert_eq!(counts(&scene).await, (1, 0, 1));
}

async fn burying_what_is_set_aside_counts_it(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[1, 2, 3]).await;
    scene.commit(&[set_aside(&scene, &held[0]), set_aside(&scene, &held[1])]).await;
    let poison = Change::BurySetAside { webhook: scene.webhooks[0], at: NOW };
    assert_eq!(scene.commit(std::slice::from_ref(&poison)).await.buried, 2);
    assert_eq!(scene.commit(&[poison]).await.buried, 0);
    assert_eq!(counts(&scene).await, (1, 0, 2));
    assert!(scene.has_row(&held[0]).await);
}

async fn what_is_settled_is_not_held_again(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[1, 2]).await;
    scene.commit(&[set_aside(&scene, &held[0]), bury(&scene, &held[1])]).await;
    scene.commit(&[hold(scene.webhooks[0], 8, &held[0]), hold(scene.webhooks[0], 9, &held[1])]).await;
    assert_eq!(counts(&scene).await, (0, 1, 1));
}

async fn a_whole_commit_can_be_repeated(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let webhook = scene.webhooks[0];
    let held = scene.hold(&[1, 2, 3]).await;
    let new = scene.message(b"new");
    let record = LaneRecord { mode: LaneMode::Suspect, exhausted: 1 };
    let changes = [
        hold(webhook, 4, &new),
        set_aside(&scene, &new),
        Change::Remove { key: key(&held[0], webhook) },
        bury(&scene, &held[1]),
        Change::Lane { webhook, record: Some(record), at: NOW },
    ];
    for _ in 0..3 {
        scene.commit(&changes).await;
        assert_eq!(counts(&scene).await, (1, 1, 1));
    }
    assert_eq!(scene.lanes().await[0].record, Some(record));
}

async fn dropping_goes_in_steps_and_leaves_dead_letters(world: StoreWorld) {
    let scene = Scene::new(world, 2).await;
    let webhook = scene.webhooks[0];
    let held = scene.hold(&[1, 2, 3, 4, 5]).await;
    let record = Some(LaneRecord { mode: LaneMode::Suspect, exhausted: 1 });
    scene
        .commit(&[
            hold(scene.webhooks[1], 1, &held[0]),
            set_aside(&scene, &held[1]),
            bury(&scene, &held[4]),
            Change::Lane { webhook, record, at: NOW },
        ])
        .await;
    scene.world.directory.delete(scene.project, webhook, NOW).await.expect("delete");
    let step = Change::Drop { webhook, limit: 3 };
    let done = scene.commit(std::slice::from_ref(&step)).await;
    assert_eq!((done.dropped, done.more), (3, true));
    let done = scene.commit(std::slice::from_ref(&step)).await;
    assert_eq!((done.dropped, done.more), (1, false));
    let done = scene.commit(&[step]).await;
    assert_eq!((done.dropped, done.more), (0, false));
    assert_eq!(counts(&scene).await, (1, 0, 1));
    assert_eq!(scene.backlog(scene.webhooks[1]).await, [1], "another webhook's row and body stay");
    let lanes = scene.lanes().await;
    assert!(lanes.iter().all(|lane| lane.webhook != webhook), "its record goes too");
}

async fn expiring_buries_the_old_ones_in_steps(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let webhook = scene.webhooks[0];
    let messages: Vec<Message> =
        (1..=6).map(|n| Message { accepted_at: Millis(NOW.0 + n), ..scene.message(b"{}") }).collect();
    let holds: Vec<Change> = messages.iter().zip(1..).map(|(message, n)| hold(webhook, n, message)).collect();
    scene.commit(&holds).await;
    scene.commit(&[set_aside(&scene, &messages[1])]).await;
    let step = Change::Expire { webhook, before: Millis(NOW.0 + 5), at: NOW, limit: 3 };
    let done = scene.commit(std::slice::from_ref(&step)).await;
    assert_eq!((done.buried, done.more), (3, true));
    assert_eq!(scene.backlog(webhook).await, [4, 5, 6], "the oldest go first");
    let done = scene.commit(std::slice::from_ref(&step)).await;
    assert_eq!((done.buried, done.more), (1, false));
    let done = scene.commit(&[step]).await;
    assert_eq!((done.buried, done.more), (0, false));
    assert_eq!(scene.backlog(webhook).await, [5, 6]);
    assert_eq!(counts(&scene).await, (2, 0, 4));
}

pub(super) fn steer(scene: &Scene, command: Command) -> (Message, Change) {
    let steering = Steering { webhook: scene.webhooks[0], command, reason: "a reason".to_owned() };
    let message = Message { purpose: Purpose::Steering(Box::new(steering)), ..scene.message(b"") };
    (message.clone(), Change::Steer { message: Arc::new(message), at: NOW, limit: 2, outcome: None })
}

async fn a_skip_makes_one_dead_letter_and_can_be_repeated(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[1, 2, 3]).await;
    let (order, skip) = steer(&scene, Command::Skip(held[1].id));
    assert!(!scene.has_row(&order).await, "it is not done");
    for buried in [1, 0] {
        assert_eq!(scene.commit(std::slice::from_ref(&skip)).await.buried, buried);
        assert_eq!(scene.backlog(scene.webhooks[0]).await, [1, 3]);
        assert_eq!(counts(&scene).await, (2, 0, 1));
    }
    assert!(scene.has_row(&order).await, "it is known to be done");
    assert!(scene.has_row(&held[1]).await);
    // What is set aside is not at the head: it stays.
    scene.commit(&[set_aside(&scene, &held[0])]).await;
    assert_eq!(scene.commit(&[steer(&scene, Command::Skip(held[0].id)).1]).await.buried, 0);
    assert_eq!(counts(&scene).await, (1, 1, 1));
}

async fn a_steered_drop_goes_in_steps_and_what_it_dropped_stays_settled(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let messages: Vec<Message> =
        (1..=5).map(|n| Message { accepted_at: Millis(NOW.0 + n), ..scene.message(b"{}") }).collect();
    let webhook = scene.webhooks[0];
    let holds: Vec<Change> =
        messages.iter().zip(1..).map(|(message, sequence)| hold(webhook, sequence, message)).collect();
    scene.commit(&holds).await;
    let (order, drop) = steer(&scene, Command::Drop(Millis(NOW.0 + 3)));
    let first = scene.commit(std::slice::from_ref(&drop)).await;
    assert_eq!((first.dropped, first.more), (2, true));
    assert!(!scene.has_row(&order).await, "there is more to do");
    let second = scene.commit(std::slice::from_ref(&drop)).await;
    assert_eq!((second.dropped, second.more), (1, false));
    assert!(scene.has_row(&order).await);
    assert_eq!(scene.backlog(webhook).await, [4, 5], "accepted later");
    assert_eq!(counts(&scene).await, (2, 0, 0), "no dead letter is open");
    for message in &messages {
        assert!(scene.has_row(message).await, "a copy that comes again is settled");
    }
}

async fn a_steered_drop_whose_webhook_is_deleted_is_done_and_forgotten_with_the_log(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let webhook = scene.webhooks[0];
    scene.hold(&[1, 2, 3]).await;
    let (order, drop) = steer(&scene, Command::Drop(NOW));
    assert!(scene.commit(&[drop]).await.more);
    assert!(!scene.has_row(&order).await, "it is not done");
    scene.world.directory.delete(scene.project, webhook, NOW).await.expect("delete");
    scene.commit(&[Change::Drop { webhook, limit: 10 }]).await;
    assert!(scene.has_row(&order).await, "nothing of it is left to be done");
    let pruning = Pruning { attempts_before: Millis(NOW.0 + 1), now: NOW, limit: 10 };
    scene.world.store.prune(pruning).await.expect("prune");
    assert!(!scene.has_row(&order).await);
}

async fn a_resumption_is_known_to_be_done(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let (order, resume) = steer(&scene, Command::Resume);
    let done = scene.commit(std::slice::from_ref(&resume)).await;
    assert_eq!((done.buried, done.dropped, done.more), (0, 0, false));
    assert!(scene.has_row(&order).await);
}

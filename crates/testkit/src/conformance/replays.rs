//! Replays: one process at a time, in order, from where the last step ended.

use spectrum_webhook_core::delivery::{DeadReason, Fault};
use spectrum_webhook_core::ids::{EventId, OwnerId, ReplayId, Sequence};
use spectrum_webhook_core::ports::{Change, PAUSED_HOLD, Replay, ReplayState, ReplayStep, Selection, What};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;
use uuid::Uuid;

use super::samples::{NOW, key, owner, project};
use super::store::Scene;
use super::{Fixture, StoreWorld, checks};

/// Checks replays.
pub async fn replays(fixture: &dyn Fixture<StoreWorld>) {
    checks!(fixture;
        a_replay_is_kept_as_it_was_made_and_only_its_project_sees_it,
        open_letters_of_the_range_are_counted_and_come_in_their_order_from_the_cursor,
        one_process_runs_a_replay_until_its_time_is_over,
        what_was_sent_before_a_pause_was_seen_counts_and_nobody_else_runs_it_till_then,
        a_replay_that_ended_stays_so,
    );
}

const ALL: Selection = Selection { what: What::Dead, from: Millis(0), to: Millis(i64::MAX) };

fn replay(scene: &Scene, after: i64) -> Replay {
    let now = Millis(NOW.0 + after);
    Replay {
        id: ReplayId(Uuid::now_v7()),
        project: scene.project,
        webhook: scene.webhooks[0],
        selection: ALL,
        reason: "because – é".to_owned(),
        rate: Some(7),
        state: ReplayState::Running,
        total: 3,
        sent: 0,
        cursor: None,
        created_at: now,
        updated_at: now,
    }
}

async fn webhook(scene: &Scene) -> Webhook {
    let listed = scene.world.directory.list(scene.project).await.expect("webhooks");
    listed.into_iter().find(|webhook| webhook.id == scene.webhooks[0]).expect("the webhook")
}

async fn created(world: StoreWorld) -> (Scene, Replay) {
    let scene = Scene::new(world, 2).await;
    let replay = replay(&scene, 0);
    scene.world.replays.create(&replay).await.expect("create");
    (scene, replay)
}

async fn a_replay_is_kept_as_it_was_made_and_only_its_project_sees_it(world: StoreWorld) {
    let (scene, first) = created(world).await;
    let port = &scene.world.replays;
    let second = Replay { rate: None, ..replay(&scene, 1) };
    port.create(&second).await.expect("create");
    assert_eq!(port.replay(scene.project, first.id).await.expect("read").as_ref(), Some(&first));
    let listed = port.replays(scene.project, first.webhook, None, 10).await.expect("list");
    assert_eq!(listed, [second.clone(), first.clone()]);
    let after = Some((second.created_at, second.id));
    let behind = port.replays(scene.project, first.webhook, after, 10).await.expect("list");
    assert_eq!(behind, std::slice::from_ref(&first));
    assert!(port.replays(scene.project, scene.webhooks[1], None, 10).await.expect("list").is_empty());
    let stranger = project();
    assert_eq!(port.replay(stranger, first.id).await.expect("read"), None);
    assert!(port.replays(stranger, first.webhook, None, 10).await.expect("list").is_empty());
    let turned = port.turn(stranger, first.id, &[ReplayState::Running], ReplayState::Cancelled, NOW).await;
    assert_eq!(turned.expect("turn"), None);
}

async fn open_letters_of_the_range_are_counted_and_come_in_their_order_from_the_cursor(world: StoreWorld) {
    let (scene, replay) = created(world).await;
    let held = scene.hold(&[1, 2, 3, 4]).await;
    // They die in another order than they came.
    for at in [2, 0, 3, 1] {
        let bury = Change::Bury {
            key: key(&held[at], scene.webhooks[0]),
            reason: DeadReason::Fatal,
            fault: Fault::Receiver,
            attempts: 1,
            last: None,
            at: NOW,
        };
        scene.commit(&[bury]).await;
    }
    let (letters, port) = (&scene.world.dead_letters, &scene.world.replays);
    letters.discard(scene.project, scene.webhooks[0], Some(&[held[1].id]), "known", NOW, 1).await.expect("discard");
    let webhook = webhook(&scene).await;
    assert_eq!(port.count(&webhook, ALL).await.expect("count"), 3);
    let none = Selection { to: NOW, ..ALL };
    assert_eq!(port.count(&webhook, none).await.expect("count"), 0, "accepted later");
    let (items, cursor) = port.items(&replay, &webhook, 2, usize::MAX).await.expect("items");
    let ids = |items: &[spectrum_webhook_core::ports::ReplayItem]| -> Vec<EventId> {
        items.iter().map(|item| item.message.id).collect()
    };
    assert_eq!((ids(&items), cursor), (vec![held[0].id, held[2].id], Some((Sequence(3), held[2].id))));
    assert_eq!(items[0].message, held[0]);
    let later = Replay { cursor, ..replay };
    let (items, cursor) = port.items(&later, &webhook, 2, usize::MAX).await.expect("items");
    assert_eq!(ids(&items), [held[3].id]);
    let (items, cursor) = port.items(&Replay { cursor, ..later }, &webhook, 2, usize::MAX).await.expect("items");
    assert_eq!((items.len(), cursor), (0, None), "there is nothing more");
}

/// The replay that someone claims.
async fn claims(scene: &Scene, runner: OwnerId, now: i64, until: i64) -> Option<ReplayId> {
    let claimed = scene.world.replays.claim(runner, Millis(NOW.0 + now), Millis(NOW.0 + until)).await;
    claimed.expect("claim").map(|replay| replay.id)
}

async fn one_process_runs_a_replay_until_its_time_is_over(world: StoreWorld) {
    let (scene, replay) = created(world).await;
    let (one, other, port) = (owner(), owner(), &scene.world.replays);
    assert_eq!(claims(&scene, one, 1, 100).await, Some(replay.id));
    assert_eq!(claims(&scene, other, 2, 100).await, None);
    let step = ReplayStep { sent: 2, cursor: Some((Sequence(5), EventId(Uuid::from_u128(9)))) };
    let at = |after| Millis(NOW.0 + after);
    assert!(!port.progress(replay.id, other, step, at(3), at(200)).await.expect("progress"), "another's");
    assert!(port.progress(replay.id, one, step, at(3), at(200)).await.expect("progress"));
    let none = ReplayStep { sent: 1, cursor: None };
    assert!(port.progress(replay.id, one, none, at(4), at(200)).await.expect("progress"));
    let read = port.replay(scene.project, replay.id).await.expect("read").expect("a replay");
    assert_eq!((read.sent, read.cursor), (3, step.cursor), "no cursor leaves it where it is");
    assert_eq!(claims(&scene, other, 150, 300).await, None, "its time was made longer");
    assert_eq!(claims(&scene, other, 201, 300).await, Some(replay.id), "its time is over");
    assert!(!port.progress(replay.id, one, step, at(202), at(400)).await.expect("progress"), "it is another's now");
    port.release(replay.id, one).await.expect("release");
    assert_eq!(claims(&scene, one, 203, 400).await, None, "only who runs it gives it back");
    port.release(replay.id, other).await.expect("release");
    assert_eq!(claims(&scene, one, 204, 400).await, Some(replay.id));
}

async fn what_was_sent_before_a_pause_was_seen_counts_and_nobody_else_runs_it_till_then(world: StoreWorld) {
    let (scene, replay) = created(world).await;
    let (one, other, port) = (owner(), owner(), &scene.world.replays);
    assert_eq!(claims(&scene, one, 1, 100).await, Some(replay.id));
    let turn = async |from: &[ReplayState], to| {
        let turned = port.turn(scene.project, replay.id, from, to, NOW).await.expect("turn");
        turned.map(|replay| replay.state)
    };
    let pause = async || turn(&[ReplayState::Running], ReplayState::Paused).await;
    let resume = async || turn(&[ReplayState::Paused], ReplayState::Running).await;
    let sent = |sent| ReplayStep { sent, cursor: Some((Sequence(5), EventId(Uuid::from_u128(9)))) };
    let at = |after| Millis(NOW.0 + after);
    // Paused and resumed within a step: the same one goes on.
    assert_eq!((pause().await, resume().await), (Some(ReplayState::Paused), Some(ReplayState::Running)));
    assert_eq!(claims(&scene, other, 2, 100).await, None, "it is run");
    assert!(port.progress(replay.id, one, sent(1), at(3), at(100)).await.expect("progress"));
    // Paused: who runs it notes what it sent, and learns that it is to end.
    assert_eq!(pause().await, Some(ReplayState::Paused));
    assert_eq!(pause().await, None, "it is in another state");
    assert!(!port.progress(replay.id, one, sent(2), at(4), at(100)).await.expect("progress"));
    let read = port.replay(scene.project, replay.id).await.expect("read").expect("a replay");
    assert_eq!((read.sent, read.cursor), (3, sent(0).cursor));
    port.release(replay.id, one).await.expect("release");
    assert_eq!(claims(&scene, other, 1_000, 2_000).await, None, "it is paused");
    assert_eq!(resume().await, Some(ReplayState::Running));
    assert_eq!(claims(&scene, other, 1_001, 2_000).await, Some(replay.id), "at once");
    // One whose runner ended unheard is run again when its time is over.
    assert!(port.progress(replay.id, other, sent(0), at(1_002), at(100_000)).await.expect("progress"));
    assert_eq!((pause().await, resume().await), (Some(ReplayState::Paused), Some(ReplayState::Running)));
    assert_eq!(claims(&scene, one, PAUSED_HOLD, 100_000).await, None);
    assert_eq!(claims(&scene, one, PAUSED_HOLD + 1, 100_000).await, Some(replay.id), "sooner than it was held for");
}

async fn a_replay_that_ended_stays_so(world: StoreWorld) {
    let (scene, replay) = created(world).await;
    let port = &scene.world.replays;
    let open = [ReplayState::Running, ReplayState::Paused];
    for (to, expected) in [(ReplayState::Cancelled, true), (ReplayState::Running, false), (ReplayState::Done, false)] {
        let turned = port.turn(scene.project, replay.id, &open, to, NOW).await.expect("turn");
        assert_eq!(turned.is_some(), expected, "{to:?}");
    }
    assert_eq!(claims(&scene, owner(), 1_000, 2_000).await, None);
}

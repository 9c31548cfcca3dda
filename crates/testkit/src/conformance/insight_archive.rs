//! The archive: events are known for a while without a row, and nothing that a row needs goes with their time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use spectrum_webhook_core::delivery::{Command, DeadReason, Fault, Message, Purpose, Steering};
use spectrum_webhook_core::ids::{RegistryVersion, ReplayId, Sequence};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::ports::{Archived, Change, Place, Pruning, Replay, ReplayState, Selection, What};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::insight::Seen;
use super::samples::{NOW, key};
use super::store::hold;
use super::{Fixture, InsightWorld};

pub(super) async fn checks(fixture: &dyn Fixture<InsightWorld>) {
    super::checks!(fixture;
        an_archived_event_is_known_without_a_row,
        an_archived_event_stays_when_its_last_row_goes,
        an_archived_event_goes_when_its_time_is_over,
        an_event_that_a_row_needs_goes_with_that_row,
        archiving_again_prolongs,
        archived_events_are_replayed_in_the_order_of_their_places,
        closed_dead_letters_go_with_the_log_and_open_ones_stay,
        what_was_done_is_forgotten_with_the_log,
        the_archive_is_pruned_in_steps,
        an_owner_and_a_pruner_at_the_same_time_leave_no_body_behind,
    );
}

fn after(millis: i64) -> Millis {
    Millis(NOW.0 + millis)
}

fn archived(messages: &[Message], keep_until: Millis) -> Vec<Archived> {
    let archived =
        |message: &Message| Archived { sequence: Sequence(9), message: Arc::new(message.clone()), keep_until };
    messages.iter().map(archived).collect()
}

impl Seen {
    async fn archive(&self, messages: &[Message], keep_until: Millis) {
        self.scene.world.store.archive(&archived(messages, keep_until)).await.expect("archive");
    }

    async fn prune(&self, attempts_before: Millis, now: Millis, limit: u32) -> bool {
        let pruning = Pruning { attempts_before, now, limit };
        self.scene.world.store.prune(pruning).await.expect("prune")
    }

    async fn knows(&self, message: &Message) -> bool {
        self.event(message.id).await.is_some()
    }

    async fn remove(&self, message: &Message) {
        self.scene.commit(&[Change::Remove { key: key(message, self.scene.webhooks[0]) }]).await;
    }

    fn steering(&self, command: Command) -> (Message, Change) {
        let webhook = self.scene.webhooks[0];
        let steering = Steering { webhook, command, reason: "a reason".to_owned() };
        let message = Message { purpose: Purpose::Steering(Box::new(steering)), ..self.scene.message(b"") };
        (message.clone(), Change::Steer { message: Arc::new(message), at: after(3), limit: 10, outcome: None })
    }
}

async fn an_archived_event_is_known_without_a_row(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let message = Message { traceparent: Some("00-1".to_owned()), ..seen.scene.message(b"six\0\xff!") };
    // Twice in one write.
    seen.archive(&[message.clone(), message.clone()], after(10)).await;
    let facts = seen.event(message.id).await.expect("it is known");
    assert_eq!((facts.accepted_at, facts.registry, facts.size), (NOW, Some(RegistryVersion(4)), Some(6)));
    assert_eq!((facts.recipients.len(), &facts.recipients[0].own.place), (1, &Place::Nowhere));
    // What is held after is what was archived.
    seen.scene.commit(&[hold(seen.scene.webhooks[0], 1, &message)]).await;
    let read = seen
        .scene
        .world
        .store
        .read_backlog(seen.scene.webhooks[0], &Reading::lowest(1), usize::MAX)
        .await
        .expect("read");
    assert_eq!(read.deliveries[0].message, message);
}

async fn an_archived_event_stays_when_its_last_row_goes(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let held = seen.scene.hold(&[1, 2]).await;
    seen.archive(&held[..1], after(10)).await;
    for message in &held {
        seen.remove(message).await;
    }
    assert_eq!((seen.knows(&held[0]).await, seen.knows(&held[1]).await), (true, false));
}

async fn an_archived_event_goes_when_its_time_is_over(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let messages = [seen.scene.message(b"1"), seen.scene.message(b"2")];
    seen.archive(&messages[..1], after(10)).await;
    seen.archive(&messages[1..], after(11)).await;
    assert!(!seen.prune(NOW, after(9), 10).await);
    assert!(seen.knows(&messages[0]).await);
    assert!(!seen.prune(NOW, after(10), 10).await);
    assert_eq!((seen.knows(&messages[0]).await, seen.knows(&messages[1]).await), (false, true));
}

async fn an_event_that_a_row_needs_goes_with_that_row(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let held = seen.scene.hold(&[1, 2, 3]).await;
    seen.archive(&held, after(10)).await;
    let webhook = seen.scene.webhooks[0];
    seen.scene.commit(&[super::insight::set_aside(&held[1], webhook), super::insight::bury(&held[2], webhook)]).await;
    for _ in 0..2 {
        assert!(!seen.prune(NOW, after(10), 10).await);
        for message in &held {
            assert!(seen.knows(message).await);
        }
    }
    assert_eq!(seen.scene.backlog(webhook).await, [1]);
    seen.remove(&held[0]).await;
    assert!(!seen.knows(&held[0]).await, "its time was over, and its last row is gone");
}

async fn archiving_again_prolongs(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let message = seen.scene.message(b"1");
    seen.archive(std::slice::from_ref(&message), after(10)).await;
    seen.archive(std::slice::from_ref(&message), after(20)).await;
    seen.prune(NOW, after(19), 10).await;
    assert!(seen.knows(&message).await);
    seen.prune(NOW, after(20), 10).await;
    assert!(!seen.knows(&message).await);
    seen.scene.world.store.archive(&[]).await.expect("archive none");
}

async fn archived_events_are_replayed_in_the_order_of_their_places(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let messages: Vec<Message> = (0..4_u8).map(|number| seen.scene.message(&[number])).collect();
    let places = async |places: &[(usize, i64)]| {
        let event = |(number, sequence): &(usize, i64)| Archived {
            sequence: Sequence(*sequence),
            message: Arc::new(messages[*number].clone()),
            keep_until: after(10),
        };
        let events: Vec<Archived> = places.iter().map(event).collect();
        seen.scene.world.store.archive(&events).await.expect("archive");
    };
    // The last is held for the webhook: it comes by itself.
    seen.scene.commit(&[hold(seen.scene.webhooks[0], 4, &messages[3])]).await;
    // One after another, and two of one event at once.
    for places_of_one_write in [&[(0, 30)][..], &[(1, 10)], &[(2, 20)], &[(3, 40)], &[(1, 50), (1, 10)], &[(2, 15)]] {
        places(places_of_one_write).await;
    }
    let listed = seen.scene.world.directory.list(seen.scene.project).await.expect("list").remove(0);
    let selection = Selection { what: What::All, from: NOW, to: after(1) };
    let replay = Replay {
        id: ReplayId(Uuid::now_v7()),
        project: seen.scene.project,
        webhook: listed.id,
        selection,
        reason: "r".to_owned(),
        rate: None,
        state: ReplayState::Running,
        total: 3,
        sent: 0,
        cursor: None,
        created_at: NOW,
        updated_at: NOW,
    };
    let replays = &seen.scene.world.replays;
    assert_eq!(replays.count(&listed, selection).await.expect("count"), 3);
    let (items, _) = replays.items(&replay, &listed, 10, usize::MAX).await.expect("items");
    let order: Vec<(i64, &[u8])> = items.iter().map(|item| (item.sequence.0, &item.message.body[..])).collect();
    assert_eq!(order, [(20, &[2_u8][..]), (30, &[0]), (50, &[1])], "the later place counts");
}

async fn closed_dead_letters_go_with_the_log_and_open_ones_stay(world: InsightWorld) {
    let seen = Seen::new(world, 2).await;
    let (webhook, other) = (seen.scene.webhooks[0], seen.scene.webhooks[1]);
    let held = seen.scene.hold(&[1, 2, 3, 4]).await;
    let bury = |message: &Message, webhook| Change::Bury {
        key: key(message, webhook),
        reason: DeadReason::Fatal,
        fault: Fault::Receiver,
        attempts: 1,
        last: None,
        at: NOW,
    };
    // The second is closed at one webhook and open at the other, the third archived.
    seen.scene.commit(&[hold(other, 2, &held[1]), bury(&held[1], other)]).await;
    seen.archive(&held[2..3], after(1_000)).await;
    let buried: Vec<Change> = held.iter().map(|message| bury(message, webhook)).collect();
    seen.scene.commit(&buried).await;
    let letters = &seen.scene.world.dead_letters;
    let ids: Vec<_> = held[..3].iter().map(|message| message.id).collect();
    letters.discard(seen.scene.project, webhook, Some(&ids), "r", after(5), 10).await.expect("discard");
    seen.prune(after(5), NOW, 10).await;
    assert!(seen.scene.has_row(&held[0]).await, "it was closed then");
    seen.prune(after(6), NOW, 10).await;
    for (message, (row, known)) in held.iter().zip([(false, false), (false, true), (false, true), (true, true)]) {
        assert_eq!((seen.scene.has_row(message).await, seen.knows(message).await), (row, known));
    }
    assert!(matches!(seen.recipient(held[1].id, other).await.own.place, Place::Dead(_)));
}

async fn what_was_done_is_forgotten_with_the_log(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let (done, change) = seen.steering(Command::Resume);
    seen.scene.commit(&[change]).await;
    seen.prune(NOW, NOW, 10).await;
    assert!(seen.scene.has_row(&done).await, "it was asked for then");
    seen.prune(after(1), NOW, 10).await;
    assert!(!seen.scene.has_row(&done).await);
}

async fn the_archive_is_pruned_in_steps(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let messages: Vec<Message> = (0..150_u8).map(|number| seen.scene.message(&[number])).collect();
    seen.archive(&messages, after(10)).await;
    assert!(seen.prune(NOW, after(10), 100).await, "there is more");
    assert!(!seen.prune(NOW, after(10), 100).await);
    for message in &messages {
        assert!(!seen.knows(message).await);
    }
}

async fn an_owner_and_a_pruner_at_the_same_time_leave_no_body_behind(world: InsightWorld) {
    let seen = Seen::new(world, 2).await;
    let webhooks = [seen.scene.webhooks[0], seen.scene.webhooks[1]];
    let store = &seen.scene.world.store;
    let rounds: Vec<Vec<Message>> = (0..40).map(|_| (0..5).map(|_| seen.scene.message(b"{}")).collect()).collect();
    let owner = async {
        for messages in &rounds {
            let holds = messages.iter().flat_map(|message| webhooks.map(|webhook| hold(webhook, 1, message)));
            let removals = |webhook| messages.iter().map(move |message| Change::Remove { key: key(message, webhook) });
            for changes in [holds.collect::<Vec<_>>(), removals(webhooks[0]).collect(), removals(webhooks[1]).collect()]
            {
                // An event that is held for the first time when its time is over may go in between: tried again, it is
                // held.
                while let Err(error) = store.commit(&seen.scene.lease, &changes).await {
                    assert!(error.is_retriable(), "{error}");
                }
            }
        }
    };
    let archive = async {
        for messages in &rounds {
            let events = archived(messages, after(1));
            while let Err(error) = store.archive(&events).await {
                assert!(error.is_retriable(), "{error}");
            }
        }
    };
    let done = AtomicBool::new(false);
    let pruner = async {
        while !done.load(Ordering::Relaxed) {
            let pruning = Pruning { attempts_before: NOW, now: after(10), limit: 20 };
            if let Err(error) = store.prune(pruning).await {
                assert!(error.is_retriable(), "{error}");
            }
            tokio::task::yield_now().await;
        }
    };
    let work = async {
        tokio::join!(owner, archive);
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(work, pruner);
    while seen.prune(NOW, after(10), 20).await {}
    for message in rounds.iter().flatten() {
        assert!(!seen.knows(message).await, "{} is left behind", message.id);
    }
}

//! Insight: what became of an event, from what owners wrote. The delivery log is in `insight_log`, the
//! archive in `insight_archive`.

use std::sync::Arc;

use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Failure, Next};
use spectrum_webhook_core::delivery::{
    Closing, Command, DeadReason, Directed, Fault, HeldDelivery, LastAttempt, Message, Purpose, Steering,
};
use spectrum_webhook_core::ids::{EventId, RegistryVersion, Sequence, WebhookId};
use spectrum_webhook_core::ordering::{Ordering, Space};
use spectrum_webhook_core::ports::{
    Change, EventFacts, First, Insight, LaneMode, LaneRecord, Line, Place, Recipient, WebhookFacts, WebhookPatch,
};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::samples::{NOW, held, key, project};
use super::store::{Scene, hold, register};
use super::{Fixture, InsightWorld, checks, insight_archive, insight_log};

/// Checks an insight.
pub async fn insight(fixture: &dyn Fixture<InsightWorld>) {
    checks!(fixture;
        of_an_unknown_event_nothing_is_known,
        an_event_is_known_by_its_rows,
        an_event_is_known_by_the_log_alone,
        each_place_of_a_delivery_is_found,
        a_closed_dead_letter_says_how_it_was_closed,
        the_line_before_a_delivery_is_counted_and_its_first_named,
        what_is_before_a_delivery_is_counted_within_its_order,
        the_attempts_of_a_delivery_are_summed_up,
        a_resend_is_found_with_its_event,
        of_deleted_webhooks_those_are_shown_that_an_event_concerned,
        a_test_concerns_one_webhook,
        a_webhook_is_seen_with_what_waits_for_it,
        a_webhook_of_another_project_is_not_seen,
    );
    insight_log::checks(fixture).await;
    insight_archive::checks(fixture).await;
}

/// A scene, and what is seen of it.
pub(super) struct Seen {
    pub(super) scene: Scene,
    pub(super) insight: Arc<dyn Insight>,
}

impl Seen {
    pub(super) async fn new(world: InsightWorld, webhooks: usize) -> Self {
        Self { insight: world.insight, scene: Scene::new(world.store, webhooks).await }
    }

    pub(super) async fn event(&self, event: EventId) -> Option<EventFacts> {
        self.insight.event(self.scene.project, event).await.expect("an event")
    }

    pub(super) async fn recipient(&self, event: EventId, webhook: WebhookId) -> Recipient {
        let facts = self.event(event).await.expect("it is known");
        facts.recipients.into_iter().find(|recipient| recipient.webhook.id == webhook).expect("the webhook")
    }

    async fn webhook(&self, webhook: WebhookId) -> WebhookFacts {
        let facts = self.insight.webhook(self.scene.project, webhook).await.expect("a webhook");
        facts.expect("it is known")
    }

    fn attempt_of(&self, message: &Message, number: u32, ended: Ended, next: Next) -> AttemptRecord {
        let event = message.event();
        let mut attempt =
            AttemptRecord { resend: message.resend(), number, ended, next, ..self.attempt(i64::from(number), 200) };
        attempt.key.event = event;
        attempt
    }
}

fn answered(status: u16) -> Ended {
    Ended::Answered { status, retry_after: None }
}

pub(super) fn set_aside(message: &Message, webhook: WebhookId) -> Change {
    let last = LastAttempt::Failed(Failure::Timeout);
    Change::SetAside { key: key(message, webhook), attempts: 6, last, at: Millis(NOW.0 + 5) }
}

pub(super) fn bury(message: &Message, webhook: WebhookId) -> Change {
    Change::Bury {
        key: key(message, webhook),
        reason: DeadReason::Fatal,
        fault: Fault::Receiver,
        attempts: 2,
        last: Some(LastAttempt::Status(400)),
        at: Millis(NOW.0 + 6),
    }
}

fn directed(message: Message, webhook: WebhookId, event: EventId) -> Message {
    Message { purpose: Purpose::Directed(Directed { webhook, event }), ..message }
}

async fn of_an_unknown_event_nothing_is_known(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    assert_eq!(seen.event(EventId(Uuid::now_v7())).await, None);
    // Nor of one that another project has, whatever there is of it.
    let held = seen.scene.hold(&[1]).await;
    seen.record(&[seen.attempt_of(&held[0], 1, answered(200), Next::Delivered)]).await;
    assert!(seen.event(held[0].id).await.is_some());
    assert_eq!(seen.insight.event(project(), held[0].id).await.expect("an answer"), None);
}

async fn an_event_is_known_by_its_rows(world: InsightWorld) {
    let seen = Seen::new(world, 2).await;
    let held = seen.scene.hold(&[1]).await;
    let facts = seen.event(held[0].id).await.expect("it is known");
    assert_eq!((facts.event, facts.event_type.as_str(), facts.accepted_at), (held[0].id, "messages", NOW));
    assert_eq!((facts.registry, facts.size, facts.directed), (Some(RegistryVersion(4)), Some(1), false));
    let ids: Vec<WebhookId> = facts.recipients.iter().map(|recipient| recipient.webhook.id).collect();
    assert_eq!(ids, seen.scene.webhooks, "oldest first");
    let webhooks = seen.scene.world.directory.list(seen.scene.project).await.expect("list");
    assert_eq!(facts.recipients[0].webhook, webhooks[0]);
}

async fn an_event_is_known_by_the_log_alone(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let message = seen.scene.message(b"{}");
    seen.record(&[seen.attempt_of(&message, 1, answered(204), Next::Delivered)]).await;
    let facts = seen.event(message.id).await.expect("it is known");
    assert_eq!((facts.registry, facts.size, facts.event_type.as_str()), (None, None, "messages"));
    assert_eq!(facts.accepted_at, message.id.given_at().expect("a UUIDv7"), "its id tells");
    let tried = facts.recipients[0].own.tried.as_ref().expect("it was tried");
    assert_eq!((tried.attempts, tried.delivered_at), (1, Some(Millis(NOW.0 + 1))));
}

async fn each_place_of_a_delivery_is_found(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let webhook = seen.scene.webhooks[0];
    let held = seen.scene.hold(&[1, 2, 3]).await;
    seen.scene.commit(&[set_aside(&held[0], webhook), bury(&held[1], webhook)]).await;
    let place = async |message: &Message| seen.recipient(message.id, webhook).await.own.place;
    let last = LastAttempt::Failed(Failure::Timeout);
    assert_eq!(place(&held[0]).await, Place::SetAside { attempts: 6, last, at: Millis(NOW.0 + 5) });
    let Place::Dead(dead) = place(&held[1]).await else { panic!("no dead letter") };
    assert_eq!((dead.reason, dead.fault, dead.attempts), (DeadReason::Fatal, Fault::Receiver, 2));
    assert_eq!((dead.last, dead.died_at), (Some(LastAttempt::Status(400)), Millis(NOW.0 + 6)));
    assert_eq!((dead.closed, dead.closed_reason, dead.resent_as), (None, None, None));
    assert_eq!(place(&held[2]).await, Place::Backlog { sequence: Sequence(3), space: Space(0), attempts: 0 });
}

async fn what_is_before_a_delivery_is_counted_within_its_order(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let (project, webhook) = (seen.scene.project, seen.scene.webhooks[0]);
    let messages: Vec<Message> = (0..6)
        .map(|number| seen.scene.message(format!(r#"{{"space":{{"id":"{}"}}}}"#, number % 2).as_bytes()))
        .collect();
    let holds: Vec<Change> = messages
        .iter()
        .zip(1..)
        .map(|(message, sequence)| {
            let delivery = HeldDelivery { space: Space::of(&message.body), ..held(sequence, message) };
            Change::Hold { webhook, delivery: Box::new(delivery) }
        })
        .collect();
    seen.scene.commit(&holds).await;
    for (ordering, ahead, first) in
        [(Ordering::Project, 4, Some(0)), (Ordering::Space, 2, Some(0)), (Ordering::None, 0, None)]
    {
        let patch = WebhookPatch { ordering: Some(ordering), ..WebhookPatch::default() };
        seen.scene.world.directory.patch(project, webhook, patch, NOW).await.expect("patch");
        let line = seen.recipient(messages[4].id, webhook).await.own.line.expect("it waits");
        assert_eq!(line.ahead, ahead, "{ordering:?}");
        assert_eq!(line.first.map(|first| first.message), first.map(|first: usize| messages[first].id), "{ordering:?}");
    }
}

async fn a_closed_dead_letter_says_how_it_was_closed(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let webhook = seen.scene.webhooks[0];
    let held = seen.scene.hold(&[1]).await;
    let steering = Steering { webhook, command: Command::Drop(NOW), reason: "a 'reason'".to_owned() };
    let message = Message { purpose: Purpose::Steering(Box::new(steering)), ..seen.scene.message(b"") };
    let at = Millis(NOW.0 + 9);
    seen.scene.commit(&[Change::Steer { message: Arc::new(message), at, limit: 10, outcome: None }]).await;
    let Place::Dead(dead) = seen.recipient(held[0].id, webhook).await.own.place else { panic!("no dead letter") };
    assert_eq!((dead.reason, dead.closed), (DeadReason::Dropped, Some((at, Closing::Dropped))));
    assert_eq!(dead.closed_reason.as_deref(), Some("a 'reason'"));
}

async fn the_line_before_a_delivery_is_counted_and_its_first_named(world: InsightWorld) {
    let seen = Seen::new(world, 2).await;
    let webhook = seen.scene.webhooks[0];
    let held = seen.scene.hold(&[10, 20, 30]).await;
    let newest = seen.attempt_of(&held[0], 2, answered(503), Next::Retry(Millis(NOW.0 + 99)));
    let first = Some(First { message: held[0].id, accepted_at: NOW, newest: Some(newest.clone()) });
    seen.record(&[seen.attempt_of(&held[0], 1, answered(500), Next::Retry(NOW)), newest]).await;
    let mode = LaneMode::Outage { since: NOW, probes: 2, next_probe: Millis(NOW.0 + 7), proven: true };
    let record = LaneRecord { mode, exhausted: 3 };
    seen.scene.commit(&[Change::Lane { webhook, record: Some(record), at: NOW }]).await;

    let head = seen.recipient(held[0].id, webhook).await;
    assert_eq!(head.own.line.map(|line| line.ahead), Some(0));
    let last = seen.recipient(held[2].id, webhook).await;
    assert_eq!((last.lane, last.own.line), (Some(record), Some(Line { ahead: 2, first: first.clone() })));
    // Of an event that has no row there, whatever may be on its way to it comes behind all that waits.
    let other = seen.scene.webhooks[1];
    let elsewhere = seen.scene.message(b"elsewhere");
    seen.scene.commit(&[hold(other, 40, &elsewhere)]).await;
    let facts = seen.event(elsewhere.id).await.expect("it is known");
    let lines: Vec<Option<u64>> =
        facts.recipients.iter().map(|recipient| recipient.own.line.as_ref().map(|line| line.ahead)).collect();
    assert_eq!(lines, [Some(3), Some(0)]);
    assert_eq!(facts.recipients[0].own.line.as_ref().and_then(|line| line.first.clone()), first);
}

async fn the_attempts_of_a_delivery_are_summed_up(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let message = seen.scene.message(b"{}");
    let failed = |number| seen.attempt_of(&message, number, answered(500), Next::Retry(NOW));
    let delivered = seen.attempt_of(&message, 3, answered(200), Next::Delivered);
    let repeat = seen.attempt_of(&message, 4, Ended::Failed(Failure::Reset), Next::Undecided);
    seen.record(&[failed(1), failed(2)]).await;
    let tried = |recipient: Recipient| recipient.own.tried.expect("it was tried");
    let newest = tried(seen.recipient(message.id, seen.scene.webhooks[0]).await);
    assert_eq!((newest.newest, newest.attempts, newest.delivered_at), (failed(2), 2, None));
    seen.record(&[delivered.clone(), repeat.clone()]).await;
    let newest = tried(seen.recipient(message.id, seen.scene.webhooks[0]).await);
    assert_eq!((newest.newest, newest.attempts, newest.delivered_at), (repeat, 4, Some(delivered.started_at)));
}

async fn a_resend_is_found_with_its_event(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let webhook = seen.scene.webhooks[0];
    let held = seen.scene.hold(&[1]).await;
    let waiting = directed(seen.scene.message(b"again"), webhook, held[0].id);
    let delivered = directed(seen.scene.message(b"again"), webhook, held[0].id);
    seen.scene.commit(&[bury(&held[0], webhook), hold(webhook, 2, &waiting)]).await;
    let attempt = seen.attempt_of(&delivered, 1, answered(200), Next::Delivered);
    seen.record(std::slice::from_ref(&attempt)).await;
    // By its own id, and by the id of a resend that is kept.
    for asked in [held[0].id, waiting.id] {
        let facts = seen.event(asked).await.expect("it is known");
        assert_eq!((facts.event, facts.directed, facts.recipients.len()), (held[0].id, false, 1));
        let recipient = seen.recipient(asked, webhook).await;
        assert!(matches!(recipient.own.place, Place::Dead(_)) && recipient.own.tried.is_none());
        let ids: Vec<EventId> = recipient.resends.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [waiting.id, delivered.id], "oldest first");
        let [(_, first), (_, second)] = &recipient.resends[..] else { panic!("two") };
        assert_eq!(first.place, Place::Backlog { sequence: Sequence(2), space: Space(0), attempts: 0 });
        assert_eq!(first.line.as_ref().map(|line| line.ahead), Some(0));
        assert_eq!(second.tried.as_ref().map(|tried| &tried.newest), Some(&attempt));
    }
}

async fn of_deleted_webhooks_those_are_shown_that_an_event_concerned(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let (project, directory) = (seen.scene.project, &seen.scene.world.directory);
    let mut deleted = Vec::new();
    for (number, at) in [(1, Millis(NOW.0 - 1)), (2, Millis(NOW.0 + 1)), (3, Millis(NOW.0 - 1))] {
        let id = register(&seen.scene.world, project, &format!("https://example.com/deleted/{number}")).await;
        directory.delete(project, id, at).await.expect("delete");
        deleted.push((id, at));
    }
    let held = seen.scene.hold(&[1]).await;
    // The third was deleted before, and has something of it all the same.
    let mut attempt = seen.attempt_of(&held[0], 1, answered(200), Next::Delivered);
    attempt.key.webhook = deleted[2].0;
    seen.record(&[attempt]).await;
    let facts = seen.event(held[0].id).await.expect("it is known");
    let shown: Vec<_> = facts.recipients.iter().map(|recipient| (recipient.webhook.id, recipient.deleted_at)).collect();
    let expected =
        [(seen.scene.webhooks[0], None), (deleted[1].0, Some(deleted[1].1)), (deleted[2].0, Some(deleted[2].1))];
    assert_eq!(shown, expected);
}

async fn a_test_concerns_one_webhook(world: InsightWorld) {
    let seen = Seen::new(world, 2).await;
    let webhook = seen.scene.webhooks[1];
    let test = seen.scene.message(b"{}");
    let test = directed(test.clone(), webhook, test.id);
    seen.scene.commit(&[hold(webhook, 1, &test)]).await;
    let facts = seen.event(test.id).await.expect("it is known");
    assert!(facts.directed && facts.recipients.len() == 1);
    assert_eq!(facts.recipients[0].webhook.id, webhook);
}

async fn a_webhook_is_seen_with_what_waits_for_it(world: InsightWorld) {
    let seen = Seen::new(world, 2).await;
    let webhook = seen.scene.webhooks[0];
    let empty = seen.webhook(webhook).await;
    assert_eq!((empty.lane, empty.backlog), (None, Line { ahead: 0, first: None }));
    assert_eq!((empty.newest, empty.last_success, empty.last_failure), (None, None, None));

    let held = seen.scene.hold(&[1, 2, 3, 4]).await;
    seen.scene.commit(&[set_aside(&held[0], webhook), bury(&held[1], webhook)]).await;
    let record = LaneRecord { mode: LaneMode::Suspect, exhausted: 1 };
    seen.scene.commit(&[Change::Lane { webhook, record: Some(record), at: NOW }]).await;
    let good = seen.attempt_of(&held[2], 1, answered(200), Next::Delivered);
    let bad = seen.attempt_of(&held[2], 2, Ended::Failed(Failure::Connect), Next::Retry(NOW));
    seen.record(&[good.clone(), bad.clone()]).await;
    let facts = seen.webhook(webhook).await;
    assert_eq!((facts.lane, facts.set_aside, facts.dead_letters), (Some(record), 1, 1));
    assert_eq!((facts.backlog.ahead, facts.backlog.first.map(|first| first.message)), (2, Some(held[2].id)));
    assert_eq!(facts.oldest_aside, Some((Millis(NOW.0 + 5), NOW)));
    assert_eq!((facts.last_success, facts.newest), (Some(good.started_at), Some(bad.clone())));
    assert_eq!(facts.last_failure, Some((bad.started_at, LastAttempt::Failed(Failure::Connect))));
    // The other one has none of it.
    let other = seen.webhook(seen.scene.webhooks[1]).await;
    assert_eq!((other.backlog.ahead, other.set_aside, other.dead_letters, other.newest), (0, 0, 0, None));
}

async fn a_webhook_of_another_project_is_not_seen(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let webhook = seen.scene.webhooks[0];
    assert_eq!(seen.insight.webhook(project(), webhook).await.expect("an answer"), None);
    seen.scene.world.directory.delete(seen.scene.project, webhook, NOW).await.expect("delete");
    let deleted = seen.insight.webhook(seen.scene.project, webhook).await.expect("an answer");
    assert_eq!(deleted, None, "nor one that is deleted");
}

//! Dead letters and steerings, as people see them: in their own project, page by page, closed once.

use spectrum_webhook_core::delivery::{Closing, Command, DeadReason, Directed, Fault, LastAttempt, Message, Purpose};
use spectrum_webhook_core::ids::{EventId, WebhookId};
use spectrum_webhook_core::ports::{Change, DeadLetter, Discarded, LetterQuery};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::samples::{NOW, key, project};
use super::store::{Scene, hold};
use super::store_moves::steer;
use super::{Fixture, StoreWorld, checks};

/// Checks dead letters and steerings.
pub async fn dead_letters(fixture: &dyn Fixture<StoreWorld>) {
    checks!(fixture;
        a_letter_is_read_as_it_died,
        letters_come_newest_first_in_pages_and_as_they_were_asked_for,
        of_two_resends_of_a_letter_both_are_the_same,
        a_resend_that_died_is_a_letter_of_its_event,
        discarding_closes_what_is_named_or_all_in_steps,
        a_closed_letter_stays_settled,
        another_projects_letters_are_neither_seen_nor_changed,
        steerings_come_newest_first_and_only_to_their_project,
        the_first_that_waits_is_the_lowest_also_of_one_event,
    );
}

fn bury(webhook: WebhookId, message: &Message, after: i64) -> Change {
    Change::Bury {
        key: key(message, webhook),
        reason: DeadReason::Fatal,
        fault: Fault::Receiver,
        attempts: 3,
        last: Some(LastAttempt::Status(422)),
        at: Millis(NOW.0 + after),
    }
}

/// A scene with letters of its first webhook that died one millisecond after the other.
async fn letters(world: StoreWorld, count: i64) -> (Scene, Vec<Message>) {
    let scene = Scene::new(world, 2).await;
    let messages = scene.hold(&(1..=count).collect::<Vec<_>>()).await;
    let buries: Vec<Change> =
        messages.iter().zip(1..).map(|(message, after)| bury(scene.webhooks[0], message, after)).collect();
    scene.commit(&buries).await;
    (scene, messages)
}

fn all(scene: &Scene) -> LetterQuery {
    LetterQuery {
        project: scene.project,
        webhook: None,
        closed: None,
        reason: None,
        fault: None,
        from: None,
        to: None,
        after: None,
        limit: 100,
    }
}

async fn found(scene: &Scene, query: LetterQuery) -> Vec<DeadLetter> {
    scene.world.dead_letters.letters(&query).await.expect("letters")
}

fn ids(letters: &[DeadLetter]) -> Vec<EventId> {
    letters.iter().map(|letter| letter.id).collect()
}

async fn a_letter_is_read_as_it_died(world: StoreWorld) {
    let (scene, messages) = letters(world, 1).await;
    let webhook = scene.webhooks[0];
    let read = scene.world.dead_letters.letter(scene.project, webhook, messages[0].id).await.expect("read");
    let (letter, message) = read.expect("a letter");
    assert_eq!(message, messages[0]);
    assert_eq!((letter.id, letter.event, letter.webhook), (message.id, message.id, webhook));
    assert_eq!((letter.reason, letter.fault, letter.attempts), (DeadReason::Fatal, Fault::Receiver, 3));
    assert_eq!((letter.last.as_deref(), letter.died_at), (Some("status_422"), Millis(NOW.0 + 1)));
    assert_eq!((letter.closed, letter.closed_reason, letter.resent_as), (None, None, None));
}

async fn letters_come_newest_first_in_pages_and_as_they_were_asked_for(world: StoreWorld) {
    let (scene, messages) = letters(world, 5).await;
    let newest: Vec<EventId> = messages.iter().rev().map(|message| message.id).collect();
    let first = found(&scene, LetterQuery { limit: 2, ..all(&scene) }).await;
    assert_eq!(ids(&first), newest[..2]);
    // One that dies meanwhile moves no page.
    let late = scene.hold(&[9]).await;
    scene.commit(&[bury(scene.webhooks[0], &late[0], 9)]).await;
    let last = &first[1];
    let after = Some((last.died_at, last.id, last.webhook));
    assert_eq!(ids(&found(&scene, LetterQuery { after, ..all(&scene) }).await), newest[2..]);

    let (from, to) = (Some(Millis(NOW.0 + 2)), Some(Millis(NOW.0 + 4)));
    assert_eq!(ids(&found(&scene, LetterQuery { from, to, ..all(&scene) }).await), newest[2..4]);
    for (query, count) in [
        (LetterQuery { webhook: Some(scene.webhooks[0]), ..all(&scene) }, 6),
        (LetterQuery { webhook: Some(scene.webhooks[1]), ..all(&scene) }, 0),
        (LetterQuery { reason: Some(DeadReason::Fatal), fault: Some(Fault::Receiver), ..all(&scene) }, 6),
        (LetterQuery { reason: Some(DeadReason::Poison), ..all(&scene) }, 0),
        (LetterQuery { fault: Some(Fault::Platform), ..all(&scene) }, 0),
        (LetterQuery { closed: Some(false), ..all(&scene) }, 6),
        (LetterQuery { closed: Some(true), ..all(&scene) }, 0),
    ] {
        assert_eq!(found(&scene, query.clone()).await.len(), count, "{query:?}");
    }
}

async fn of_two_resends_of_a_letter_both_are_the_same(world: StoreWorld) {
    let (scene, messages) = letters(world, 1).await;
    let (port, webhook, id) = (&scene.world.dead_letters, scene.webhooks[0], messages[0].id);
    let (one, two) = (EventId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    let first = port.begin_resend(scene.project, webhook, id, one).await.expect("begin").expect("open");
    assert_eq!((first.id, &first.message), (one, &messages[0]));
    let second = port.begin_resend(scene.project, webhook, id, two).await.expect("begin").expect("open");
    assert_eq!(second, first);
    port.end_resend(webhook, id, NOW).await.expect("end");
    assert_eq!(port.begin_resend(scene.project, webhook, id, two).await.expect("begin"), None, "it is closed");
    let letter = found(&scene, all(&scene)).await.remove(0);
    assert_eq!((letter.closed, letter.resent_as), (Some((NOW, Closing::Resent)), Some(one)));
}

async fn a_resend_that_died_is_a_letter_of_its_event(world: StoreWorld) {
    let (scene, messages) = letters(world, 1).await;
    let (webhook, event) = (scene.webhooks[0], messages[0].id);
    let resend = Message { purpose: Purpose::Directed(Directed { webhook, event }), ..scene.message(b"again") };
    scene.commit(&[hold(webhook, 2, &resend), bury(webhook, &resend, 2)]).await;
    let letter = found(&scene, all(&scene)).await.remove(0);
    assert_eq!((letter.id, letter.event), (resend.id, event));
}

async fn discarding_closes_what_is_named_or_all_in_steps(world: StoreWorld) {
    let (scene, messages) = letters(world, 5).await;
    let (port, webhook, at) = (&scene.world.dead_letters, scene.webhooks[0], Millis(NOW.0 + 5));
    let named = [messages[3].id, EventId(Uuid::now_v7())];
    for letters in [1, 0] {
        let done = port.discard(scene.project, webhook, Some(&named), "named", at, 1).await;
        assert_eq!(done.expect("discard"), Discarded { letters, more: false });
    }
    let before = port.discard(scene.project, webhook, None, "all", NOW, 3).await;
    assert_eq!(before.expect("discard"), Discarded { letters: 0, more: false }, "none was dead then");
    for (letters, more) in [(3, true), (1, false), (0, false)] {
        let done = port.discard(scene.project, webhook, None, "all", at, 3).await;
        assert_eq!(done.expect("discard"), Discarded { letters, more });
    }
    let letters = found(&scene, all(&scene)).await;
    assert!(letters.iter().all(|letter| letter.closed == Some((at, Closing::Discarded))));
    let reasons: Vec<_> = letters.iter().filter_map(|letter| letter.closed_reason.as_deref()).collect();
    assert_eq!(reasons, ["all", "named", "all", "all", "all"]);
    assert_eq!(scene.world.store.totals().await.expect("totals").dead_letters, 0, "none is open");
}

async fn a_closed_letter_stays_settled(world: StoreWorld) {
    let (scene, messages) = letters(world, 1).await;
    let port = &scene.world.dead_letters;
    port.discard(scene.project, scene.webhooks[0], None, "all", Millis(NOW.0 + 1), 3).await.expect("discard");
    assert!(scene.has_row(&messages[0]).await);
    // A copy that comes again is not held again either.
    scene.commit(&[hold(scene.webhooks[0], 5, &messages[0])]).await;
    assert_eq!(scene.backlog(scene.webhooks[0]).await, [0_i64; 0]);
}

async fn another_projects_letters_are_neither_seen_nor_changed(world: StoreWorld) {
    let (scene, messages) = letters(world, 1).await;
    let (port, webhook, id, other) = (&scene.world.dead_letters, scene.webhooks[0], messages[0].id, project());
    assert!(found(&scene, LetterQuery { project: other, ..all(&scene) }).await.is_empty());
    assert_eq!(port.letter(other, webhook, id).await.expect("read"), None);
    assert_eq!(port.begin_resend(other, webhook, id, id).await.expect("begin"), None);
    let none = Discarded { letters: 0, more: false };
    assert_eq!(port.discard(other, webhook, Some(&[id]), "mischief", NOW, 9).await.expect("discard"), none);
    assert_eq!(port.discard(other, webhook, None, "mischief", NOW, 9).await.expect("discard"), none);
    assert_eq!(found(&scene, all(&scene)).await[0].closed, None);
}

async fn steerings_come_newest_first_and_only_to_their_project(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let (port, webhook) = (&scene.world.steerings, scene.webhooks[0]);
    let held = scene.hold(&[1, 2]).await;
    let mut orders = Vec::new();
    for command in [Command::Skip(held[0].id), Command::Drop(NOW), Command::Resume] {
        let (order, change) = steer(&scene, command);
        scene.commit(&[change]).await;
        orders.push(order.id);
    }
    let listed = port.steerings(scene.project, webhook, None, 10).await.expect("steerings");
    assert_eq!(listed.iter().map(|steered| steered.id).rev().collect::<Vec<_>>(), orders);
    let commands: Vec<_> = listed.iter().map(|steered| (steered.command.as_str(), steered.deliveries)).collect();
    assert_eq!(commands, [("resume", 0), ("drop", 1), ("skip", 1)]);
    assert_eq!(
        (listed[2].event, listed[2].reason.as_str(), listed[2].done_at),
        (Some(held[0].id), "a reason", Some(NOW))
    );
    let after = Some((listed[0].asked_at, listed[0].id));
    assert_eq!(port.steerings(scene.project, webhook, after, 1).await.expect("steerings"), listed[1..2]);
    assert_eq!(port.steered(scene.project, orders[0]).await.expect("one").as_ref(), Some(&listed[2]));
    assert_eq!(port.steered(project(), orders[0]).await.expect("one"), None);
    assert!(port.steerings(project(), webhook, None, 10).await.expect("steerings").is_empty());
}

async fn the_first_that_waits_is_the_lowest_also_of_one_event(world: StoreWorld) {
    let scene = Scene::new(world, 2).await;
    let webhook = scene.webhooks[0];
    let port = &scene.world.steerings;
    assert_eq!(port.first_waiting(webhook, None).await.expect("first"), None);
    let held = scene.hold(&[3, 2]).await;
    let resend =
        Message { purpose: Purpose::Directed(Directed { webhook, event: held[0].id }), ..scene.message(b"again") };
    scene.commit(&[hold(webhook, 1, &resend)]).await;
    assert_eq!(port.first_waiting(webhook, None).await.expect("first"), Some(resend.id));
    assert_eq!(port.first_waiting(webhook, Some(held[0].id)).await.expect("first"), Some(resend.id));
    assert_eq!(port.first_waiting(webhook, Some(held[1].id)).await.expect("first"), Some(held[1].id));
    assert_eq!(port.first_waiting(scene.webhooks[1], None).await.expect("first"), None);
}

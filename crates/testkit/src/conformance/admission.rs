//! Admission: only what is known to be durable is a duplicate.

use std::sync::Arc;

use spectrum_webhook_core::ids::{EventId, ProjectId};
use spectrum_webhook_core::ports::{IdempotencyKey, Publication, Verdict};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::samples::{NOW, PARTITION, idempotency, message, project};
use super::{AdmissionWorld, Fixture, checks};

/// Checks admission.
pub async fn admission(fixture: &dyn Fixture<AdmissionWorld>) {
    checks!(fixture;
        without_a_key_nothing_is_a_duplicate,
        a_durable_post_makes_its_repeats_duplicates,
        a_key_with_another_body_is_refused,
        a_failed_publish_is_tried_again_under_its_id,
        a_repeat_waits_for_the_outcome_of_a_pending_post,
        a_repeat_of_a_post_that_failed_meanwhile_publishes_under_its_id,
        a_pending_key_with_another_body_is_refused,
        keys_belong_to_a_project,
        a_record_is_forgotten_when_it_expires,
    );
}

async fn begin(world: &AdmissionWorld, project: ProjectId, key: &IdempotencyKey, now: Millis) -> (EventId, Verdict) {
    let proposed = EventId(Uuid::now_v7());
    let admitted = world.admission.begin(PARTITION, project, proposed, Some(key), now).await.expect("begin");
    (proposed, admitted.verdict)
}

async fn publish(world: &AdmissionWorld, project: ProjectId, id: EventId, key: &IdempotencyKey) {
    let mut message = message(b"{}");
    (message.id, message.project) = (id, project);
    let publication = Publication { message, again: false, idempotency: Some(key.clone()) };
    world.queue.publish(PARTITION, publication).await.expect("publish");
}

async fn end(world: &AdmissionWorld, project: ProjectId, id: EventId, key: &IdempotencyKey, durable: bool) {
    world.admission.end(PARTITION, project, id, key, durable).await.expect("end");
}

/// A post that is accepted.
async fn accept(world: &AdmissionWorld, project: ProjectId, key: &IdempotencyKey) -> EventId {
    let (id, verdict) = begin(world, project, key, NOW).await;
    assert_eq!(verdict, Verdict::Publish { id, again: false });
    publish(world, project, id, key).await;
    end(world, project, id, key, true).await;
    id
}

async fn without_a_key_nothing_is_a_duplicate(world: AdmissionWorld) {
    let project = project();
    for _ in 0..2 {
        let id = EventId(Uuid::now_v7());
        let admitted = world.admission.begin(PARTITION, project, id, None, NOW).await.expect("begin");
        assert_eq!(admitted.verdict, Verdict::Publish { id, again: false });
    }
}

async fn a_durable_post_makes_its_repeats_duplicates(world: AdmissionWorld) {
    let (project, key) = (project(), idempotency(1, 1));
    let first = accept(&world, project, &key).await;
    for _ in 0..2 {
        assert_eq!(begin(&world, project, &key, NOW).await.1, Verdict::Duplicate(first));
    }
}

async fn a_key_with_another_body_is_refused(world: AdmissionWorld) {
    let project = project();
    let first = accept(&world, project, &idempotency(1, 1)).await;
    assert_eq!(begin(&world, project, &idempotency(1, 2), NOW).await.1, Verdict::Mismatch);
    assert_eq!(
        begin(&world, project, &idempotency(1, 1), NOW).await.1,
        Verdict::Duplicate(first),
        "it changed nothing"
    );
}

async fn a_failed_publish_is_tried_again_under_its_id(world: AdmissionWorld) {
    let (project, key) = (project(), idempotency(1, 1));
    let (first, _) = begin(&world, project, &key, NOW).await;
    end(&world, project, first, &key, false).await;
    assert_eq!(begin(&world, project, &key, NOW).await.1, Verdict::Publish { id: first, again: true });
    publish(&world, project, first, &key).await;
    end(&world, project, first, &key, true).await;
    assert_eq!(begin(&world, project, &key, NOW).await.1, Verdict::Duplicate(first));
}

async fn a_repeat_waits_for_the_outcome_of_a_pending_post(world: AdmissionWorld) {
    let (project, key) = (project(), idempotency(1, 1));
    let (first, _) = begin(&world, project, &key, NOW).await;
    let world = Arc::new(world);
    let repeat = {
        let (world, key) = (Arc::clone(&world), key.clone());
        tokio::spawn(async move { begin(&world, project, &key, NOW).await.1 })
    };
    tokio::task::yield_now().await;
    publish(&world, project, first, &key).await;
    end(&world, project, first, &key, true).await;
    let verdict = repeat.await.expect("no panic");
    // Or it did not wait, and publishes a second copy under the same id.
    let copy = Verdict::Publish { id: first, again: true };
    assert!(verdict == Verdict::Duplicate(first) || verdict == copy, "{verdict:?}");
}

async fn a_repeat_of_a_post_that_failed_meanwhile_publishes_under_its_id(world: AdmissionWorld) {
    let (project, key) = (project(), idempotency(1, 1));
    let (first, _) = begin(&world, project, &key, NOW).await;
    let repeat = begin(&world, project, &key, NOW);
    let (repeat, ()) = tokio::join!(repeat, end(&world, project, first, &key, false));
    assert_eq!(repeat.1, Verdict::Publish { id: first, again: true });
}

async fn a_pending_key_with_another_body_is_refused(world: AdmissionWorld) {
    let project = project();
    let (first, _) = begin(&world, project, &idempotency(1, 1), NOW).await;
    assert_eq!(begin(&world, project, &idempotency(1, 2), NOW).await.1, Verdict::Mismatch);
    end(&world, project, first, &idempotency(1, 1), false).await;
}

async fn keys_belong_to_a_project(world: AdmissionWorld) {
    let key = idempotency(1, 1);
    let first = accept(&world, project(), &key).await;
    assert_ne!(accept(&world, project(), &key).await, first);
}

async fn a_record_is_forgotten_when_it_expires(world: AdmissionWorld) {
    let project = project();
    // In the past already, by any clock.
    let key = IdempotencyKey { expires_at: Millis(NOW.0 + 1), ..idempotency(1, 1) };
    accept(&world, project, &key).await;
    let later = IdempotencyKey { expires_at: Millis(NOW.0 + 7_200_000), ..key };
    let (id, verdict) = begin(&world, project, &later, Millis(NOW.0 + 3_600_000)).await;
    assert_eq!(verdict, Verdict::Publish { id, again: false });
}

//! Repeats of a post.

use std::sync::atomic::Ordering::SeqCst;

use crate::world::{NOW, OTHER, api, basic};

const EVENT: &str = r#"{"event":"messages","message":{"id":"m-1"}}"#;

#[tokio::test]
async fn a_repeat_answers_with_the_first_id_and_is_not_queued_again() {
    let api = api();
    for post in [0, 1] {
        let first = api.event(EVENT).await.is_accepted(post == 1);
        assert_eq!(api.event(EVENT).await.is_accepted(true), first);
    }
    let keyed = api.keyed("k", r#"{"event":"a"}"#).await.is_accepted(false);
    assert_eq!(api.keyed("k", r#"{"event":"a"}"#).await.is_accepted(true), keyed);
    assert_eq!(api.world.published.lock().len(), 2);
    assert_eq!(api.metric("spectrum_webhook_duplicates_total", None), 4.0);
}

#[tokio::test]
async fn what_differs_in_event_id_or_body_is_no_repeat() {
    let api = api();
    for body in [
        EVENT,
        r#"{"event":"other","message":{"id":"m-1"}}"#,
        r#"{"event":"messages","message":{"id":"m-2"}}"#,
        r#"{"event":"messages","message":{"id":"m-1"} }"#,
    ] {
        api.event(body).await.is_accepted(false);
    }
    assert_eq!(api.world.published.lock().len(), 4);
}

#[tokio::test]
async fn without_a_key_and_without_a_messages_id_nothing_is_a_duplicate() {
    let api = api();
    for body in [r#"{"event":"a"}"#, r#"{"event":"a","message":{"id":7}}"#, r#"{"event":"a","message":"m"}"#] {
        let first = api.event(body).await.is_accepted(false);
        assert_ne!(api.event(body).await.is_accepted(false), first);
    }
    assert!(api.world.records.lock().is_empty());
}

#[tokio::test]
async fn one_key_with_another_body_is_refused() {
    let api = api();
    let first = api.keyed("k", EVENT).await.is_accepted(false);
    api.keyed("k", r#"{"event":"b"}"#).await.is_problem(422, "idempotency_mismatch", "a key of its own");
    assert_eq!(api.keyed("k", EVENT).await.is_accepted(true), first);
    assert_eq!(api.world.published.lock().len(), 1);
}

#[tokio::test]
async fn projects_do_not_share_keys() {
    let api = api();
    let first = api.keyed("k", EVENT).await.is_accepted(false);
    let headers = [("authorization", &*basic(OTHER, "other-secret")), ("idempotency-key", "k")];
    let other = api.send("POST", &format!("/projects/{OTHER}/events"), &headers, EVENT).await.is_accepted(false);
    assert_ne!(first, other);
}

#[tokio::test]
async fn a_repeat_of_what_was_not_confirmed_is_published_again_under_the_same_id() {
    let api = api();
    api.world.publish_fails.store(true, SeqCst);
    api.keyed("k", EVENT).await.is_problem(503, "not_confirmed", "same Idempotency-Key");
    let pending = api.world.records.lock().values().next().expect("a record").1.to_string();
    api.world.publish_fails.store(false, SeqCst);
    assert_eq!(api.keyed("k", EVENT).await.is_accepted(false), pending);
    assert!(api.world.published.lock()[0].1.again);
    assert_eq!(api.keyed("k", EVENT).await.is_accepted(true), pending);
    assert_eq!(api.world.published.lock().len(), 1);
}

#[tokio::test]
async fn an_outcome_that_could_not_be_noted_changes_no_answer() {
    let api = api();
    api.world.end_fails.store(true, SeqCst);
    let first = api.event(EVENT).await.is_accepted(false);
    api.world.end_fails.store(false, SeqCst);
    assert_eq!(api.event(EVENT).await.is_accepted(false), first);
    let again: Vec<bool> = api.world.published.lock().iter().map(|(_, publication)| publication.again).collect();
    assert_eq!(again, [false, true]);
}

#[tokio::test]
async fn records_expire_with_the_window() {
    let api = api();
    api.event(EVENT).await.is_accepted(false);
    let key = api.world.published.lock()[0].1.idempotency.clone().expect("a key");
    assert_eq!(key.expires_at.0, NOW.0 + 3_600_000);
}

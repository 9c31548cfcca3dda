//! What people do about deliveries, when backends do not play along.

use std::sync::atomic::Ordering::SeqCst;

use spectrum_webhook_core::delivery::{Command, Purpose};

use crate::letters::LETTER;
use crate::world::{Api, ID, NOW, api, webhooks};

const REASON: &str = r#"{"reason":"because"}"#;

/// The path of a webhook of this project.
async fn webhook(api: &Api) -> String {
    let reply = api.call("POST", &webhooks(), r#"{"webhookUrl":"https://a.example/"}"#).await;
    api.world.calls.lock().clear();
    format!("{}{}", webhooks(), reply.json()["data"]["id"].as_str().expect("an id"))
}

#[tokio::test(start_paused = true)]
async fn steering_answers_when_it_is_done_and_says_so_when_it_is_not_in_time() {
    let api = api();
    let path = webhook(&api).await;
    api.world.steered_after.store(3, SeqCst);
    let reply = api.call("POST", &format!("{path}/drop"), REASON).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["data"]["done"]), (200, &true.into()), "{reply:?}");
    assert_eq!(reply.json()["data"]["deliveries"], 4);
    let purpose = api.world.published.lock()[0].1.message.purpose.clone();
    let Purpose::Steering(steering) = purpose else { panic!("{purpose:?}") };
    assert_eq!((steering.command, steering.reason.as_str()), (Command::Drop(NOW), "because"));

    api.world.steered_after.store(usize::MAX, SeqCst);
    let begun = tokio::time::Instant::now();
    let reply = api.call("POST", &format!("{path}/resume"), REASON).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["data"]["done"]), (202, &false.into()), "{reply:?}");
    assert!(begun.elapsed().as_secs() <= 5);
    // The wish is in the queue: it is done when the store is back.
    api.world.letters_fail.store(true, SeqCst);
    let reply = api.call("POST", &format!("{path}/resume"), REASON).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["data"]["command"]), (202, &"resume".into()), "{reply:?}");
}

#[tokio::test]
async fn what_the_queue_does_not_take_is_not_done() {
    let api = api();
    let path = webhook(&api).await;
    api.world.publish_fails.store(true, SeqCst);
    for call in ["/resume", "/drop", "/test"] {
        api.call("POST", &format!("{path}{call}"), REASON).await.is_problem(503, "not_confirmed", "Retry-After");
    }
    let resend = format!("{path}/dead-letters/{LETTER}/resend");
    api.call("POST", &resend, "").await.is_problem(503, "not_confirmed", "Retry-After");
    assert_eq!(api.world.call_count(&format!("end resend {LETTER}")), 0, "it stays open");
    api.world.publish_fails.store(false, SeqCst);
    assert_eq!(api.call("POST", &resend, "").await.status.as_u16(), 202);
    let published = api.world.published.lock();
    assert_eq!(published.len(), 1);
    assert!(published[0].1.again, "it may have been taken the first time");
    assert_eq!(published[0].1.message.event(), LETTER);
    assert_eq!(api.world.resends.lock()[0].1, published[0].1.message.id, "under the id of the first try");
}

#[tokio::test]
async fn a_store_that_is_down_is_named_and_nothing_is_published() {
    let api = api();
    let path = webhook(&api).await;
    api.world.letters_fail.store(true, SeqCst);
    for (method, call) in [
        ("GET", format!("/projects/{ID}/dead-letters")),
        ("GET", format!("{path}/dead-letters/{LETTER}")),
        ("POST", format!("{path}/dead-letters/{LETTER}/resend")),
        ("POST", format!("{path}/skip")),
        ("GET", format!("{path}/steerings")),
    ] {
        api.call(method, &call, REASON).await.is_problem(503, "unavailable", "nothing was changed");
    }
    assert!(api.world.published.lock().is_empty());
}

#[tokio::test]
async fn a_dead_letters_resend_is_looked_up_as_somebody_else_may_have_published_it() {
    let api = api();
    let resend = format!("{}/dead-letters/{LETTER}/resend", webhook(&api).await);
    assert_eq!(api.call("POST", &resend, "").await.status.as_u16(), 202);
    assert!(api.world.published.lock()[0].1.again);
}

#[tokio::test]
async fn all_dead_letters_are_discarded_in_steps() {
    let api = api();
    let path = webhook(&api).await;
    let reply = api.call("POST", &format!("{path}/dead-letters/discard"), r#"{"all":true,"reason":"because"}"#).await;
    assert_eq!(reply.text, r#"{"succeed":true,"data":{"discarded":1001}}"#);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_malformed_is_named() {
    let api = api();
    let path = webhook(&api).await;
    let unknown = format!("{}01890000-0000-7000-8000-000000000000", webhooks());
    for call in ["/resume", "/skip", "/drop", "/test"] {
        api.call("POST", &format!("{unknown}{call}"), REASON).await.is_problem(404, "not_found", "no such webhook");
    }
    let letter = format!("{path}/dead-letters/01890000-0000-7000-8000-000000000001");
    api.call("GET", &letter, "").await.is_problem(404, "not_found", "no such dead letter");
    api.call("POST", &format!("{letter}/resend"), "").await.is_problem(404, "not_found", "no such dead letter");
    api.call("POST", &format!("{path}/skip"), REASON).await.is_problem(409, "nothing_to_skip", "nothing waits");
    api.call("POST", &format!("{path}/drop"), "{}").await.is_problem(422, "invalid_reason", "reason");
    for (query, parameter) in [
        ("limit=0", "limit"),
        ("state=dead", "state"),
        ("reason=none", "reason"),
        ("fault=mine", "fault"),
        ("webhook=x", "webhook"),
        ("from=2026", "from"),
        ("cursor=x", "cursor"),
    ] {
        let path = format!("/projects/{ID}/dead-letters?{query}");
        api.call("GET", &path, "").await.is_problem(422, "invalid_query", parameter);
    }
    assert!(api.world.published.lock().is_empty());
}

#[tokio::test]
async fn a_replay_is_counted_made_watched_paused_resumed_and_cancelled() {
    let api = api();
    let path = format!("{}/replays", webhook(&api).await);
    let reply = api.call("POST", &path, r#"{"what":"all","dryRun":true}"#).await;
    assert_eq!(reply.text, r#"{"succeed":true,"data":{"dryRun":true,"total":12}}"#);
    assert!(api.world.replays.lock().is_empty());
    let reply = api.call("POST", &path, r#"{"what":"dead","reason":"because","ratePerSecond":5}"#).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["data"]["state"]), (202, &"running".into()), "{reply:?}");
    let one = format!("{path}/{}", reply.json()["data"]["id"].as_str().expect("an id"));
    for (call, state) in [
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
        ("cancel", "cancelled"),
    ] {
        let reply = api.call("POST", &format!("{one}/{call}"), "").await;
        assert_eq!((reply.status.as_u16(), &reply.json()["data"]["state"]), (200, &state.into()), "{reply:?}");
    }
    api.call("POST", &format!("{one}/resume"), "").await.is_problem(409, "replay_ended", "make a new one");
    let shown = api.call("GET", &one, "").await.json();
    assert_eq!((&shown["data"]["total"], &shown["data"]["ratePerSecond"]), (&12.into(), &5.into()));
    assert_eq!(api.call("GET", &path, "").await.json()["data"][0], shown["data"]);
    let unknown = format!("{path}/01890000-0000-7000-8000-000000000001");
    api.call("GET", &unknown, "").await.is_problem(404, "not_found", "no such replay");
    api.call("POST", &format!("{unknown}/pause"), "").await.is_problem(404, "not_found", "no such replay");
}

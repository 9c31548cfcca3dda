//! What passes, to the byte, and what happens when the backends do not play along.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use spectrum_webhook_core::ids::{PartitionId, RegistryVersion};
use spectrum_webhook_ingest::Settings;

use crate::world::{ID, NOW, OTHER, SECRET, api, api_with, basic, events, settings};

const EVENT: &str = r#"{"event":"messages","message":{"id":"m-1"}}"#;

#[tokio::test]
async fn events_are_published_byte_for_byte() {
    let api = api();
    let deep = format!(r#"{{"x":{}{},"event":"a"}}"#, "[".repeat(1_000), "]".repeat(1_000));
    let bodies = [
        r#"{"event":"messages","space":{"id":"s"},"message":{"id":"m","content":{"type":"text"}}}"#,
        "  {\"z\":1,\n\t\"event\" : \"a\" , \"b\":2}\r\n ",
        r#"{"event":"a","x":"\ud800","\udfff":1}"#,
        r#"{"event":"a","x":"\u00fc\/ü𝄞\u0000"}"#,
        r#"{"event":"a","n":[123456789012345678901234567890,1E400,1.0,1e2,-0]}"#,
        r#"{"x":{"event":"decoy"},"event":"a"}"#,
        r#"{"event":"a","x":1,"x":2}"#,
        r#"{"\u0065vent":"\u0061"}"#,
        r#"{"event":"never-seen","content":{"type":"unknown"}}"#,
        &deep,
    ];
    for body in bodies {
        api.event(body.to_owned()).await.is_accepted(false);
    }
    assert_eq!(api.world.bodies(), bodies.map(|body| body.as_bytes().to_vec()));
    assert_eq!(api.metric("spectrum_webhook_accepted_total", None), bodies.len() as f64);
    assert_eq!(api.metric("spectrum_webhook_accept_seconds", None), bodies.len() as f64);
}

#[tokio::test]
async fn the_message_carries_all_that_its_delivery_needs() {
    let api = api();
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("authorization", &*basic(ID, SECRET)), ("traceparent", traceparent)];
    let id = api.send("POST", &format!("{}/", events()), &headers, EVENT).await.is_accepted(false);
    let published = api.world.published.lock().clone();
    let [(partition, publication)] = published.as_slice() else { panic!("{published:?}") };
    assert_eq!(*partition, PartitionId::of(ID, 64));
    let message = &publication.message;
    assert_eq!(message.id.to_string(), id);
    assert_eq!(message.id.0.get_version_num(), 7);
    assert_eq!((message.project, message.accepted_at, message.registry), (ID, NOW, RegistryVersion(7)));
    assert_eq!((message.event_type.as_str(), message.traceparent.as_deref()), ("messages", Some(traceparent)));
    assert!(!publication.again);
    assert!(publication.idempotency.is_some());
}

#[tokio::test]
async fn a_traceparent_that_is_none_is_left_out() {
    let api = api();
    let headers = [("authorization", &*basic(ID, SECRET)), ("traceparent", "00-x")];
    api.send("POST", &events(), &headers, EVENT).await.is_accepted(false);
    assert_eq!(api.world.published.lock()[0].1.message.traceparent, None);
}

#[tokio::test]
async fn the_registry_version_is_read_when_no_copy_is_trusted() {
    let api = api();
    api.world.knows_registry.store(false, SeqCst);
    api.event(EVENT).await.is_accepted(false);
    assert_eq!(api.world.published.lock()[0].1.message.registry, RegistryVersion(7));
}

#[tokio::test]
async fn without_a_registry_version_nothing_is_published_and_a_repeat_is_no_duplicate() {
    let api = api();
    api.event(r#"{"event":"first"}"#).await.is_accepted(false);
    api.world.knows_registry.store(false, SeqCst);
    api.world.directory_fails.store(true, SeqCst);
    let reply = api.event(EVENT).await;
    reply.is_problem(503, "unavailable", "repeat");
    assert!(!reply.text.contains("hidden detail"));
    api.world.directory_fails.store(false, SeqCst);
    api.event(EVENT).await.is_accepted(false);
    assert_eq!(api.world.published.lock().len(), 2);
}

#[tokio::test]
async fn without_admission_events_go_on_without_duplicate_detection() {
    let api = api();
    api.world.admission_fails.store(true, SeqCst);
    let first = api.event(EVENT).await.is_accepted(false);
    let second = api.event(EVENT).await.is_accepted(false);
    assert_ne!(first, second);
    let published = api.world.published.lock().clone();
    assert!(published.iter().all(|(_, publication)| publication.message.registry == RegistryVersion(7)));
    assert!(published.iter().all(|(_, publication)| publication.idempotency.is_none()));
    assert_eq!(api.metric("spectrum_webhook_admission_bypassed_total", None), 2.0);
}

#[tokio::test]
async fn what_the_queue_does_not_confirm_is_not_accepted() {
    let api = api();
    api.world.publish_fails.store(true, SeqCst);
    let reply = api.event(EVENT).await;
    reply.is_problem(503, "not_confirmed", "repeat it");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(!reply.text.contains("hidden detail"));
    assert_eq!(api.metric("spectrum_webhook_accepted_total", None), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_is_given_up_after_its_time() {
    let api = api();
    api.world.close_gate();
    let started = tokio::time::Instant::now();
    api.event(EVENT).await.is_problem(503, "not_confirmed", "may still be delivered");
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn more_than_the_limit_in_flight_is_sent_away() {
    let api = api_with(Settings { max_in_flight: 1, ..settings() });
    api.world.close_gate();
    let first = api.event(EVENT);
    let second = async {
        api.world.publishing.notified().await;
        api.event(EVENT).await.is_problem(503, "overloaded", "repeat");
        api.world.open_gate();
    };
    let (first, ()) = tokio::join!(first, second);
    first.is_accepted(false);
    api.event(EVENT).await.is_accepted(true);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_pending_record() {
    let api = api();
    api.world.close_gate();
    tokio::select! {
        reply = api.event(EVENT) => panic!("{reply:?}"),
        () = api.world.publishing.notified() => {}
    }
    api.world.open_gate();
    tokio::time::timeout(Duration::from_secs(10), api.ingest.drain()).await.expect("a bounded drain");
    assert_eq!(api.world.bodies(), [EVENT.as_bytes()]);
    assert!(api.world.records.lock().values().all(|(.., confirmed)| *confirmed));
    api.event(EVENT).await.is_accepted(true);
}

#[tokio::test]
async fn credentials_are_read_once_for_many_events_and_a_new_secret_fits_at_once() {
    let api = api();
    for _ in 0..5 {
        api.event(r#"{"event":"a"}"#).await.is_accepted(false);
    }
    assert_eq!(api.world.directory_reads.load(SeqCst), 1);
    let other = api.world.projects.lock()[&OTHER].secret_hash;
    api.world.projects.lock().get_mut(&ID).expect("the project").secret_hash = other;
    let headers = [("authorization", &*basic(ID, "other-secret"))];
    api.send("POST", &events(), &headers, EVENT).await.is_accepted(false);
    api.event(EVENT).await.is_problem(401, "unauthorized", "");
}

#[tokio::test(start_paused = true)]
async fn an_old_secret_ends_with_its_time_and_a_store_that_is_down_stops_no_known_poster() {
    let api = api();
    api.event(EVENT).await.is_accepted(false);
    api.world.directory_fails.store(true, SeqCst);
    tokio::time::advance(Duration::from_secs(60)).await;
    api.event(EVENT).await.is_accepted(true);
    tokio::time::advance(Duration::from_secs(300)).await;
    api.event(EVENT).await.is_problem(503, "unavailable", "repeat");
    api.world.directory_fails.store(false, SeqCst);
    api.event(EVENT).await.is_accepted(true);
    api.world.projects.lock().remove(&ID);
    tokio::time::advance(Duration::from_secs(6)).await;
    api.event(EVENT).await.is_problem(401, "unauthorized", "");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_holds_up_a_known_poster_once_in_a_while_and_briefly() {
    let api = api();
    api.event(EVENT).await.is_accepted(false);
    api.world.directory_hangs.store(true, SeqCst);
    tokio::time::advance(Duration::from_secs(60)).await;
    let begun = tokio::time::Instant::now();
    for _ in 0..10 {
        api.event(EVENT).await.is_accepted(true);
    }
    assert_eq!(begun.elapsed().as_millis(), 500);
    assert_eq!(api.world.directory_reads.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_may_be_new_is_not_refused_for_good_while_the_store_does_not_answer() {
    let api = api();
    api.event(EVENT).await.is_accepted(false);
    api.world.directory_hangs.store(true, SeqCst);
    let headers = [("authorization", &*basic(ID, "other-secret"))];
    api.send("POST", &events(), &headers, EVENT).await.is_problem(503, "unavailable", "repeat");
    api.world.directory_hangs.store(false, SeqCst);
    api.send("POST", &events(), &headers, EVENT).await.is_problem(401, "unauthorized", "");
}

#[tokio::test(start_paused = true)]
async fn the_copy_of_a_registry_version_is_renewed_while_a_project_posts() {
    let api = api();
    for _ in 0..30 {
        api.event(EVENT).await;
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    // Every fifteen seconds at the most often, when the credentials are read anew; they are every fifth.
    assert_eq!(api.world.renewed.load(SeqCst), 4);
}

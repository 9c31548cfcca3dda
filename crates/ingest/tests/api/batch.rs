//! Many events, one a line.

use std::sync::atomic::Ordering::SeqCst;

use axum::body::Body;
use spectrum_webhook_core::ids::RegistryVersion;
use spectrum_webhook_ingest::Settings;

use crate::world::{Api, ID, Reply, SECRET, api, api_with, basic, events, settings};

async fn post(api: &Api, body: impl Into<Body>) -> Reply {
    keyed(api, None, body).await
}

async fn keyed(api: &Api, key: Option<&str>, body: impl Into<Body>) -> Reply {
    let authorization = basic(ID, SECRET);
    let mut headers = vec![("authorization", &*authorization), ("content-type", "application/x-ndjson; charset=utf-8")];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    api.send("POST", &format!("{}/batch", events()), &headers, body).await
}

/// What each line says: its id's version and whether it is a duplicate, or its code.
fn results(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    assert!(reply.text.ends_with('\n'));
    let line = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if json["succeed"] == true {
            let id = json["data"]["id"].as_str().expect("an id");
            let duplicate = &json["data"]["duplicate"];
            assert_eq!(line, format!(r#"{{"succeed":true,"data":{{"id":"{id}","duplicate":{duplicate}}}}}"#));
            (if duplicate == true { "duplicate" } else { "accepted" }).to_owned()
        } else {
            assert_eq!(json.as_object().map(serde_json::Map::len), Some(3), "{line}");
            json["code"].as_str().expect("a code").to_owned()
        }
    };
    reply.text.lines().map(line).collect()
}

#[tokio::test]
async fn lines_are_published_in_order_byte_for_byte_and_one_that_fails_stops_none_behind_it() {
    let api = api_with(Settings { max_event_size: 64, ..settings() });
    let long = format!(r#"{{"event":"a","x":"{}"}}"#, "x".repeat(64));
    let body = format!(
        "{{\"event\":\"a\",\"n\":1}}\n{{ \"event\":\"b\"}} \r\n\nnot json\n{long}\n[]\n{{\"event\":\"c\",\"x\":\"\\ud800\"}}"
    );
    let reply = post(&api, body).await;
    assert_eq!(
        results(&reply),
        ["accepted", "accepted", "event_empty", "event_not_json", "too_large", "event_not_an_object", "accepted"]
    );
    let expected: [&[u8]; 3] = [br#"{"event":"a","n":1}"#, b"{ \"event\":\"b\"} ", br#"{"event":"c","x":"\ud800"}"#];
    assert_eq!(api.world.bodies(), expected);
    assert_eq!(api.metric("spectrum_webhook_accepted_total", None), 3.0);
    assert_eq!(api.metric("spectrum_webhook_rejected_total", Some("too_large")), 1.0);
}

#[tokio::test]
async fn a_batch_in_many_chunks_is_the_same_batch() {
    let api = api();
    let whole = b"{\"event\":\"a\"}\n{\"event\":\"b\"}\n".to_vec();
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> = whole.chunks(3).map(|chunk| Ok(chunk.to_vec())).collect();
    let reply = post(&api, Body::from_stream(futures::stream::iter(chunks))).await;
    assert_eq!(results(&reply), ["accepted", "accepted"]);
    assert_eq!(api.world.bodies(), [br#"{"event":"a"}"#, br#"{"event":"b"}"#]);
}

#[tokio::test]
async fn a_repeated_batch_with_a_key_repeats_its_lines_one_by_one() {
    let api = api();
    let body = "{\"event\":\"a\"}\n{\"event\":\"a\"}\n";
    assert_eq!(results(&keyed(&api, Some("k"), body).await), ["accepted", "accepted"]);
    assert_eq!(results(&keyed(&api, Some("k"), body).await), ["duplicate", "duplicate"]);
    let other = "{\"event\":\"a\"}\n{\"event\":\"b\"}\n{\"event\":\"c\"}\n";
    assert_eq!(results(&keyed(&api, Some("k"), other).await), ["duplicate", "idempotency_mismatch", "accepted"]);
    keyed(&api, Some("k k"), body).await.is_problem(422, "invalid_idempotency_key", "");
}

#[tokio::test]
async fn a_line_that_repeats_another_one_of_its_batch_is_a_duplicate_of_that() {
    let api = api();
    let event = |id: &str| format!("{{\"event\":\"messages\",\"message\":{{\"id\":\"{id}\"}}}}\n");
    let reply = post(&api, [event("1"), event("2"), event("1"), event("3"), event("3")].concat()).await;
    assert_eq!(results(&reply), ["accepted", "accepted", "duplicate", "accepted", "duplicate"]);
    let ids: Vec<&str> = reply.text.lines().map(|line| line.split('"').nth(7).expect("an id")).collect();
    assert_eq!((ids[0], ids[3]), (ids[2], ids[4]));
    assert_eq!(api.world.published.lock().len(), 3);
}

#[tokio::test]
async fn lines_that_have_arrived_go_to_the_queue_together_but_no_more_than_there_are_places_for() {
    let body = "{\"event\":\"a\"}\n".repeat(150);
    for (max_in_flight, expected) in [(1_000, vec![64, 64, 22]), (60, vec![60, 60, 30])] {
        let api = api_with(Settings { max_in_flight, ..settings() });
        assert_eq!(results(&post(&api, body.clone()).await), ["accepted"; 150]);
        assert_eq!(*api.world.groups.lock(), expected);
    }
    let api = api();
    let large = format!("{{\"event\":\"a\",\"x\":\"{}\"}}\n", "x".repeat(100 << 10));
    assert_eq!(results(&post(&api, large.repeat(5)).await), ["accepted"; 5]);
    assert_eq!(*api.world.groups.lock(), [2, 2, 1]);
}

#[tokio::test]
async fn a_webhook_that_gets_a_line_gets_those_behind_it() {
    let api = api();
    // One copy is newer than what the directory says to the next line, which finds none.
    let version = |version| Some(RegistryVersion(version));
    api.world.copies.lock().extend([version(8), version(9), None, version(8)]);
    assert_eq!(results(&post(&api, "{\"event\":\"a\"}\n".repeat(4)).await), ["accepted"; 4]);
    let versions: Vec<i64> =
        api.world.published.lock().iter().map(|(_, publication)| publication.message.registry.0).collect();
    assert_eq!(versions, [8, 9, 9, 9]);
}

#[tokio::test]
async fn what_the_queue_does_not_confirm_is_told_line_by_line() {
    let api = api();
    api.world.publish_fails.store(true, SeqCst);
    let reply = post(&api, "{\"event\":\"a\"}\n{}\n{\"event\":\"b\"}\n").await;
    assert_eq!(results(&reply), ["not_confirmed", "event_missing", "not_confirmed"]);
}

#[tokio::test]
async fn batches_that_are_none_are_refused_whole() {
    let api = api_with(Settings { max_event_size: 20, max_batch_size: 40, ..settings() });
    let path = format!("{}/batch", events());
    let authorization = basic(ID, SECRET);
    for kind in [None, Some("application/json"), Some("application/x-ndjsonx")] {
        let mut headers = vec![("authorization", &*authorization)];
        headers.extend(kind.map(|kind| ("content-type", kind)));
        let reply = api.send("POST", &path, &headers, "{\"event\":\"a\"}").await;
        reply.is_problem(415, "unsupported_media_type", "application/x-ndjson");
    }
    post(&api, "").await.is_problem(422, "event_empty", "empty");
    post(&api, "{\"event\":\"a\"}\n".repeat(3)).await.is_problem(413, "too_large", "larger than 40 bytes");
    assert!(api.world.published.lock().is_empty());
}

#[tokio::test]
async fn a_batch_that_breaks_off_or_grows_too_large_tells_what_was_published() {
    let api = api_with(Settings { max_event_size: 20, max_batch_size: 40, ..settings() });
    let line = || Ok("{\"event\":\"a\"}\n");
    let broken = [line(), line(), Err(std::io::Error::other("broken"))];
    let reply = post(&api, Body::from_stream(futures::stream::iter(broken))).await;
    assert_eq!(results(&reply), ["accepted", "accepted", "body_incomplete"]);
    assert!(reply.text.contains("no line from here on was published"));
    let grown = [line(), line(), line()].map(|line: Result<&str, std::io::Error>| line);
    let reply = post(&api, Body::from_stream(futures::stream::iter(grown))).await;
    assert_eq!(results(&reply), ["accepted", "accepted", "too_large"]);
    assert_eq!(api.world.published.lock().len(), 4);
}

#[tokio::test]
async fn a_batch_has_a_most_of_lines() {
    let api = api();
    let reply = post(&api, "{}\n".repeat(10_001)).await;
    let results = results(&reply);
    assert_eq!(
        (results.len(), results[9_999].as_str(), results[10_000].as_str()),
        (10_001, "event_missing", "too_large")
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_takes_too_long_is_ended() {
    use futures::StreamExt as _;
    let api = api();
    let started = tokio::time::Instant::now();
    let slow = futures::stream::once(async { Ok::<_, std::io::Error>("{\"event\":\"a\"}\n{\"ev") });
    let reply = post(&api, Body::from_stream(slow.chain(futures::stream::pending()))).await;
    assert_eq!(results(&reply), ["accepted", "body_timeout"]);
    // And one second for what it may still send.
    assert_eq!(started.elapsed().as_secs(), 301);
    assert_eq!(api.world.published.lock().len(), 1);
}

//! The ingest API: idempotency, batches, the operator.

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Accepted, Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Answer, Server, Settings};

use crate::world::{accept, all_arrive, on_both, taken, text};

fn outcome(answer: &Answer) -> (String, bool) {
    let data = answer.expect_data(202);
    (data["id"].as_str().expect("an id").to_owned(), data["duplicate"].as_bool().expect("a flag"))
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_first_id_and_not_delivered_again() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("repeats").await;
    let other = server.create_project("others").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let post = async |body: Bytes, key: Option<&str>| client.post(&project, body, key).await.expect("an answer");

    // By a key of one's own: for this project, and with this body.
    let (keyed, duplicate) = outcome(&post(text("repeats", 0), Some("order-17")).await);
    assert!(!duplicate);
    assert_eq!(outcome(&post(text("repeats", 0), Some("order-17")).await), (keyed.clone(), true));
    let mismatch = post(text("repeats", 1), Some("order-17")).await;
    assert_eq!((mismatch.status, mismatch.code().as_str()), (422, "idempotency_mismatch"));
    let elsewhere = client.post(&other, text("repeats", 1), Some("order-17")).await.expect("an answer");
    assert!(!outcome(&elsewhere).1, "another project's key");

    // By `event`, `message.id` and the body.
    let (unkeyed, duplicate) = outcome(&post(text("repeats", 2), None).await);
    assert!(!duplicate);
    assert_eq!(outcome(&post(text("repeats", 2), None).await), (unkeyed.clone(), true));
    let spaced = Bytes::from([&text("repeats", 2)[..], b" "].concat());
    let (other_bytes, duplicate) = outcome(&post(spaced.clone(), None).await);
    assert!(!duplicate, "another body with the same id");

    // Without either, nothing is ever a repeat.
    let bare = Bytes::from_static(br#"{"event":"tick"}"#);
    let (first, _) = outcome(&post(bare.clone(), None).await);
    let (second, duplicate) = outcome(&post(bare.clone(), None).await);
    assert!(first != second && !duplicate);

    let events = [(keyed, text("repeats", 0)), (unkeyed, text("repeats", 2)), (other_bytes, spaced)];
    let bare = [(first, bare.clone()), (second, bare)];
    let accepted: Vec<Accepted> = events
        .into_iter()
        .chain(bare)
        .map(|(id, body)| Accepted { id, body, posted: std::time::Instant::now() })
        .collect();
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!(report.attempts, accepted.len());
}

#[tokio::test]
async fn posts_of_one_key_at_the_same_time_are_one_event() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("race").await;
    client.register(&project, &receiver.url("/")).await;
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (client, project) = (client.clone(), project.clone());
        posts.spawn(async move { client.post(&project, text("race", 0), Some("k")).await.expect("an answer") });
    }
    let outcomes: Vec<(String, bool)> = posts.join_all().await.iter().map(outcome).collect();
    assert!(outcomes.iter().all(|(id, _)| *id == outcomes[0].0), "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|(_, duplicate)| !duplicate).count(), 1, "{outcomes:?}");
    // One that comes after shows that nothing came in between.
    let last = accept(&client, &project, text("race", 1)).await;
    taken(&receiver, "/", 2).await;
    let ids: Vec<String> =
        receiver.look(|memory| memory.requests().filter_map(|request| request.event_id().map(str::to_owned)).collect());
    assert_eq!(ids, [outcomes[0].0.clone(), last.id]);
}

#[tokio::test]
async fn a_batch_has_one_result_a_line_in_order_and_one_that_fails_stops_none_behind_it() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("batch").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let good: Vec<Bytes> = (0..40).map(|number| text("batch", number)).collect();
    let mut lines: Vec<Bytes> = good.clone();
    lines.insert(3, Bytes::from_static(b"{\"event\":"));
    lines.insert(9, Bytes::from_static(b"[1]"));
    lines.insert(20, good[0].clone());
    lines.insert(30, Bytes::from_static(br#"{"event":"messages","event":"messages"}"#));
    let answer = client.post_batch(&project, lines.join(&b'\n').into()).await.expect("an answer");
    assert!((200..300).contains(&answer.status), "{} {:?}", answer.status, answer.body);
    let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
    let results: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert_eq!(results.len(), lines.len(), "{text}");

    let mut accepted = Vec::new();
    for (at, (line, result)) in lines.iter().zip(&results).enumerate() {
        let bad = [(3, "event_not_json"), (9, "event_not_an_object"), (30, "event_repeated")];
        match bad.iter().find(|(bad, _)| *bad == at) {
            Some((_, code)) => assert_eq!((&result["succeed"], &result["code"]), (&json!(false), &json!(code)), "{at}"),
            None => {
                assert_eq!(result["succeed"], true, "line {at}: {result}");
                assert_eq!(result["data"]["duplicate"], at == 20, "line {at}: {result}");
                let id = result["data"]["id"].as_str().expect("an id").to_owned();
                if at != 20 {
                    accepted.push(Accepted { id, body: line.clone(), posted: std::time::Instant::now() });
                }
            }
        }
    }
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!(report.attempts, good.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_the_same_events_in_any_order_at_the_same_time_are_each_event_once() {
    on_both(&[], async |server| {
        let client = server.client();
        let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
        let project = server.create_project("batches").await;
        client.register(&project, &receiver.url("/")).await;
        let events: Vec<Bytes> = (0..100).map(|number| text("batches", number)).collect();
        let backwards: Vec<Bytes> = events.iter().rev().cloned().collect();
        let mut batches = tokio::task::JoinSet::new();
        for batch in [events.clone(), backwards.clone(), events.clone(), backwards] {
            let (client, project) = (client.clone(), project.clone());
            batches.spawn(async move {
                let answer = client.post_batch(&project, batch.join(&b'\n').into()).await.expect("an answer");
                let text = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
                let results = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
                batch.into_iter().zip(results.collect::<Vec<_>>()).collect::<Vec<_>>()
            });
        }
        let results: Vec<(Bytes, Value)> = batches.join_all().await.concat();
        assert_eq!(results.len(), 400);
        let mut ids = BTreeMap::new();
        for (body, result) in &results {
            assert_eq!(result["succeed"], true, "{result}");
            let id = result["data"]["id"].as_str().expect("an id").to_owned();
            assert_eq!(*ids.entry(body.clone()).or_insert(id.clone()), id, "two ids of one event");
        }
        let first = results.iter().filter(|(_, result)| result["data"]["duplicate"] == false).count();
        assert_eq!((first, ids.len()), (100, 100));
        // One that comes after shows that nothing came in between.
        accept(&client, &project, text("batches", 100)).await;
        taken(&receiver, "/", 101).await;
        let arrived = receiver.look(|memory| memory.requests().filter_map(|request| request.event_id()).count());
        assert_eq!(arrived, 101);
    })
    .await;
}

#[tokio::test]
async fn an_operator_posts_for_any_project_and_looks_after_its_webhooks() {
    let token = "operator-token-0123456789-abcdefghij";
    let server = Server::start(Settings::quick().set("SPECTRUM_OPERATOR_TOKEN", token)).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("operated").await;
    client.register(&project, &receiver.url("/")).await;
    let call = async |method: Method, path: &str, token: &str, body: Bytes| {
        let request = client.request(method, path).bearer_auth(token).body(body);
        client.send(request).await.expect("an answer")
    };
    let events = format!("/projects/{}/events", project.id);
    assert_eq!(call(Method::POST, &events, token, text("operated", 0)).await.status, 202);
    assert_eq!(call(Method::POST, &events, &token.replace('0', "1"), text("operated", 1)).await.status, 401);
    let unknown = "/projects/01890000-0000-7000-8000-000000000000/events";
    assert_eq!(call(Method::POST, unknown, token, text("operated", 1)).await.status, 404);
    let webhooks = format!("/projects/{}/webhooks/", project.id);
    assert_eq!(call(Method::GET, &webhooks, &token.replace('0', "1"), Bytes::new()).await.status, 401);
    assert_eq!(call(Method::GET, &webhooks, token, Bytes::new()).await.data()[0]["webhookUrl"], receiver.url("/"));
    let unknown = "/projects/01890000-0000-7000-8000-000000000000/webhooks/";
    assert_eq!(call(Method::GET, unknown, token, Bytes::new()).await.status, 404);
    taken(&receiver, "/", 1).await;
    for line in server.log().lines() {
        assert!(!line.contains(token) && !line.contains(&project.secret), "a secret is in the log: {line}");
    }
}

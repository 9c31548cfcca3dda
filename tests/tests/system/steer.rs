//! What people do about deliveries, embedded and on a cluster: dead letters that are sent again or discarded, lanes that
//! are resumed, skipped and dropped, test events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Accepted, Receiver, Recorded, Reply, verify};
use spectrum_webhook_testkit::process::{Client, Hook, Project, Server};

use crate::world::{PATIENCE, accept, accept_texts, all_arrive, on_both, requests, taken, text};

/// A receiver that answers with a status until it is mended.
fn broken(status: u16) -> (Receiver, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&mended);
    let status = StatusCode::from_u16(status).expect("a status");
    let answer = move |_: &Recorded| if seen.load(Ordering::Relaxed) { Reply::ok() } else { Reply::status(status) };
    (Receiver::on_loopback(answer).expect("a receiver"), mended)
}

async fn get(client: &Client, project: &Project, path: &str) -> Value {
    client.call(project, Method::GET, path, None).await.expect_data(200)
}

async fn dead_letters(client: &Client, project: &Project, query: &str) -> Vec<Value> {
    get(client, project, &format!("/dead-letters{query}")).await.as_array().expect("a list").clone()
}

/// Waits until a project has so many open dead letters; returns them, newest first.
pub(crate) async fn wait_for_letters(client: &Client, project: &Project, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let letters = dead_letters(client, project, "").await;
        if letters.len() >= count {
            return letters;
        }
        assert!(begun.elapsed() < PATIENCE, "{letters:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The events that were taken at a path, in the order of their arrival.
fn arrived(receiver: &Receiver, path: &str) -> Vec<String> {
    let id = |request: &Arc<Recorded>| request.event_id().map(str::to_owned);
    receiver.look(|memory| memory.at(path).filter(|request| request.taken()).filter_map(id).collect())
}

fn ids(events: &[Accepted]) -> Vec<String> {
    events.iter().map(|event| event.id.clone()).collect()
}

async fn steer(client: &Client, project: &Project, hook: &Hook, command: &str, body: &Value) -> Value {
    let path = format!("/webhooks/{}/{command}", hook.id);
    let done = client.call(project, Method::POST, &path, Some(body)).await.expect_data(200);
    assert_eq!((&done["done"], &done["command"]), (&json!(true), &json!(command)), "{done}");
    done
}

/// A project with one webhook at a receiver.
async fn stage(server: &Server, receiver: &Receiver, name: &str) -> (Client, Project, Hook) {
    let (client, project) = (server.client(), server.create_project(name).await);
    let hook = client.register(&project, &receiver.url(&format!("/{name}"))).await;
    (client, project, hook)
}

fn id(value: &Value) -> &str {
    value["id"].as_str().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_read_and_sent_again_as_the_same_event_and_survives_a_kill() {
    on_both(&[], async |mut server| {
        let (receiver, mended) = broken(422);
        let (client, project, hook) = stage(&server, &receiver, "letters").await;
        let event = accept(&client, &project, text("letters", 0)).await;
        let letter = wait_for_letters(&client, &project, 1).await.remove(0);
        assert_eq!((id(&letter), letter["eventId"].as_str()), (event.id.as_str(), Some(event.id.as_str())));
        assert_eq!(
            (&letter["reason"], &letter["fault"], &letter["last"]),
            (&json!("fatal"), &json!("receiver"), &json!("status_422"))
        );
        let path = format!("/webhooks/{}/dead-letters/{}", hook.id, event.id);
        let read = get(&client, &project, &path).await;
        assert_eq!(read["body"].as_str().map(str::as_bytes), Some(&event.body[..]), "to the byte");

        mended.store(true, Ordering::Relaxed);
        let resent = client.call(&project, Method::POST, &format!("{path}/resend"), None).await.expect_data(202);
        // Taken is durable.
        server.kill().await;
        server.restart().await;
        taken(&receiver, "/letters", 1).await;
        let (headers, body, wall) = receiver.look(|memory| {
            let last = memory.at("/letters").next_back().expect("a request");
            (last.headers.clone(), last.body.clone(), last.wall)
        });
        assert_eq!(headers.get("x-spectrum-event-id"), Some(event.id.as_str()), "the same event");
        assert_eq!(headers.get("x-spectrum-resend"), Some(id(&resent)), "marked as a resend");
        assert_eq!(body, event.body);
        verify(&hook.key, &headers, &body, wall, std::time::Duration::from_secs(300)).expect("signed");

        assert!(dead_letters(&client, &project, "").await.is_empty());
        let closed = dead_letters(&client, &project, "?state=closed").await.remove(0);
        assert_eq!((&closed["state"], &closed["resentAs"]), (&json!("resent"), &resent["id"]));
        let again = client.call(&project, Method::POST, &format!("{path}/resend"), None).await;
        assert_eq!((again.status, again.code().as_str()), (409, "letter_closed"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_come_in_pages_and_are_sent_again_or_discarded_together() {
    on_both(&[], async |server| {
        let (receiver, mended) = broken(400);
        let (client, project, hook) = stage(&server, &receiver, "many").await;
        let events = accept_texts(&client, &project, "many", 5).await;
        wait_for_letters(&client, &project, 5).await;
        // Two at a time, newest first.
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/dead-letters?limit=2&cursor={cursor}");
            let page = client.call(&project, Method::GET, &path, None).await.json();
            let rows = page["data"].as_array().expect("a list");
            seen.extend(rows.iter().map(|letter| id(letter).to_owned()));
            let Some(next) = page["nextCursor"].as_str() else { break };
            assert_eq!(rows.len(), 2);
            cursor = next.to_owned();
        }
        assert_eq!(seen, ids(&events).into_iter().rev().collect::<Vec<_>>());

        mended.store(true, Ordering::Relaxed);
        let unknown = "01890000-0000-7000-8000-000000000000";
        let path = format!("/webhooks/{}/dead-letters", hook.id);
        let wish = json!({ "ids": [events[1].id, unknown, events[0].id] });
        let sent = client.call(&project, Method::POST, &format!("{path}/resend"), Some(&wish)).await.expect_data(202);
        assert_eq!(
            (&sent[0]["code"], &sent[1]["code"], &sent[2]["code"]),
            (&json!(null), &json!("not_found"), &json!(null))
        );
        taken(&receiver, "/many", 2).await;
        let order = arrived(&receiver, "/many");
        assert_eq!(order, [events[1].id.clone(), events[0].id.clone()], "in the order in which they were named");

        let wish = json!({ "ids": [events[2].id], "reason": "known to the customer" });
        let one = client.call(&project, Method::POST, &format!("{path}/discard"), Some(&wish)).await.expect_data(200);
        let wish = json!({ "all": true, "reason": "the rest too" });
        let rest = client.call(&project, Method::POST, &format!("{path}/discard"), Some(&wish)).await.expect_data(200);
        assert_eq!((&one["discarded"], &rest["discarded"]), (&json!(1), &json!(2)));
        assert!(dead_letters(&client, &project, "").await.is_empty());
        let discarded = dead_letters(&client, &project, "?state=all").await;
        let reasons: Vec<_> = discarded.iter().rev().map(|letter| letter["closedReason"].clone()).collect();
        let (known, rest) = (json!("known to the customer"), json!("the rest too"));
        assert_eq!(reasons, [json!(null), json!(null), known, rest.clone(), rest]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_event_becomes_a_dead_letter_and_those_behind_it_arrive() {
    let slow = [("SPECTRUM_RETRY_INITIAL", "60s"), ("SPECTRUM_RETRY_CAP", "60s"), ("SPECTRUM_HOLD_AFTER", "200ms")];
    on_both(&slow, async |server| {
        let receiver = Receiver::on_loopback(|request: &Recorded| {
            let poison = String::from_utf8_lossy(&request.body).contains("\"skip-0\"");
            Reply::status(if poison { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK })
        })
        .expect("a receiver");
        let (client, project, hook) = stage(&server, &receiver, "skip").await;
        let events = accept_texts(&client, &project, "skip", 3).await;
        requests(&receiver, "/skip", 1).await;
        let wish = json!({ "reason": "it breaks the receiver", "eventId": events[0].id });
        let done = steer(&client, &project, &hook, "skip", &wish).await;
        assert_eq!(done["deliveries"], 1);
        taken(&receiver, "/skip", 2).await;
        assert_eq!(arrived(&receiver, "/skip"), ids(&events[1..]));
        let letter = wait_for_letters(&client, &project, 1).await.remove(0);
        assert_eq!(
            (id(&letter), &letter["reason"], &letter["attempts"]),
            (events[0].id.as_str(), &json!("skipped"), &json!(1))
        );
        // Nothing waits any more; the row of one that was delivered may be on its way out.
        let path = format!("/webhooks/{}/skip", hook.id);
        let nothing = client.call(&project, Method::POST, &path, Some(&json!({ "reason": "again" }))).await;
        let skipped = nothing.data()["deliveries"].clone();
        assert!(nothing.code() == "nothing_to_skip" || skipped == 0, "{nothing:?}");
        let done = get(&client, &project, &format!("/webhooks/{}/steerings", hook.id)).await;
        let first = done.as_array().and_then(|done| done.last()).expect("a steering");
        assert_eq!((&first["command"], &first["reason"]), (&json!("skip"), &json!("it breaks the receiver")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_backlog_is_counted_and_only_what_comes_later_arrives_also_after_a_kill() {
    on_both(&[], async |mut server| {
        let (receiver, mended) = broken(503);
        let (client, project, hook) = stage(&server, &receiver, "drop").await;
        let old = accept_texts(&client, &project, "drop", 12).await;
        requests(&receiver, "/drop", 3).await;
        let done = steer(&client, &project, &hook, "drop", &json!({ "reason": "the customer has them" })).await;
        assert_eq!(done["deliveries"], 12);
        client.wait_for_metric("deliveries_dropped_total", |dropped| dropped == 12, PATIENCE).await;
        client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
        server.kill().await;
        server.restart().await;
        mended.store(true, Ordering::Relaxed);
        let new = accept_texts(&client, &project, "drop-later", 3).await;
        taken(&receiver, "/drop", 3).await;
        assert_eq!(arrived(&receiver, "/drop"), ids(&new));
        assert!(dead_letters(&client, &project, "").await.is_empty(), "no dead letter is open");
        let dropped = dead_letters(&client, &project, "?state=closed&reason=dropped").await;
        assert_eq!(dropped.len(), old.len());
        assert_eq!(dropped[0]["closedReason"], "the customer has them");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_ends_an_outage_at_once_and_everything_arrives_in_order() {
    let slow = [("SPECTRUM_OUTAGE_PROBE_INITIAL", "1h"), ("SPECTRUM_OUTAGE_PROBE_CAP", "1h")];
    on_both(&slow, async |server| {
        let (receiver, mended) = broken(503);
        let (client, project, hook) = stage(&server, &receiver, "resume").await;
        let events = accept_texts(&client, &project, "resume", 6).await;
        client.wait_for_metric("store_backlog_deliveries", |rows| rows >= 6, PATIENCE).await;
        mended.store(true, Ordering::Relaxed);
        steer(&client, &project, &hook, "resume", &json!({ "reason": "they say it is mended" })).await;
        all_arrive(&receiver, &hook, &events).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_goes_to_one_webhook_alone_whatever_types_it_takes() {
    on_both(&[], async |server| {
        let receiver = Receiver::on_loopback(|_: &Recorded| Reply::ok()).expect("a receiver");
        let (client, project, other) = stage(&server, &receiver, "other").await;
        let body = json!({ "webhookUrl": receiver.url("/tested"), "eventTypes": ["something.else"] });
        let hook = client.register_with(&project, &body).await;
        let path = format!("/webhooks/{}/test", hook.id);
        let sent = client.call(&project, Method::POST, &path, None).await.expect_data(202);
        taken(&receiver, "/tested", 1).await;
        let (headers, body, wall) = receiver.look(|memory| {
            let request = memory.at("/tested").next().expect("a request");
            (request.headers.clone(), request.body.clone(), request.wall)
        });
        verify(&hook.key, &headers, &body, wall, std::time::Duration::from_secs(300)).expect("signed");
        assert_eq!((headers.get("x-spectrum-event-id"), headers.get("x-spectrum-resend")), (Some(id(&sent)), None));
        let event: Value = serde_json::from_slice(&body).expect("JSON");
        for needed in ["/message/id", "/message/space/id", "/message/content/type"] {
            assert!(event.pointer(needed).is_some_and(Value::is_string), "{needed} in {event}");
        }
        let witness = accept(&client, &project, text("other", 0)).await;
        all_arrive(&receiver, &other, &[witness]).await;
        client.patch(&project, &hook.id, &json!({ "enabled": false })).await.expect_data(200);
        let refused = client.call(&project, Method::POST, &path, None).await;
        assert_eq!((refused.status, refused.code().as_str()), (409, "webhook_disabled"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_or_steers_what_is_another_projects() {
    on_both(&[], async |server| {
        let (receiver, _) = broken(400);
        let (client, project, hook) = stage(&server, &receiver, "mine").await;
        let event = accept(&client, &project, text("mine", 0)).await;
        wait_for_letters(&client, &project, 1).await;
        let stranger = server.create_project("stranger").await;
        assert!(dead_letters(&client, &stranger, "?state=all").await.is_empty());
        let letters = format!("/webhooks/{}/dead-letters", hook.id);
        let letter = format!("{letters}/{}", event.id);
        let reason = json!({ "reason": "mischief", "all": true });
        for (method, path, body) in [
            (Method::GET, letter.clone(), None),
            (Method::POST, format!("{letter}/resend"), None),
            (Method::POST, format!("/webhooks/{}/skip", hook.id), Some(&reason)),
            (Method::POST, format!("/webhooks/{}/drop", hook.id), Some(&reason)),
            (Method::POST, format!("/webhooks/{}/resume", hook.id), Some(&reason)),
            (Method::POST, format!("/webhooks/{}/test", hook.id), None),
        ] {
            let answer = client.call(&stranger, method, &path, body).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
        }
        let path = format!("{letters}/discard");
        let discarded = client.call(&stranger, Method::POST, &path, Some(&reason)).await.expect_data(200);
        assert_eq!(discarded["discarded"], 0);
        assert_eq!(dead_letters(&client, &project, "").await.len(), 1);
    })
    .await;
}

/// The step of a check that failed, and the sentence to it.
fn failed_step(checked: &Value) -> Option<(String, String)> {
    let steps = checked["report"]["steps"].as_array().expect("steps");
    let failed = steps.iter().find(|step| step["outcome"] == "failed")?;
    let text = |name: &str| failed[name].as_str().expect("a text").to_owned();
    Some((text("step"), text("sentence")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_step_by_step_why_deliveries_fail_also_in_an_outage() {
    on_both(&[("SPECTRUM_ATTEMPT_TIMEOUT", "700ms")], async |server| {
        let receiver = Receiver::on_loopback(|request: &Recorded| match request.path.as_str() {
            "/hang" => Reply::hang(),
            "/reset" => Reply::reset(),
            path => {
                let code: u16 = path.trim_start_matches('/').parse().expect("a status");
                Reply::status(StatusCode::from_u16(code).expect("a status")).body("<what it says>")
            }
        })
        .expect("a receiver");
        let (client, project) = (server.client(), server.create_project("checks").await);
        let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
        for (url, broken) in [
            (receiver.url("/200"), None),
            (receiver.url("/503"), Some(("answer", "tried again"))),
            (receiver.url("/302"), Some(("answer", "redirects are not followed"))),
            (receiver.url("/401"), Some(("answer", "signing secret"))),
            (receiver.url("/hang"), Some(("request", "No answer came in time"))),
            (receiver.url("/reset"), Some(("request", "broke"))),
            (format!("http://{closed}/"), Some(("connection", "No connection"))),
            (receiver.url("/200#tls").replace("http:", "https:"), Some(("tls", "certificate"))),
            ("http://10.1.2.3/".to_owned(), Some(("address", "not public"))),
        ] {
            let hook = client.register(&project, &url).await;
            let path = format!("/webhooks/{}/check", hook.id);
            let checked = client.call(&project, Method::POST, &path, None).await.expect_data(200);
            let report = &checked["report"];
            assert_eq!(report["passed"], broken.is_none(), "{url}: {checked}");
            match (broken, failed_step(&checked)) {
                (None, None) => assert_eq!(report["response"], "<what it says>"),
                (Some((step, words)), Some((failed, sentence))) => {
                    assert!(failed == step && sentence.contains(words), "{url}: {failed}: {sentence}");
                }
                (_, failed) => panic!("{url}: {failed:?}"),
            }
        }
        // Beside a lane that waits for its next attempt.
        let (broken, mended) = broken(503);
        let hook = client.register(&project, &broken.url("/")).await;
        let event = accept(&client, &project, text("checks", 0)).await;
        requests(&broken, "/", 1).await;
        mended.store(true, Ordering::Relaxed);
        let path = format!("/webhooks/{}/check", hook.id);
        let checked = client.call(&project, Method::POST, &path, None).await.expect_data(200);
        assert_eq!(checked["report"]["passed"], true, "{checked}");
        let signed = broken.look(|memory| {
            let check = memory.at("/").find(|request| request.event_id() == checked["id"].as_str());
            let request = check.expect("the check's request");
            verify(&hook.key, &request.headers, &request.body, request.wall, std::time::Duration::from_secs(300))
        });
        signed.expect("signed");
        taken(&broken, "/", 2).await;
        assert!(arrived(&broken, "/").contains(&event.id), "the delivery goes on");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_can_ask_for_a_check_which_refuses_nothing() {
    on_both(&[], async |server| {
        let (receiver, _) = broken(404);
        let (client, project) = (server.client(), server.create_project("checked").await);
        let body = json!({ "webhookUrl": receiver.url("/"), "check": true });
        let hook = client.register_with(&project, &body).await;
        assert_eq!(failed_step(&hook.data["check"]).expect("a step").0, "answer");
        assert_eq!(client.list(&project).await.len(), 1, "it is registered");
        let listed = get(&client, &project, &format!("/webhooks/{}/steerings", hook.id)).await;
        assert_eq!((&listed[0]["command"], &listed[0]["report"]["passed"]), (&json!("check"), &json!(false)));
    })
    .await;
}

/// Waits until a replay is in a state; returns it.
async fn wait_for_replay(client: &Client, project: &Project, path: &str, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let replay = get(client, project, path).await;
        if replay["state"] == state {
            return replay;
        }
        assert!(begun.elapsed() < PATIENCE, "{replay}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_dead_letters_keeps_their_order_and_goes_on_after_a_kill_and_a_pause() {
    const EVENTS: usize = 120;
    on_both(&[], async |mut server| {
        let (receiver, mended) = broken(400);
        let (client, project, hook) = stage(&server, &receiver, "replay").await;
        let events = accept_texts(&client, &project, "replay", EVENTS).await;
        client.wait_for_metric("deliveries_dead_total", |dead| dead == EVENTS as i64, PATIENCE).await;
        mended.store(true, Ordering::Relaxed);
        let path = format!("/webhooks/{}/replays", hook.id);
        let dry = json!({ "what": "dead", "dryRun": true });
        let dry = client.call(&project, Method::POST, &path, Some(&dry)).await.expect_data(200);
        assert_eq!(dry["total"], EVENTS);
        let wish = json!({ "what": "dead", "reason": "it is mended", "ratePerSecond": 40 });
        let replay = client.call(&project, Method::POST, &path, Some(&wish)).await.expect_data(202);
        let one = format!("{path}/{}", id(&replay));
        taken(&receiver, "/replay", 20).await;
        client.call(&project, Method::POST, &format!("{one}/pause"), None).await.expect_data(200);
        let paused = get(&client, &project, &one).await;
        server.kill().await;
        server.restart().await;
        assert_eq!(get(&client, &project, &one).await["state"], "paused");
        client.call(&project, Method::POST, &format!("{one}/resume"), None).await.expect_data(200);
        let done = wait_for_replay(&client, &project, &one, "done").await;
        assert!(done["sent"].as_u64() >= paused["sent"].as_u64(), "{done}");
        taken(&receiver, "/replay", EVENTS).await;
        // First arrivals of the resends, in the order of the events.
        let mut first = arrived(&receiver, "/replay");
        let mut seen = std::collections::HashSet::new();
        first.retain(|id| seen.insert(id.clone()));
        assert_eq!(first, ids(&events));
        assert!(dead_letters(&client, &project, "").await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_a_deleted_webhook_is_cancelled_and_a_cancelled_one_sends_no_more() {
    on_both(&[], async |server| {
        let (receiver, _) = broken(400);
        let (client, project, hook) = stage(&server, &receiver, "cancel").await;
        accept_texts(&client, &project, "cancel", 30).await;
        client.wait_for_metric("deliveries_dead_total", |dead| dead == 30, PATIENCE).await;
        let path = format!("/webhooks/{}/replays", hook.id);
        let wish = json!({ "what": "dead", "reason": "a mistake", "ratePerSecond": 1 });
        let first = client.call(&project, Method::POST, &path, Some(&wish)).await.expect_data(202);
        let second = client.call(&project, Method::POST, &path, Some(&wish)).await.expect_data(202);
        let one = format!("{path}/{}", id(&first));
        let cancelled = client.call(&project, Method::POST, &format!("{one}/cancel"), None).await.expect_data(200);
        assert_eq!(cancelled["state"], "cancelled");
        client.delete(&project, &hook.id).await.expect_data(200);
        wait_for_replay(&client, &project, &format!("{path}/{}", id(&second)), "cancelled").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_project_hears_of_outages_disabled_webhooks_and_dead_letters() {
    on_both(&[], async |server| {
        let notes = Receiver::on_loopback(|_: &Recorded| Reply::ok()).expect("a receiver");
        let (client, operations, told) = stage(&server, &notes, "operations").await;
        let named = server.command(&["project", "operations", &operations.id]).await;
        assert_eq!(named.code, Some(0), "{}", named.stderr);

        let (receiver, mended) = broken(503);
        let (_, project, hook) = stage(&server, &receiver, "watched").await;
        accept_texts(&client, &project, "watched", 4).await;
        taken(&notes, "/operations", 1).await;
        mended.store(true, Ordering::Relaxed);
        taken(&notes, "/operations", 2).await;
        taken(&receiver, "/watched", 4).await;

        let gone = Receiver::on_loopback(|_: &Recorded| Reply::status(StatusCode::GONE)).expect("a receiver");
        let (_, other, leaving) = stage(&server, &gone, "gone").await;
        let event = accept(&client, &other, text("gone", 0)).await;
        taken(&notes, "/operations", 4).await;

        let told = notes.look(|memory| {
            let all: Vec<_> = memory.at("/operations").cloned().collect();
            assert!(all.iter().all(|note| {
                verify(&told.key, &note.headers, &note.body, note.wall, std::time::Duration::from_secs(300)).is_ok()
            }));
            all.iter().map(|note| serde_json::from_slice::<Value>(&note.body).expect("JSON")).collect::<Vec<_>>()
        });
        let kinds: Vec<_> =
            told[..2].iter().map(|note| (note["event"].as_str(), note["webhook"]["id"].as_str())).collect();
        let of = |kind| (Some(kind), Some(hook.id.as_str()));
        assert_eq!(kinds, [of("webhook.outage.started"), of("webhook.outage.ended")]);
        let find = |kind: &str| told.iter().find(|note| note["event"] == kind).expect("a notice");
        let disabled = find("webhook.disabled");
        assert_eq!((&disabled["webhook"]["id"], &disabled["reason"]), (&json!(leaving.id), &json!("gone")));
        let dead = find("event.dead_lettered");
        assert_eq!((&dead["deadLetter"]["id"], &dead["project"]["id"]), (&json!(event.id), &json!(other.id)));
        assert_eq!(dead["reason"], "fatal");
    })
    .await;
}

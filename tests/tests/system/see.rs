//! What became of events, embedded and on a cluster: where each stands at each webhook, how webhooks are, the delivery
//! log page by page.

use std::time::{Duration, Instant};

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Accepted, Always, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Hook, Project};

use crate::world::{PATIENCE, accept, accept_texts, on_both, requests, taken, text};

/// Each endpoint of this test, by its path. What hangs and what comes later does so for longer than the test takes.
fn tempers(request: &Recorded) -> Reply {
    let status = |status| Reply::status(StatusCode::from_u16(status).expect("a status"));
    let is_first = String::from_utf8_lossy(&request.body).contains(r#""see-0""#);
    match request.path.as_str() {
        "/hanging" => Reply::hang(),
        "/later" | "/deleted" => status(503).header("Retry-After", "50"),
        "/down" => status(502),
        "/poisoned" if is_first => status(500),
        "/poisoned" => Reply::hang(),
        "/refusing" => status(400),
        _ => Reply::ok(),
    }
}

async fn get(client: &Client, project: &Project, path: &str) -> Value {
    client.call(project, Method::GET, path, None).await.expect_data(200)
}

/// What is said of an event at a webhook.
async fn standing(client: &Client, project: &Project, event: &Accepted, hook: &Hook) -> Value {
    let explained = get(client, project, &format!("/events/{}", event.id)).await;
    assert_eq!((&explained["id"], &explained["size"]), (&json!(event.id), &json!(event.body.len())));
    let webhooks = explained["webhooks"].as_array().expect("webhooks");
    webhooks.iter().find(|webhook| webhook["webhookId"] == hook.id.as_str()).cloned().unwrap_or(Value::Null)
}

/// Waits until an event stands so at a webhook, and the sentence says this; returns all that is said.
async fn stands(client: &Client, project: &Project, event: &Accepted, hook: &Hook, code: &str, says: &str) -> Value {
    let begun = Instant::now();
    loop {
        let said = standing(client, project, event, hook).await;
        if said["code"] == code && said["sentence"].as_str().is_some_and(|sentence| sentence.contains(says)) {
            println!("{}: {}", said["code"], said["sentence"]);
            assert_eq!(said["webhookUrl"], hook.url.as_str());
            return said;
        }
        assert!(begun.elapsed() < PATIENCE, "not {code} and {says:?}: {said:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn state(client: &Client, project: &Project, hook: &Hook) -> Value {
    let webhook = get(client, project, &format!("/webhooks/{}", hook.id)).await;
    assert_eq!((&webhook["id"], &webhook["webhookUrl"]), (&json!(hook.id), &json!(hook.url)));
    webhook["state"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_explained_at_every_webhook_wherever_it_stands() {
    let settings = [
        ("SPECTRUM_RETRY_ATTEMPTS", "2"),
        ("SPECTRUM_RETRY_CAP", "60s"),
        ("SPECTRUM_OUTAGE_PROBE_INITIAL", "60s"),
        ("SPECTRUM_OUTAGE_PROBE_CAP", "60s"),
        ("SPECTRUM_HOLD_AFTER", "300ms"),
    ];
    on_both(&settings, async |server| {
        let receiver = Receiver::on_loopback(tempers).expect("a receiver");
        let (client, project) = (server.client(), server.create_project("see").await);
        let at = async |path: &str| client.register(&project, &receiver.url(path)).await;
        let (good, hanging, later, down) =
            (at("/good").await, at("/hanging").await, at("/later").await, at("/down").await);
        let (poisoned, refusing, deleted) = (at("/poisoned").await, at("/refusing").await, at("/deleted").await);
        let typed = json!({ "webhookUrl": receiver.url("/typed"), "eventTypes": ["other"] });
        let typed = client.register_with(&project, &typed).await;
        let off = at("/off").await;
        client.patch(&project, &off.id, &json!({ "enabled": false })).await.expect_data(200);
        let events = accept_texts(&client, &project, "see", 2).await;
        let late = at("/late").await;
        requests(&receiver, "/deleted", 1).await;
        client.delete(&project, &deleted.id).await.expect_data(200);

        let is = async |event: usize, hook: &Hook, code: &str, says: &str| {
            stands(&client, &project, &events[event], hook, code, says).await
        };
        let said = is(0, &good, "delivered", "The URL took it at").await;
        assert_eq!((&said["attempts"], &said["resends"]), (&json!(1), &json!([])));
        is(0, &hanging, "waiting", "").await;
        let said = is(1, &hanging, "waiting", "behind 1 other; the first of them, event").await;
        assert_eq!((&said["ahead"], &said["blockedBy"]), (&json!(1), &json!(events[0].id)));
        let said = is(0, &later, "retrying", "Attempt 1 failed because the URL answered 503: it is retried at").await;
        assert!(said["nextAt"].is_string() && said["lastAttemptAt"].is_string(), "{said:#}");
        is(1, &later, "waiting", &format!("event {}, is retried at", events[0].id)).await;
        let said = is(0, &down, "outage", "the first to be tried again").await;
        assert!(said["nextAt"].is_string() && said["attempts"].as_u64() >= Some(2), "{said:#}");
        is(1, &down, "outage", "behind 1 other; the first of them is tried again at").await;
        is(0, &poisoned, "set_aside", "All 2 attempts failed, the last because the URL answered 500").await;
        is(1, &poisoned, "waiting", "").await;
        is(0, &refusing, "dead_letter", "because the URL answered 400").await;
        is(0, &typed, "filtered", "takes other only").await;
        is(0, &off, "disabled", "someone switched it off").await;
        is(1, &off, "disabled", "behind 1 other").await;
        is(0, &deleted, "deleted", "The webhook was deleted at").await;
        is(0, &late, "registered_later", "gets only later ones").await;

        for (hook, code, backlog, set_aside, letters) in [
            (&good, "healthy", 0, 0, 0),
            (&hanging, "healthy", 2, 0, 0),
            (&down, "outage", 2, 0, 0),
            (&poisoned, "suspect", 1, 1, 0),
            (&refusing, "healthy", 0, 0, 2),
            (&off, "disabled", 2, 0, 0),
            (&late, "idle", 0, 0, 0),
        ] {
            let state = state(&client, &project, hook).await;
            let counted = [&state["backlog"], &state["setAside"], &state["deadLetters"]];
            assert_eq!(
                (state["code"].as_str(), counted),
                (Some(code), [&json!(backlog), &json!(set_aside), &json!(letters)]),
                "{state:#}"
            );
            assert!(state["sentence"].is_string(), "{state:#}");
        }
        let down = state(&client, &project, &down).await;
        assert_eq!(down["lastFailure"], "status_502");
        assert!(down["nextProbeAt"].is_string() && down["oldestAcceptedAt"].is_string(), "{down:#}");

        let unknown = client.call(&project, Method::GET, "/events/01890000-0000-7000-8000-000000000000", None).await;
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "not_found"));
        assert!(unknown.message().contains("older than"), "{}", unknown.message());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_took_is_known_by_the_archive() {
    on_both(&[], async |server| {
        let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
        let (client, project) = (server.client(), server.create_project("archive").await);
        let event = accept(&client, &project, text("archive", 0)).await;
        let path = format!("/events/{}", event.id);
        let begun = Instant::now();
        loop {
            let answer = client.call(&project, Method::GET, &path, None).await;
            if answer.status == 200 {
                break;
            }
            assert!(answer.message().contains("accepted moments ago"), "{}", answer.message());
            assert!(begun.elapsed() < PATIENCE, "it is not archived");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let hook = client.register(&project, &receiver.url("/late")).await;
        stands(&client, &project, &event, &hook, "registered_later", "registered at").await;
    })
    .await;
}

/// One page of the delivery log: its rows, and where the next one begins.
async fn page(client: &Client, project: &Project, query: &str) -> (Vec<Value>, Option<String>) {
    let answer = client.call(project, Method::GET, &format!("/attempts?{query}"), None).await;
    assert!(!answer.body.iter().any(u8::is_ascii_control), "{}", String::from_utf8_lossy(&answer.body));
    let rows = answer.expect_data(200).as_array().expect("a list").clone();
    (rows, answer.json()["nextCursor"].as_str().map(str::to_owned))
}

/// Waits until the log has so many lines that pass.
async fn lines(client: &Client, project: &Project, query: &str, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let rows = page(client, project, &format!("limit=200&{query}")).await.0;
        if rows.len() >= count {
            return rows;
        }
        assert!(begun.elapsed() < PATIENCE, "{} of {count} lines", rows.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_delivery_log_is_read_page_by_page_while_lines_are_added_and_by_its_project_alone() {
    const EVENTS: usize = 20;
    on_both(&[], async |server| {
        let hostile = b"<script>\x1b[31m\0\r\n\xe2\x80\xae\xff'; DROP TABLE attempts; --\"";
        let receiver = Receiver::on_loopback(move |request: &Recorded| {
            let refuses = request.path == "/refusing";
            let status = if refuses { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            Reply::status(status).body(hostile.to_vec())
        })
        .expect("a receiver");
        let (client, project) = (server.client(), server.create_project("log").await);
        let hook = client.register(&project, &receiver.url("/good")).await;
        let events = accept_texts(&client, &project, "log", EVENTS).await;
        taken(&receiver, "/good", EVENTS).await;
        lines(&client, &project, "", EVENTS).await;

        let (mut seen, mut cursor, mut more) = (Vec::new(), String::new(), EVENTS);
        loop {
            let (rows, next) = page(&client, &project, &format!("limit=6&cursor={cursor}")).await;
            seen.extend(rows);
            let Some(next) = next else { break };
            cursor = next;
            more += 1;
            accept(&client, &project, text("log", more)).await;
            lines(&client, &project, "", more).await;
        }
        let ids: Vec<&str> = seen.iter().filter_map(|line| line["eventId"].as_str()).collect();
        let expected: Vec<&str> = events.iter().rev().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, expected, "each once, newest first, and none that came later");
        for line in &seen {
            let response = "<script>\\u{1b}[31m\\u{0}\\r\\n\\u{202e}\u{fffd}'; DROP TABLE attempts; --\"";
            assert_eq!(line["response"], response);
            assert_eq!(
                (&line["status"], &line["outcome"], &line["next"]),
                (&json!(200), &json!("delivered"), &json!("delivered"))
            );
            assert_eq!(
                (&line["webhookId"], &line["attempt"], &line["failure"]),
                (&json!(hook.id), &json!(1), &json!(null))
            );
        }

        let refusing = client.register(&project, &receiver.url("/refusing")).await;
        let event = accept(&client, &project, text("log", 1_000)).await;
        let failed = lines(&client, &project, "outcome=failed", 1).await.remove(0);
        assert_eq!((&failed["webhookId"], &failed["status"]), (&json!(refusing.id), &json!(400)));
        for query in ["status=4xx".to_owned(), format!("webhook={}", refusing.id)] {
            assert_eq!(page(&client, &project, &query).await.0, std::slice::from_ref(&failed), "{query}");
        }
        lines(&client, &project, &format!("event={}", event.id), 2).await;
        assert!(page(&client, &project, "to=2020-01-01T00:00:00Z").await.0.is_empty());

        let stranger = server.create_project("stranger").await;
        let paths = ["attempts".to_owned(), format!("events/{}", event.id), format!("webhooks/{}", hook.id)];
        for path in &paths {
            let request = client.request(Method::GET, &format!("/projects/{}/{path}", project.id));
            let request = request.basic_auth(&stranger.id, Some(&stranger.secret));
            let answer = client.send(request).await.expect("an answer");
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{path}");
        }
        for path in &paths[1..] {
            let answer = client.call(&stranger, Method::GET, &format!("/{path}"), None).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
        }
        for query in [String::new(), format!("webhook={}", hook.id), format!("event={}", event.id)] {
            assert_eq!(page(&client, &stranger, &query).await, (Vec::new(), None), "{query}");
        }
    })
    .await;
}

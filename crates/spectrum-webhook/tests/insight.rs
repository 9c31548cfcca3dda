//! What a real server tells of deliveries: `webhook show`, `event show`, `attempts`, `tail`.

mod common;

use std::process::Stdio;

use axum::http::StatusCode;
use common::{PATIENCE, World, json as data, next_line, printed};
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Always, FailFirst, Receiver, Reply};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::test]
async fn a_failing_and_a_healthy_webhook_are_told_apart_by_the_log_the_event_and_the_webhook() {
    let world = World::start(&[]).await;
    let good = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let refusal = Reply::status(StatusCode::BAD_REQUEST).body("no\u{7} such room");
    let bad = Receiver::on_loopback(Always(refusal)).expect("a receiver");
    let (healthy, failing) = (world.add(&good.url("/good")).await, world.add(&bad.url("/bad")).await);
    let event = world.post("messages").await;
    let log = ["attempts", "--event", &event, "--json"];
    world.until(&log, |attempts| attempts.as_array().is_some_and(|attempts| attempts.len() == 2)).await;

    let failed = ["attempts", "--webhook", &failing, "--outcome", "failed", "--status", "4xx"];
    let attempts = data(&world.run(&[&failed[..], &["--json"]].concat()).await);
    assert_eq!((&attempts[0]["status"], &attempts[0]["next"]), (&json!(400), &json!("dead_letter")), "{attempts}");
    let shown = printed(&world.run(&failed).await);
    let line = shown.lines().find(|line| line.contains(&event)).expect("a line");
    assert!(line.contains(" 400 ") && line.contains("such room") && !line.contains('\u{7}'), "{shown}");
    assert_eq!(data(&world.run(&[&failed[..], &["--type", "other", "--json"]].concat()).await), json!([]));
    assert_eq!(world.run(&["attempts", "--status", "6"]).await.status.code(), Some(3));

    let codes = |explained: &Value| {
        let find = |id: &str| {
            let webhooks = explained["webhooks"].as_array().expect("a list");
            webhooks.iter().find(|webhook| webhook["webhookId"] == json!(id)).expect("the webhook")["code"].clone()
        };
        (find(&healthy), find(&failing))
    };
    let wanted = (json!("delivered"), json!("dead_letter"));
    world.until(&["event", "show", &event, "--json"], |explained| codes(explained) == wanted).await;
    let shown = printed(&world.run(&["event", "explain", &event]).await);
    for line in [good.url("/good: "), bad.url("/bad: "), format!("event {event}, messages")] {
        assert!(shown.lines().any(|had| had.starts_with(&line)), "{line}: {shown}");
    }
    let unknown = world.run(&["event", "show", &uuid::Uuid::nil().to_string()]).await;
    assert_eq!(unknown.status.code(), Some(4));

    let to = ["event", "resend", &event, "--webhook", &healthy];
    let again = data(&world.run(&[&to[..], &["--json"]].concat()).await);
    assert_eq!(again["eventId"], json!(event), "{again}");
    let resent = |explained: &Value| explained["webhooks"].to_string().contains(again["id"].as_str().expect("an id"));
    world.until(&["event", "show", &event, "--json"], resent).await;
    let unknown = uuid::Uuid::nil().to_string();
    assert_eq!(world.run(&["event", "resend", &unknown, "--webhook", &healthy]).await.status.code(), Some(4));

    a_resend_is_told_apart(&world, &failing, &event).await;

    let show = ["webhook", "show", &failing, "--json"];
    let webhook = world.until(&show, |webhook| webhook["state"]["deadLetters"] == json!(1)).await;
    assert_eq!(webhook["id"], json!(failing), "{webhook}");
    let shown = printed(&world.run(&["webhook", "show", &failing]).await);
    assert!(shown.lines().any(|line| line.starts_with("state.sentence ")), "{shown}");
}

/// A resend is told from the event's own delivery.
async fn a_resend_is_told_apart(world: &World, webhook: &str, event: &str) {
    data(&world.run(&["dead-letters", "resend", webhook, event, "--json"]).await);
    let log = ["attempts", "--webhook", webhook, "--json"];
    world.until(&log, |attempts| attempts.as_array().is_some_and(|attempts| attempts.len() == 2)).await;
    let shown = printed(&world.run(&["attempts", "--webhook", webhook]).await);
    assert_eq!(shown.matches("1 (resend)").count(), 1, "{shown}");
    let shown = printed(&world.run(&["event", "show", event]).await);
    assert!(shown.contains("    sent again as "), "{shown}");
}

#[tokio::test]
async fn deliveries_are_followed_as_they_are_made_to_the_count_that_was_asked_for() {
    let world = World::start(&[("SPECTRUM_RETRY_INITIAL", "10ms")]).await;
    let failure = Reply::status(StatusCode::SERVICE_UNAVAILABLE);
    let receiver = Receiver::on_loopback(FailFirst { times: 1, failure, then: Reply::ok() }).expect("a receiver");
    let webhook = world.add(&receiver.url("/")).await;
    let mut command = world.command(&["tail", "--webhook", &webhook, "--count", "2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    let mut notes = BufReader::new(child.stderr.take().expect("notes")).lines();
    next_line(&mut notes, |line| line.starts_with("following")).await.expect("a note");
    let event = world.post("messages").await;
    let first = next_line(&mut lines, |_| true).await.expect("a line");
    let second = next_line(&mut lines, |_| true).await.expect("a line");
    assert!(first.contains(&event) && first.contains("attempt 1: 503 in ") && first.contains("next: retry"), "{first}");
    assert!(second.contains(&event) && second.contains("attempt 2: 200 in "), "{second}");
    assert!(tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time").expect("a status").success());
}

//! `dead-letters`, and the steering of `webhook`: what people do about what is not delivered.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use axum::http::StatusCode;
use common::{PATIENCE, World, complaint, json, on_terminal, printed};
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Always, Receiver, Reply};

/// Gives up at once, so that a test need not wait for retries.
const HASTY: (&str, &str) = ("SPECTRUM_RETRY_ATTEMPTS", "1");

fn receiver(status: u16) -> Receiver {
    let status = StatusCode::from_u16(status).expect("a status");
    Receiver::on_loopback(Always(Reply::status(status))).expect("a receiver")
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn dead_letters_are_listed_read_sent_again_and_discarded() {
    let world = World::start(&[]).await;
    let receiver = receiver(422);
    let webhook = world.add(&receiver.url("/")).await;
    let mut events = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        events.push(world.post(name).await);
    }
    let list = ["dead-letters", "list", "--json"];
    let letters = world.until(&list, |letters| count(letters) == 5).await;
    assert_eq!((&letters[0]["id"], &letters[4]["eventType"]), (&json!(events[4]), &json!("one")));
    let few = world.run(&["dead-letters", "list", "--limit", "2", "--webhook", &webhook]).await;
    let shown = printed(&few);
    assert!(shown.contains(&events[4]) && shown.contains("status_422") && !shown.contains(&events[2]), "{shown}");
    assert!(complaint(&few).contains("--all"), "{}", complaint(&few));
    let none = world.run(&["dead-letters", "list", "--reason", "poison", "--json"]).await;
    assert_eq!(json(&none), json!([]));
    let wrong = world.run(&["dead-letters", "list", "--fault", "mine"]).await;
    assert!(wrong.status.code() == Some(3) && complaint(&wrong).contains("invalid_query: "), "{}", complaint(&wrong));

    let read = json(&world.run(&["dead-letters", "show", &webhook, &events[0], "--json"]).await);
    assert_eq!(read["body"], json!("{\"event\":\"one\"}"));
    assert!(printed(&world.run(&["dead-letters", "show", &webhook, &events[0]]).await).contains("{\"event\":\"one\"}"));

    receiver.behave(Always(Reply::ok()));
    let resend = ["dead-letters", "resend", &webhook, &events[1], &events[0]];
    let sent = world.run(&resend).await;
    assert!(sent.status.success() && printed(&sent).contains(&events[1]), "{}", complaint(&sent));
    receiver.wait_until(|memory| memory.requests().filter(|it| it.taken()).count() == 2, PATIENCE).await.expect("both");
    let again = world.run(&resend).await;
    assert!(again.status.code() == Some(3), "{}", printed(&again));
    assert!(complaint(&again).contains("letter_closed: 2 of 2 were not sent again"), "{}", complaint(&again));
    let nil = uuid::Uuid::nil().to_string();
    assert_eq!(world.run(&["dead-letters", "resend", &webhook, &nil]).await.status.code(), Some(4));

    let discard = ["dead-letters", "discard", &webhook, "--reason", "a test", "--json"];
    let with = |more: &[&str]| world.command(&[&discard, more].concat());
    let one = json(&world.run(&[&discard[..], &[events[2].as_str()]].concat()).await);
    assert_eq!(one, json!({ "discarded": 1 }));
    let unasked = world.run(&[&discard[..], &["--all"]].concat()).await;
    assert!(unasked.status.code() == Some(2) && complaint(&unasked).contains("--yes"), "{}", complaint(&unasked));
    let (shown, code) = on_terminal(with(&["--all"]), 100, "n\n").await;
    assert!(code == Some(1) && shown.contains("[y/N]") && shown.contains("nothing was discarded"), "{shown}");
    assert_eq!(count(&json(&world.run(&list).await)), 2);
    let (shown, code) = on_terminal(with(&["--all"]), 100, "y\n").await;
    assert!(code == Some(0) && shown.contains("{\"discarded\":2}"), "{shown}");
    assert_eq!(json(&world.run(&[&discard[..], &["--all", "--yes"]].concat()).await), json!({ "discarded": 0 }));
    assert_eq!(count(&json(&world.run(&["dead-letters", "list", "--state", "closed", "--json"]).await)), 5);
}

#[tokio::test]
async fn a_webhook_in_an_outage_is_skipped_resumed_and_dropped_and_the_list_says_by_whom_and_why() {
    let world = World::start(&[HASTY, ("SPECTRUM_OUTAGE_AFTER", "1")]).await;
    let receiver = receiver(503);
    let webhook = world.add(&receiver.url("/")).await;
    let first = world.post("first").await;
    receiver.wait_until(|memory| memory.total() >= 1, PATIENCE).await.expect("an attempt");
    let second = world.post("second").await;
    let skip = ["webhook", "skip", &webhook, "--event", &first, "--reason", "poison", "--json"];
    let skipped = json(&world.run(&skip).await);
    assert_eq!((&skipped["done"], &skipped["deliveries"]), (&json!(true), &json!(1)), "{skipped}");
    let letters = json(&world.run(&["dead-letters", "list", "--reason", "skipped", "--json"]).await);
    assert_eq!((&letters[0]["id"], count(&letters)), (&json!(first), 1));

    receiver.behave(Always(Reply::ok()));
    let resumed = world.run(&["webhook", "resume", &webhook, "--reason", "they mended it"]).await;
    assert!(resumed.status.success() && printed(&resumed).contains("resume"), "{}", complaint(&resumed));
    receiver
        .wait_until(|memory| memory.requests().any(|it| it.taken() && it.event_id() == Some(&second)), PATIENCE)
        .await
        .expect("the second event");

    let dropped = json(&world.run(&["webhook", "drop", &webhook, "--reason", "none wanted", "--json"]).await);
    assert_eq!((&dropped["command"], &dropped["deliveries"]), (&json!("drop"), &json!(0)));
    let steerings = json(&world.run(&["webhook", "steerings", &webhook, "--json"]).await);
    let commands = |row: usize| steerings[row]["command"].clone();
    assert_eq!([commands(0), commands(1), commands(2)], [json!("drop"), json!("resume"), json!("skip")]);
    let shown = printed(&world.run(&["webhook", "steerings", &webhook]).await);
    assert!(shown.contains("they mended it") && shown.contains("none wanted"), "{shown}");
    let unreasonable = world.run(&["webhook", "resume", &webhook, "--reason", " "]).await;
    assert!(unreasonable.status.code() == Some(3) && complaint(&unreasonable).contains("invalid_reason: "));
    assert_eq!(world.run(&["webhook", "drop", &webhook]).await.status.code(), Some(2));
}

#[tokio::test]
async fn a_check_tells_step_by_step_whether_a_webhook_takes_what_it_is_sent() {
    let world = World::start(&[]).await;
    let receiver = receiver(200);
    let webhook = world.add(&receiver.url("/")).await;
    let good = world.run(&["webhook", "check", &webhook]).await;
    let shown = printed(&good);
    assert!(good.status.success(), "{shown}{}", complaint(&good));
    assert!(shown.lines().any(|line| line.starts_with("answer ") && line.contains(" passed ")), "{shown}");
    receiver.behave(Always(Reply::status(StatusCode::NOT_FOUND)));
    let bad = world.run(&["webhook", "check", &webhook, "--json"]).await;
    assert_eq!(bad.status.code(), Some(1), "{}", complaint(&bad));
    let answer: Value = serde_json::from_slice(&bad.stdout).expect("one JSON value");
    assert_eq!(answer["report"]["passed"], json!(false), "{answer}");
}

#[tokio::test]
async fn a_test_event_goes_to_one_webhook_alone() {
    let world = World::start(&[]).await;
    let (one, other) = (receiver(200), receiver(200));
    let webhook = world.add(&one.url("/")).await;
    world.add(&other.url("/")).await;
    let sent = json(&world.run(&["webhook", "test", &webhook, "--json"]).await);
    let event = sent["eventId"].as_str().expect("an id");
    one.wait_until(|memory| memory.requests().any(|it| it.event_id() == Some(event)), PATIENCE).await.expect("it");
    assert_eq!(other.look(spectrum_webhook_receiver::Memory::total), 0);
    json(&world.run(&["webhook", "disable", &webhook, "--json"]).await);
    assert_eq!(world.run(&["webhook", "test", &webhook]).await.status.code(), Some(3));
}

//! `attempts`, `tail` and `event show`: the delivery log in pages and as it grows, and what is known of one event.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::process::Stdio;

use common::log_server::LogServer;
use common::{PATIENCE, complaint, json as data, next_line, printed, run};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

fn number(attempt: &Value) -> u32 {
    let id = attempt["eventId"].as_str().expect("an id");
    id[24..].parse().expect("a number")
}

#[tokio::test]
async fn the_log_is_read_page_by_page_and_a_page_that_is_refused_for_the_moment_is_read_again() {
    let server = LogServer::start().await;
    let none = run(&mut server.command(&["attempts", "--json"])).await;
    assert_eq!(data(&none), Value::Array(Vec::new()));
    for event in 0..450 {
        server.add(event, i64::from(event), 200);
    }
    let numbers = |list: &Value| list.as_array().expect("a list").iter().map(number).collect::<Vec<_>>();
    server.refuse(1..2);
    let all = data(&run(&mut server.command(&["attempts", "--all", "--json"])).await);
    assert_eq!(numbers(&all), (0..450).collect::<Vec<_>>());
    let some = data(&run(&mut server.command(&["attempts", "--limit", "250", "--json"])).await);
    assert_eq!(numbers(&some), (0..250).collect::<Vec<_>>());
    let limits: Vec<String> = server
        .queries()
        .iter()
        .filter_map(|query| Some(query.iter().find(|(name, _)| name == "limit")?.1.clone()))
        .collect();
    assert_eq!(limits, ["50", "200", "200", "200", "200", "200", "50"]);

    let few = run(&mut server.command(&["attempts", "--limit", "3"])).await;
    assert!(complaint(&few).contains("there are more"), "{}", complaint(&few));
    assert_eq!(printed(&few).lines().filter(|line| line.contains(" messages ")).count(), 3, "{}", printed(&few));

    server.refuse(0..1);
    let refused = run(&mut server.command(&["attempts", "--all"])).await;
    assert!(
        refused.status.code() == Some(5) && complaint(&refused).contains("unavailable: "),
        "{}",
        complaint(&refused)
    );
}

#[tokio::test]
async fn what_is_asked_of_the_log_is_asked_of_the_server() {
    let server = LogServer::start().await;
    let id = "018f0000-0000-7000-8000-00000000000a";
    let asked = [
        "attempts",
        "--webhook",
        id,
        "--event",
        id,
        "--outcome",
        "failed",
        "--status",
        "5xx",
        "--failure",
        "tls",
        "--type",
        "a b&c",
    ];
    let times = ["--from", "2026-01-02T03:04:05+01:00", "--to", "2026-01-03T00:00:00Z", "--limit", "7"];
    data(&run(&mut server.command(&[&asked[..], &times, &["--json"]].concat())).await);
    let pairs = [
        ("webhook", id),
        ("event", id),
        ("outcome", "failed"),
        ("status", "5xx"),
        ("failure", "tls"),
        ("type", "a b&c"),
        ("from", "2026-01-02T02:04:05Z"),
        ("to", "2026-01-03T00:00:00Z"),
        ("limit", "7"),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(server.queries(), [Vec::from(pairs)]);
    let head = async |arguments: &[&str]| {
        let shown = printed(&run(server.command(&["attempts"]).args(arguments)).await);
        shown.lines().nth(1).expect("a head").to_owned()
    };
    assert!(head(&[]).await.contains("webhook"));
    assert!(!head(&["--webhook", id]).await.contains("webhook"), "it would say again what was asked for");
    for wrong in [["--from", "yesterday"], ["--outcome", "good"], ["--limit", "0"], ["--webhook", "x"]] {
        let refused = run(server.command(&["attempts"]).args(wrong)).await;
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn an_event_is_explained_with_a_line_for_each_webhook_and_a_sentence() {
    let server = LogServer::start().await;
    let id = "018f0000-0000-7000-8000-000000000001";
    let unknown = run(&mut server.command(&["event", "show", id])).await;
    assert!(unknown.status.code() == Some(4) && complaint(&unknown).contains("no such event"));
    let webhook = |url: &str, code: &str, sentence: &str| {
        json!({
            "webhookId": id, "webhookUrl": url, "code": code, "sentence": sentence, "since": null, "attempts": 2,
            "lastAttemptAt": "2026-01-02T03:04:05.678Z", "nextAt": null, "ahead": null, "blockedBy": null,
            "resends": [{ "resendId": id, "code": "delivered", "sentence": format!("Again: {sentence}") }],
        })
    };
    let explained = json!({
        "id": id, "eventType": "messages", "acceptedAt": "2026-01-02T03:04:05.678Z", "size": 12,
        "webhooks": [
            webhook("https://one.example/", "delivered", "It was delivered at the first attempt."),
            webhook("https://two.example/", "retrying", "It failed with 503 and is tried again at 03:05."),
        ],
    });
    server.explain(explained.clone());
    let shown = printed(&run(&mut server.command(&["event", "explain", id])).await);
    for (url, code, sentence) in [("one", "delivered", "It was delivered"), ("two", "retrying", "It failed with 503")] {
        let row = shown.lines().find(|line| line.contains(code)).expect("a row");
        assert!(row.contains(id) && row.trim_end().ends_with(&format!("https://{url}.example/")), "{shown}");
        assert!(shown.contains(&format!("https://{url}.example/: {sentence}")), "{shown}");
        assert!(shown.contains(&format!("sent again as {id}: Again: {sentence}")), "{shown}");
    }
    assert_eq!(data(&run(&mut server.command(&["event", "show", id, "--json"])).await), explained);
}

/// `tail` as a child, once it follows.
async fn tail(
    server: &LogServer,
    arguments: &[&str],
) -> (Child, Lines<BufReader<ChildStdout>>, Lines<BufReader<ChildStderr>>) {
    let mut command = server.command(&["tail"]);
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    let mut notes = BufReader::new(child.stderr.take().expect("notes")).lines();
    next_line(&mut notes, |line| line.starts_with("following")).await.expect("a note");
    (child, lines, notes)
}

#[tokio::test]
async fn attempts_are_shown_once_as_they_come_also_one_that_began_long_before_it_ended() {
    let server = LogServer::start().await;
    server.add(1, 5, 200);
    let (mut child, mut lines, _notes) = tail(&server, &["--json", "--count", "4"]).await;
    let mut next = async || {
        let line = next_line(&mut lines, |_| true).await.expect("a line");
        number(&serde_json::from_str(&line).expect("an object a line"))
    };
    server.add(2, 0, 200);
    assert_eq!(next().await, 2);
    server.add(3, 30, 503);
    assert_eq!(next().await, 3);
    server.add(4, 1, 200);
    server.add(5, 2, 200);
    let mut last = [next().await, next().await];
    last.sort_unstable();
    assert_eq!(last, [4, 5]);
    assert!(tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time").expect("a status").success());
}

#[tokio::test]
async fn failures_alone_are_followed_through_a_time_in_which_the_server_is_away_until_it_is_interrupted() {
    let server = LogServer::start().await;
    let (mut child, mut lines, mut notes) = tail(&server, &["--failed"]).await;
    server.refuse(0..2);
    let away = next_line(&mut notes, |_| true).await.expect("a note");
    assert!(away.contains("unavailable: ") && away.contains("waiting"), "{away}");
    server.add(1, 0, 200);
    server.add(2, 0, 503);
    let line = next_line(&mut lines, |_| true).await.expect("a line");
    assert!(line.contains("000000000002 attempt 1: 503 in 3 ms, next: retry  no\\u0007pe"), "{line}");
    assert!(!line.contains('\u{1b}'), "{line}");
    let id = i32::try_from(child.id().expect("a running process")).expect("a process id");
    let id = rustix::process::Pid::from_raw(id).expect("a process id");
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("a signal");
    assert!(tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time").expect("a status").success());
    assert_eq!(next_line(&mut lines, |_| true).await, None);
}

//! What the scenarios share: events, accounts of what was accepted, and what must have come of it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use spectrum_webhook_receiver::{Accepted, Receiver, Report, check};
use spectrum_webhook_testkit::process::{Client, Hook, Project, Server, Settings};
use spectrum_webhook_testkit::services::shared;

/// How long anything may take on a machine that is busy. No test waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A text message, different for each name and number.
pub(crate) fn text(name: &str, number: usize) -> Bytes {
    format!(
        r#"{{"event":"messages","space":{{"id":"space-{name}","platform":"imessage"}},"message":{{"id":"{name}-{number}","platform":"imessage","direction":"inbound","timestamp":"2026-01-02T03:04:05.678Z","sender":{{"id":"+15550100","platform":"imessage"}},"space":{{"id":"space-{name}","platform":"imessage"}},"content":{{"type":"text","text":"Nachricht № {number} \u00fc\/🙂"}}}}}}"#
    )
    .into()
}

/// Posts an event that must be taken.
pub(crate) async fn accept(client: &Client, project: &Project, body: Bytes) -> Accepted {
    let posted = Instant::now();
    let id = client.accept(project, body.clone()).await;
    Accepted { id, body, posted }
}

/// Posts `count` text messages, one after the other.
pub(crate) async fn accept_texts(client: &Client, project: &Project, name: &str, count: usize) -> Vec<Accepted> {
    let mut accepted = Vec::with_capacity(count);
    for number in 0..count {
        accepted.push(accept(client, project, text(name, number)).await);
    }
    accepted
}

/// Waits until this many different events were taken at a path.
#[track_caller]
pub(crate) fn taken(receiver: &Receiver, path: &str, count: usize) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let enough = |memory: &spectrum_webhook_receiver::Memory| memory.count(path).taken >= count as u64;
        if receiver.wait_until(enough, PATIENCE).await.is_err() {
            let got = receiver.look(|memory| memory.count(path));
            panic!("{caller}: {path} got {got:?}, not {count} taken");
        }
    }
}

/// Waits until this many requests came to a path.
#[track_caller]
pub(crate) fn requests(receiver: &Receiver, path: &str, count: usize) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let enough = |memory: &spectrum_webhook_receiver::Memory| memory.count(path).requests >= count as u64;
        if receiver.wait_until(enough, PATIENCE).await.is_err() {
            let got = receiver.look(|memory| memory.count(path));
            panic!("{caller}: {path} got {got:?}, not {count} requests");
        }
    }
}

/// Waits until so many deliveries rest in the backlog of a webhook that is disabled, or whose URL is known to be down:
/// before that is known, the first of them are set aside, and a URL that is mended then proves them poison.
pub(crate) async fn rest(client: &Client, project: &Project, hook: &Hook, count: u64) {
    let begun = Instant::now();
    let path = format!("/webhooks/{}", hook.id);
    loop {
        let webhook = client.call(project, reqwest::Method::GET, &path, None).await.expect_data(200);
        let state = &webhook["state"];
        let is_known = ["disabled", "outage"].contains(&state["code"].as_str().unwrap_or_default());
        if is_known && state["setAside"] == 0 && state["backlog"].as_u64() >= Some(count) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{webhook}");
        // Rows cannot be waited for: they are asked for again.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The path of a webhook at its receiver.
pub(crate) fn path_of<'a>(receiver: &Receiver, hook: &'a Hook) -> &'a str {
    let origin = receiver.url("");
    hook.url.strip_prefix(&origin).unwrap_or_else(|| panic!("{} is not at {origin}", hook.url))
}

/// What came of the accepted events at a webhook.
pub(crate) fn report(receiver: &Receiver, hook: &Hook, accepted: &[Accepted]) -> Report {
    receiver.look(|memory| check(accepted, memory.at(path_of(receiver, hook)), &hook.key))
}

/// Waits until all accepted events were taken at a webhook, which must have come in order, signed and to the byte.
pub(crate) async fn all_arrive(receiver: &Receiver, hook: &Hook, accepted: &[Accepted]) -> Report {
    taken(receiver, path_of(receiver, hook), accepted.len()).await;
    let report = report(receiver, hook, accepted);
    assert!(report.is_clean(), "{}: {report:#?}", hook.url);
    report
}

/// Runs a scenario on a server with the embedded backends, and then on one with those of a cluster. `more` are settings
/// that it needs.
pub(crate) async fn on_both(more: &[(&str, &str)], scenario: impl AsyncFn(Server)) {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let cluster = crate::cluster::settings(&rabbit.url(), &redis.url(), &postgres.database().await);
    for (name, settings) in [("embedded", Settings::quick()), ("a cluster", cluster)] {
        println!("on {name}");
        let settings = more.iter().fold(settings, |settings, (name, value)| settings.set(name, *value));
        scenario(Server::start(settings).await).await;
    }
}

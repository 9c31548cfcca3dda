//! Data folders that are read-only, full, or in use: a clear word, and no harm to what is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use spectrum_webhook_receiver::{Accepted, Always, Memory, Receiver, Reply};
use spectrum_webhook_testkit::process::{Disk, Hook, Project, Server, Settings};

use crate::world::{PATIENCE, accept, accept_texts, all_arrive, report, text};

/// A small disk, or nothing with the reason printed where there can be none.
fn disk(size: &str) -> Option<Arc<Disk>> {
    match Disk::of_size(size) {
        Ok(disk) => Some(Arc::new(disk)),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

/// Whether the program said at its end what is wrong, for a person.
fn says(log: &str, words: &[&str]) {
    let lower = log.to_lowercase();
    for word in words {
        assert!(lower.contains(&word.to_lowercase()), "`{word}` is not in:\n{log}");
    }
    assert!(!lower.contains("panicked"), "it panicked:\n{log}");
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_its_user_goes_on() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("first").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let mut accepted = accept_texts(&client, &project, "first", 5).await;

    let (code, log) = Server::refused(Settings::quick(), server.folder()).await;
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    says(&log, &["in use", server.folder().to_str().expect("a path")]);

    for number in 5..10 {
        accepted.push(accept(&client, &project, text("first", number)).await);
    }
    all_arrive(&receiver, &hook, &accepted).await;
}

#[tokio::test]
async fn a_folder_that_is_read_only_is_refused_and_unharmed() {
    let Some(disk) = disk("64m") else { return };
    let receiver = Receiver::on_loopback(Always(Reply::status(http::StatusCode::BAD_GATEWAY))).expect("a receiver");
    let mut server = Server::start_on(Settings::quick(), &disk).await;
    let client = server.client();
    let project = server.create_project("kept").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let accepted = accept_texts(&client, &project, "kept", 5).await;
    server.kill().await;

    disk.read_only(true);
    let (code, log) = Server::refused_on(Settings::quick(), &disk).await;
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    says(&log, &["read-only", disk.path().to_str().expect("a path")]);

    disk.read_only(false);
    receiver.behave(Always(Reply::ok()));
    server.restart().await;
    all_arrive(&receiver, &hook, &accepted).await;
}

#[tokio::test]
async fn a_folder_that_is_full_is_refused_and_good_when_there_is_room() {
    let Some(disk) = disk("32m") else { return };
    disk.fill();
    let (code, log) = Server::refused_on(Settings::quick(), &disk).await;
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    says(&log, &["no space left", disk.path().to_str().expect("a path")]);
    // With a key of its own it fails later, at the database.
    let keyed = Settings::quick().set("SPECTRUM_MASTER_KEY", "ab".repeat(32));
    let (code, log) = Server::refused_on(keyed, &disk).await;
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    says(&log, &["is full", "free some space", disk.path().to_str().expect("a path")]);

    disk.make_room();
    let server = Server::start_on(Settings::quick(), &disk).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("roomy").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let accepted = accept_texts(&client, &project, "roomy", 5).await;
    all_arrive(&receiver, &hook, &accepted).await;
}

/// An event that takes room.
fn bulky(number: usize) -> Bytes {
    let filler = "x".repeat(60_000);
    format!(r#"{{"event":"messages","message":{{"id":"bulky-{number}"}},"filler":"{filler}"}}"#).into()
}

/// A server on a small disk, its project and webhook, and what it accepted until the disk was full. What is not
/// delivered stays on the disk, and nothing is delivered: the receiver refuses all.
struct Full {
    disk: Arc<Disk>,
    server: Server,
    receiver: Receiver,
    project: Project,
    hook: Hook,
    accepted: Vec<Accepted>,
}

async fn filled_up() -> Option<Full> {
    let disk = disk("48m")?;
    let server = Server::start_on(Settings::quick(), &disk).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::status(http::StatusCode::BAD_GATEWAY))).expect("a receiver");
    let project = server.create_project("full").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let mut accepted = Vec::new();
    for number in 0..20 {
        accepted.push(accept(&client, &project, bulky(number)).await);
    }
    disk.fill();
    // Room that was taken before may still hold a few.
    let refused = loop {
        let number = accepted.len();
        let (body, posted) = (bulky(number), Instant::now());
        let answer = client.post(&project, body.clone(), None).await.expect("an answer");
        if answer.status != 202 {
            break answer;
        }
        let id = answer.expect_data(202)["id"].as_str().expect("an id").to_owned();
        accepted.push(Accepted { id, body, posted });
        assert!(accepted.len() < 1_000, "a full disk takes everything");
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "not_confirmed"), "{}", refused.message());
    assert!(!refused.header("retry-after").is_empty() && !refused.message().is_empty());
    Some(Full { disk, server, receiver, project, hook, accepted })
}

#[tokio::test]
async fn a_disk_that_fills_up_confirms_nothing_more_and_everything_arrives_when_there_is_room() {
    let Some(mut full) = filled_up().await else { return };
    let client = full.server.client();
    full.disk.make_room();
    // The one that was refused is repeated, until it is taken: it may have been, and is then known.
    let (body, posted) = (bulky(full.accepted.len()), Instant::now());
    let id = loop {
        let answer = client.post(&full.project, body.clone(), None).await.expect("an answer");
        if answer.status == 202 {
            break answer.expect_data(202)["id"].as_str().expect("an id").to_owned();
        }
        assert!(posted.elapsed() < PATIENCE, "there is room, and it is not taken: {}", answer.json());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    full.accepted.push(Accepted { id, body, posted });
    full.receiver.behave(Always(Reply::ok()));
    full.accepted.push(accept(&client, &full.project, text("full", 0)).await);
    all_arrive(&full.receiver, &full.hook, &full.accepted).await;
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
}

#[tokio::test]
async fn a_kill_on_a_full_disk_loses_nothing() {
    let Some(mut full) = filled_up().await else { return };
    full.server.kill().await;
    full.disk.make_room();
    full.receiver.behave(Always(Reply::ok()));
    full.server.restart().await;
    full.accepted.push(accept(&full.server.client(), &full.project, text("full", 0)).await);
    // The one that was refused may have been taken, and has then its place before the last.
    let last = full.accepted.last().expect("an event").id.clone();
    let arrived =
        |memory: &Memory| memory.requests().any(|request| request.taken() && request.event_id() == Some(&last));
    full.receiver.wait_until(arrived, PATIENCE).await.expect("the last event");
    let report = report(&full.receiver, &full.hook, &full.accepted);
    assert!(report.missing.is_empty() && report.swapped.is_empty() && report.changed.is_empty(), "{report:#?}");
    assert!(report.refused.is_empty() && report.unknown.len() <= report.attempts - full.accepted.len(), "{report:#?}");
}

//! A backup is made while it runs, it goes on, everything is lost, the backup is restored: what is promised of that.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use serde_json::json;
use spectrum_webhook_receiver::{Accepted, Memory, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Hook, Project, Server, Settings};
use spectrum_webhook_testkit::services::shared;

use crate::steer::wait_for_letters;
use crate::world::{PATIENCE, accept, accept_texts, path_of, rest, text};

/// A deployment with a URL that is down until it is mended, and one that refuses.
struct Deployment {
    receiver: Receiver,
    mended: Arc<AtomicBool>,
    project: Project,
    down: Hook,
    refuses: Hook,
    /// Rest in the store, from before the backup.
    before: Vec<Accepted>,
    dead: Accepted,
}

impl Deployment {
    async fn make(server: &Server) -> Self {
        let mended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&mended);
        let answer = move |request: &Recorded| match request.path.as_str() {
            _ if seen.load(Ordering::Relaxed) => Reply::ok(),
            "/up" => Reply::ok(),
            "/refuses" => Reply::status(StatusCode::UNPROCESSABLE_ENTITY),
            _ => Reply::status(StatusCode::SERVICE_UNAVAILABLE),
        };
        let receiver = Receiver::on_loopback(answer).expect("a receiver");
        let (client, project) = (server.client(), server.create_project("backed up").await);
        let one = |path: &str, kind: &str| json!({ "webhookUrl": receiver.url(path), "eventTypes": [kind] });
        let down = client.register_with(&project, &one("/down", "messages")).await;
        let refuses = client.register_with(&project, &one("/refuses", "refused")).await;
        client.register_with(&project, &one("/up", "up")).await;
        let before = accept_texts(&client, &project, "before", 10).await;
        let dead = accept(&client, &project, r#"{"event":"refused","message":{"id":"r"}}"#.into()).await;
        wait_for_letters(&client, &project, 1).await;
        rest(&client, &project, &down, 10).await;
        Self { receiver, mended, project, down, refuses, before, dead }
    }

    /// An event that is delivered at once; the number that its URL got.
    async fn passes(&self, server: &Server) -> u64 {
        let body = json!({ "event": "up", "message": { "id": rand::random::<u64>().to_string() } });
        let event = server.client().accept(&self.project, body.to_string().into()).await;
        let came = |memory: &Memory| memory.at("/up").any(|request| request.event_id() == Some(event.as_str()));
        self.receiver.wait_until(came, PATIENCE).await.expect("it arrives");
        let number =
            |memory: &Memory| memory.at("/up").find(|request| request.event_id() == Some(event.as_str()))?.sequence();
        self.receiver.look(number).expect("a number")
    }

    /// What was there at the backup is there again: secrets, what rests in its order, dead letters. What comes later is
    /// numbered behind everything that was sent before.
    async fn is_back(&self, server: &Server, still_there: &[Accepted], perhaps: &[Accepted], highest: u64) {
        let client = server.client();
        let letter = format!("/webhooks/{}/dead-letters/{}", self.refuses.id, self.dead.id);
        client.call(&self.project, reqwest::Method::GET, &letter, None).await.expect_data(200);
        let from = self.receiver.look(|memory| memory.at(path_of(&self.receiver, &self.down)).count());
        self.mended.store(true, Ordering::Relaxed);
        let mut expected = self.before.clone();
        expected.extend_from_slice(still_there);
        expected.push(accept(&client, &self.project, text("after", 0)).await);
        let last = &expected[expected.len() - 1].id;
        let arrived = |memory: &Memory| {
            memory.at("/down").skip(from).any(|request| request.taken() && request.event_id() == Some(last.as_str()))
        };
        self.receiver.wait_until(arrived, PATIENCE).await.expect("the last one arrives");
        let order: Vec<String> = self.receiver.look(|memory| {
            let taken = memory.at("/down").skip(from).filter(|request| request.taken());
            let mut known = HashSet::new();
            taken
                .filter_map(|request| Some(request.event_id()?.to_owned()))
                .filter(|id| known.insert(id.clone()))
                .collect()
        });
        let ids = |events: &[Accepted]| events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
        // What was in the database alone is lost; RabbitMQ may still have had it.
        let (known, lost): (Vec<_>, Vec<_>) = order.into_iter().partition(|id| !perhaps.iter().any(|it| it.id == *id));
        assert_eq!(known, ids(&expected));
        assert!(lost.is_empty() || ids(perhaps).ends_with(&lost), "{lost:?} out of order");
        let number = self.passes(server).await;
        assert!(number > highest, "{number} is not above {highest}, which was given before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_deployment_is_restored_from_a_backup_that_was_made_while_it_ran() {
    let mut server = Server::start(Settings::quick().set("SPECTRUM_HOLD_AFTER", "200ms")).await;
    let (client, deployment) = (server.client(), Deployment::make(&server).await);
    let place = tempfile::TempDir::new().expect("a folder");
    let file = place.path().join("backup.db");
    let to = file.to_str().expect("a path");
    let done = server.command(&["backup", "--to", to]).await;
    assert!(done.stdout.contains("master.key"), "{}", done.stdout);
    let key = std::fs::read(server.folder().join("master.key")).expect("a key");

    // It goes on, through a restart, and numbers more.
    accept_texts(&client, &deployment.project, "lost", 5).await;
    server.kill().await;
    server.restart().await;
    accept_texts(&client, &deployment.project, "lost-too", 5).await;
    let highest = deployment.passes(&server).await;

    // The disk is gone.
    server.kill().await;
    for entry in std::fs::read_dir(server.folder()).expect("a folder") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("a removal");
    }
    std::fs::copy(&file, server.folder().join("spectrum-webhook.db")).expect("a copy");
    std::fs::write(server.folder().join("master.key"), key).expect("a key");
    server.command(&["restored"]).await;
    server.restart().await;
    deployment.is_back(&server, &[], &[], highest).await;

    let again =
        spectrum_webhook_testkit::process::run(server.settings(), server.folder(), &["backup", "--to", to]).await;
    assert!(again.code == Some(1) && again.stderr.contains("overwrites nothing"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_restored_from_a_dump_and_what_rabbitmq_holds_since_arrives_too() {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let url = postgres.database().await;
    let mut server = Server::start(Settings::quick_cluster(&rabbit.url(), &redis.url(), &url)).await;
    let (client, deployment) = (server.client(), Deployment::make(&server).await);
    let dump = postgres.dump(&url).await;

    // What rests in PostgreSQL since then is lost with it.
    let perhaps = accept_texts(&client, &deployment.project, "lost", 5).await;
    rest(&client, &deployment.project, &deployment.down, 15).await;
    let highest = deployment.passes(&server).await;
    // These are in RabbitMQ: nobody takes them, until all is back.
    server.kill().await;
    let ingest = Server::start_as("ingest", server.settings().clone()).await;
    let queued = accept_texts(&ingest.client(), &deployment.project, "queued", 5).await;
    drop(ingest);

    postgres.restore(&url, &dump).await;
    server.command(&["restored"]).await;
    let keys = format!("{}:*", server.settings().get("SPECTRUM_NAMESPACE").expect("one"));
    assert_eq!(redis.command(0, &["KEYS", &keys]).trim(), "");
    server.restart().await;
    deployment.is_back(&server, &queued, &perhaps, highest).await;
}

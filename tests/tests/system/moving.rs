//! A deployment is carried into a cluster, and from there into one with other partitions: nothing is lost, swapped or
//! made again, however often the move is killed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::StatusCode;
use reqwest::Method;
use serde_json::json;
use spectrum_webhook_receiver::{Accepted, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Done, Hook, Project, Server, Settings, run, run_and_kill};
use spectrum_webhook_testkit::services::shared;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::steer::wait_for_letters;
use crate::world::{PATIENCE, accept, accept_texts, all_arrive, report, requests, rest, taken, text};

/// A webhook, and what was accepted for it.
struct Line {
    project: Project,
    hook: Hook,
    accepted: Vec<Accepted>,
}

impl Line {
    async fn more(&mut self, client: &Client, name: &str, count: usize) {
        self.accepted.extend(accept_texts(client, &self.project, name, count).await);
    }
}

async fn line(server: &Server, receiver: &Receiver, name: &str) -> Line {
    let project = server.create_project(name).await;
    let hook = server.client().register(&project, &receiver.url(&format!("/{name}"))).await;
    Line { project, hook, accepted: Vec::new() }
}

/// URLs that fail, each in its way, until they are mended.
fn failing() -> (Receiver, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&mended);
    let answer = move |request: &Recorded| match request.path.as_str() {
        _ if seen.load(Ordering::Relaxed) => Reply::ok(),
        "/down" => Reply::status(StatusCode::SERVICE_UNAVAILABLE),
        "/refuses" => Reply::status(StatusCode::UNPROCESSABLE_ENTITY),
        "/hangs" => Reply::hang(),
        _ => Reply::ok(),
    };
    (Receiver::on_loopback(answer).expect("a receiver"), mended)
}

/// The numbers of a row of what a move printed: source and target.
fn row(done: &Done, name: &str) -> (u64, u64) {
    let found = done.stdout.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| [words.next(), words.next()].map(|word| word?.parse().ok()))
    });
    match found {
        Some([Some(source), Some(target)]) => (source, target),
        _ => panic!("no row `{name}` in:\n{}{}", done.stdout, done.stderr),
    }
}

/// What rests of lanes, in the target: the first of those whose attempts are used up may be set aside.
fn rests(done: &Done) -> u64 {
    row(done, "backlog").1 + row(done, "set_aside").1
}

fn ended(done: &Done) -> bool {
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    true
}

/// A serve of `settings` must be refused with these words.
async fn refused(settings: &Settings, folder: &Path, words: &str) {
    let (code, log) = Server::refused(settings.clone(), folder).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(words), "not `{words}`:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_moves_into_a_cluster_and_on_into_other_partitions_and_all_arrives_in_order() {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let (receiver, mended) = failing();
    // Long enough that what the queue holds at the end is still there, and not in the backlog.
    let embedded = Settings::quick().set("SPECTRUM_HOLD_AFTER", "4s");
    let mut server = Server::start(embedded.clone()).await;
    let client = server.client();
    let mut down = line(&server, &receiver, "down").await;
    let mut off = line(&server, &receiver, "off").await;
    let refuses = line(&server, &receiver, "refuses").await;
    client.patch(&off.project, &off.hook.id, &json!({ "enabled": false })).await.expect_data(200);
    let keyed = client.post(&off.project, text("off", 1_000), Some("once")).await.expect("an answer").expect_data(202);
    off.accepted.push(Accepted {
        id: keyed["id"].as_str().expect("an id").to_owned(),
        body: text("off", 1_000),
        posted: Instant::now(),
    });
    down.more(&client, "down", 30).await;
    off.more(&client, "off", 10).await;
    let dead = accept(&client, &refuses.project, text("refuses", 0)).await;
    wait_for_letters(&client, &refuses.project, 1).await;
    rest(&client, &down.project, &down.hook, 30).await;
    rest(&client, &off.project, &off.hook, 11).await;

    // One project with a URL that takes everything and one that hangs: its events wait in the queue, settled in part.
    let mut takes = line(&server, &receiver, "takes").await;
    let hangs = client.register(&takes.project, &receiver.url("/hangs")).await;
    takes.more(&client, "takes", 20).await;
    taken(&receiver, "/takes", 20).await;
    requests(&receiver, "/hangs", 1).await;

    // While it runs it is not moved.
    let cluster = Settings::quick_cluster(&rabbit.url(), &redis.url(), &postgres.database().await);
    let folder = server.folder().to_owned();
    let from = folder.to_str().expect("a path");
    let beside = run(&cluster, &folder, &["move", "--from", from]).await;
    assert!(beside.code == Some(1) && beside.stderr.contains("in use"), "{beside:?}");
    server.kill().await;

    let looked = run(&cluster, &folder, &["move", "--from", from, "--check"]).await;
    assert!(ended(&looked) && row(&looked, "projects") == (4, 0), "{looked:?}");
    let in_queue = row(&looked, "queue").0;
    assert!(in_queue >= 20, "the queue is not empty: {looked:?}");

    // Killed after each of its steps, until nothing is left to do. In between nobody serves the one or the other.
    let mut kills = 0;
    let done = loop {
        match run_and_kill(&cluster, &folder, &["move", "--from", from]).await {
            Some(done) => break done,
            None => kills += 1,
        }
        if kills == 3 {
            refused(&embedded, &folder, "a move of this deployment was begun").await;
            refused(&cluster, &folder, "a move into this deployment was begun").await;
        }
    };
    println!("killed {kills} times");
    assert!(ended(&done) && kills >= 10, "{kills} kills");
    assert_eq!(row(&done, "webhooks"), (5, 5), "{done:?}");
    assert_eq!(row(&done, "dead_letters"), (1, 1), "{done:?}");
    assert!(rests(&done) == 41 && row(&done, "attempts").0 > 0, "{done:?}");
    let (left, arrived) = row(&done, "queue");
    assert!(left == in_queue && arrived >= left, "{done:?}");
    let marked: usize = done
        .stdout
        .lines()
        .find_map(|line| line.split_once(" deliveries were made")?.0.parse().ok())
        .unwrap_or_default();
    let again = run(&cluster, &folder, &["move", "--from", from]).await;
    assert!(ended(&again) && again.stdout.contains("moved already"), "{again:?}");
    refused(&embedded, &folder, "was moved into another one").await;

    // The target has it all: the secrets, what is disabled, what rests, what is known of posts.
    let target = Server::start(cluster.clone()).await;
    let client = target.client();
    let once = client.post(&off.project, text("off", 1_000), Some("once")).await.expect("an answer").expect_data(202);
    assert_eq!((&once["id"], &once["duplicate"]), (&json!(off.accepted[0].id), &json!(true)));
    down.more(&client, "down-later", 5).await;
    mended.store(true, Ordering::Relaxed);
    all_arrive(&receiver, &down.hook, &down.accepted).await;
    all_arrive(&receiver, &hangs, &takes.accepted).await;
    let made = all_arrive(&receiver, &takes.hook, &takes.accepted).await;
    assert_eq!(made.duplicates, 20 - marked, "what was marked is not made again");
    assert!(report(&receiver, &off.hook, &[]).attempts == 0, "it is disabled");
    client.patch(&off.project, &off.hook.id, &json!({ "enabled": true })).await.expect_data(200);
    all_arrive(&receiver, &off.hook, &off.accepted).await;
    let letter = format!("/webhooks/{}/dead-letters/{}/resend", refuses.hook.id, dead.id);
    client.call(&refuses.project, Method::POST, &letter, None).await.expect_data(202);
    all_arrive(&receiver, &refuses.hook, &[dead]).await;
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;

    // On into a cluster with other partitions, with a backlog.
    mended.store(false, Ordering::Relaxed);
    down.more(&client, "down-again", 20).await;
    rest(&client, &down.project, &down.hook, 20).await;
    on_into_other_partitions(target, &cluster, &postgres.database().await, async |server| {
        let client = server.client();
        down.more(&client, "down-last", 5).await;
        mended.store(true, Ordering::Relaxed);
        all_arrive(&receiver, &down.hook, &down.accepted).await;
        off.more(&client, "off-last", 3).await;
        all_arrive(&receiver, &off.hook, &off.accepted).await;
    })
    .await;
}

/// Moves a cluster into a database with fewer partitions, and under another key.
async fn on_into_other_partitions(
    mut source: Server,
    before: &Settings,
    database: &str,
    mut then: impl AsyncFnMut(&Server),
) {
    let after = before
        .clone()
        .set("SPECTRUM_DATABASE_URL", database)
        .set("SPECTRUM_NAMESPACE", format!("{}-5", before.get("SPECTRUM_NAMESPACE").expect("one")))
        .set("SPECTRUM_MASTER_KEY", "6d".repeat(32))
        .set("SPECTRUM_PARTITIONS", "5");
    let folder = source.folder().to_owned();
    let file = folder.join("before.env");
    std::fs::write(&file, before.file()).expect("a file");
    let from = file.to_str().expect("a path");
    let beside = run(&after, &folder, &["move", "--from", from]).await;
    assert!(beside.code == Some(1) && beside.stderr.contains("stop all of its processes"), "{beside:?}");
    assert_eq!(source.terminate().await.0, Some(0));
    let done = run(&after, &folder, &["move", "--from", from]).await;
    assert!(ended(&done) && rests(&done) >= 20, "{done:?}");
    refused(before, &folder, "was moved into another one").await;
    then(&Server::start(after).await).await;

    // Who takes the move back may serve the source again.
    let undone = run(before, &folder, &["move", "--from", from, "--undo"]).await;
    assert!(ended(&undone) && undone.stdout.contains("may be served again"), "{undone:?}");
    source.restart().await;
}

/// RabbitMQ behind a door: who knocks waits until it is opened.
struct Door {
    listener: TcpListener,
    broker: String,
    url: String,
}

impl Door {
    async fn before(url: &str) -> Self {
        let broker = url.rsplit('@').next().and_then(|rest| rest.split('/').next()).expect("a host").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let url = url.replace(&broker, &listener.local_addr().expect("an address").to_string());
        Self { listener, broker, url }
    }

    async fn knock(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept()).await.expect("in time").expect("a connection").0
    }

    /// Lets this one in and all that come, until it is dropped.
    async fn open(&self, mut guest: TcpStream) {
        loop {
            let mut broker = TcpStream::connect(&self.broker).await.expect("the broker");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut guest, &mut broker).await });
            (guest, _) = self.listener.accept().await.expect("a connection");
        }
    }
}

/// A deployment, where it may go, and a folder with a file of the former's settings.
async fn two_clusters() -> (Settings, Settings, TempDir) {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let source = Settings::quick_cluster(&rabbit.url(), &redis.url(), &postgres.database().await);
    let target = Settings::quick_cluster(&rabbit.url(), &redis.url(), &postgres.database().await);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("source.env"), source.file()).expect("a file");
    (source, target, folder)
}

async fn move_source(target: &Settings, folder: &Path) -> Done {
    run(target, folder, &["move", "--from", folder.join("source.env").to_str().expect("a path")]).await
}

/// It has seen that no move was begun, and is not in the register of processes yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_waits_for_rabbitmq_while_its_deployment_leaves_does_not_serve_it() {
    let (source, target, folder) = two_clusters().await;
    let door = Door::before(&shared().rabbit().await.url()).await;
    let leaves = async {
        let waiting = door.knock().await;
        assert!(ended(&move_source(&target, folder.path()).await));
        door.open(waiting).await;
    };
    let late = source.clone().set("SPECTRUM_AMQP_URL", &door.url);
    tokio::select! {
        () = leaves => {}
        () = refused(&late, folder.path(), "was moved into another one") => {}
    }
}

/// It has seen that nobody serves the source, and has not begun yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_waits_for_rabbitmq_while_its_source_is_started_carries_nothing() {
    let (source, target, folder) = two_clusters().await;
    let door = Door::before(&shared().rabbit().await.url()).await;
    let through = target.clone().set("SPECTRUM_AMQP_URL", &door.url);
    let mut moving = Box::pin(move_source(&through, folder.path()));
    let waiting = tokio::select! {
        waiting = door.knock() => waiting,
        done = &mut moving => panic!("{done:?}"),
    };
    let mut server = Server::start(source.clone()).await;
    let stopped = tokio::select! {
        () = door.open(waiting) => panic!("it is open until it is dropped"),
        done = &mut moving => done,
    };
    assert!(stopped.code == Some(1) && stopped.stderr.contains("the move has begun and stopped here"), "{stopped:?}");
    assert!(stopped.stderr.contains("serve of the source runs on"), "{stopped:?}");
    assert_eq!(server.terminate().await.0, Some(0));
    assert!(ended(&move_source(&target, folder.path()).await));
    refused(&source, folder.path(), "was moved into another one").await;
}

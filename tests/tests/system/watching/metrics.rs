//! The metrics are those of the table, their number does not grow, and the two ways of counting what is pending agree.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use spectrum_webhook_core::ids::{ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{self, Directory as _, NewWebhook};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::SigningSecret;
use spectrum_webhook_receiver::{Always, Receiver, Recorded, Reply};
use spectrum_webhook_sql::{Database, KeyFile, Options, SqlStore};
use spectrum_webhook_testkit::process::{Client, Project, Server, Settings};
use spectrum_webhook_testkit::services::{Postgres, PostgresSetup, Redis, RedisSetup, shared};
use uuid::Uuid;

use super::exposition::{Metrics, documented, exposed, lint, scrape, series};
use crate::world::{PATIENCE, accept, accept_texts, text};

/// One delivery that succeeds, one whose URL is down, and a post that is refused.
async fn let_things_happen(client: &Client, project: &Project, receiver: &Receiver, dispatcher: &Client) {
    for path in ["/good", "/down"] {
        client.register(project, &receiver.url(path)).await;
    }
    accept(client, project, text("things", 0)).await;
    assert_eq!(client.post(project, "[]".into(), None).await.expect("an answer").status, 422);
    dispatcher.wait_for_metric("deliveries_delivered_total", |delivered| delivered == 1, PATIENCE).await;
    dispatcher.wait_for_metric("attempts_failed_total", |failed| failed > 0, PATIENCE).await;
}

/// The rows of the table for a process of these parts.
fn expected(parts: &[&str]) -> Metrics {
    let of_it = documented().into_iter().filter(|(_, (_, of))| parts.contains(&of.as_str()));
    of_it.map(|(name, (metric, _))| (name, metric)).collect()
}

/// The same metrics of the same types with the same labels, whose values are among those of the table.
#[track_caller]
fn are_those_of_the_table(parts: &[&str], text: &str) {
    lint(text);
    let (exposed, expected) = (exposed(text), expected(parts));
    let names = |metrics: &Metrics| metrics.keys().cloned().collect::<BTreeSet<_>>();
    let missing: Vec<_> = names(&expected).difference(&names(&exposed)).cloned().collect();
    let unknown: Vec<_> = names(&exposed).difference(&names(&expected)).cloned().collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "{parts:?}: not exposed: {missing:?}; not in the table: {unknown:?}"
    );
    for (name, metric) in exposed {
        let row = &expected[&name];
        assert_eq!(metric.kind, row.kind, "{name}");
        let labels = |metric: &super::exposition::Metric| metric.labels.keys().cloned().collect::<Vec<_>>();
        assert_eq!(labels(&metric), labels(row), "{name}");
        for (label, values) in metric.labels {
            assert!(values.is_subset(&row.labels[&label]), "{name}: {label}: {values:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_every_process_is_in_the_table_and_every_row_of_it_is_exposed() {
    let receiver = Receiver::on_loopback(|request: &Recorded| match request.path.as_str() {
        "/down" => Reply::status(http::StatusCode::BAD_GATEWAY),
        _ => Reply::ok(),
    })
    .expect("a receiver");
    let embedded = Server::start(Settings::quick()).await;
    let client = embedded.client();
    let_things_happen(&client, &embedded.create_project("one").await, &receiver, &client).await;
    are_those_of_the_table(&["every", "ingest", "dispatcher", "embedded"], &scrape(&client).await);

    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let settings = crate::cluster::settings(&rabbit.url(), &redis.url(), &postgres.database().await);
    let ingest = Server::start_as("ingest", settings.clone()).await;
    let dispatcher = Server::start_as("dispatcher", settings).await;
    let project = ingest.create_project("many").await;
    let_things_happen(&ingest.client(), &project, &receiver, &dispatcher.client()).await;
    are_those_of_the_table(&["every", "ingest", "cluster"], &scrape(&ingest.client()).await);
    are_those_of_the_table(&["every", "dispatcher", "cluster"], &scrape(&dispatcher.client()).await);

    // Who takes events sees that nobody delivers any more.
    ingest.client().wait_for_metric("partitions_unowned", |unowned| unowned == 0, PATIENCE).await;
    drop(dispatcher);
    ingest.client().wait_for_metric("partitions_unowned", |unowned| unowned == 12, PATIENCE).await;
}

/// When the certificates of these tests' authorities expire, and those that they sign: the year 4096.
const FAR: i64 = 67_090_118_400;

#[tokio::test(flavor = "multi_thread")]
async fn the_expiry_of_the_services_certificates_is_a_metric() {
    let with_tls = PostgresSetup { tls: true, ..PostgresSetup::default() };
    let (rabbit, redis, postgres) = tokio::join!(
        shared().rabbit(),
        Redis::start_with(RedisSetup { tls: true, ..RedisSetup::default() }),
        Postgres::start_with(with_tls)
    );
    let folder = tempfile::tempdir().expect("a folder");
    let authorities = folder.path().join("authorities.pem");
    let [one, other] = [redis.authority(), postgres.authority()];
    let both = [one, other].map(|file| std::fs::read_to_string(file.expect("an authority")).expect("a file")).concat();
    std::fs::write(&authorities, both).expect("a file");
    let database = format!("{}?sslmode=verify-full", postgres.database().await);
    let settings = crate::cluster::settings(&rabbit.url(), &redis.url(), &database)
        .set("SPECTRUM_SERVICES_CA_FILE", authorities.display().to_string());
    let ingest = Server::start_as("ingest", settings).await;
    let client = ingest.client();
    // RabbitMQ is without TLS here.
    client.wait_for_metric("certificate_expiry_timestamp_seconds", |sum| sum == 3 * FAR, PATIENCE).await;
    are_those_of_the_table(&["every", "ingest", "cluster", "TLS"], &scrape(&client).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_is_the_same_counted_and_where_it_is() {
    let mut server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::status(http::StatusCode::BAD_GATEWAY))).expect("a receiver");
    let project = server.create_project("pending").await;
    client.register(&project, &receiver.url("/")).await;
    accept_texts(&client, &project, "pending", 20).await;
    client.wait_for_metric("deliveries_pending", |pending| pending == 20, PATIENCE).await;
    client.wait_for_metric("deliveries_in_memory", |held| held == 0, PATIENCE).await;
    in_outage(&client, 1).await;
    // A start counts what the store holds at once.
    server.terminate().await;
    server.restart().await;
    client.wait_for_metric("deliveries_pending", |pending| pending == 20, PATIENCE).await;
    client.wait_for_metric("store_backlog_deliveries", |held| held == 20, PATIENCE).await;
    assert_eq!(client.metric("store_oldest_flowing_seconds").await, 0, "its URL is down");
    receiver.behave(Always(Reply::ok()));
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
    assert_eq!(client.metric("deliveries_in_memory").await, 0);
    in_outage(&client, 0).await;
}

/// Waits until so many lanes are in an outage.
async fn in_outage(client: &Client, lanes: usize) {
    let line = format!("spectrum_webhook_lanes{{state=\"outage\"}} {lanes}");
    let deadline = Instant::now() + PATIENCE;
    while !scrape(client).await.lines().any(|exposed| exposed == line) {
        assert!(Instant::now() < deadline, "not: {line}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const PROJECTS: usize = 100;
const WEBHOOKS: usize = 10_000;

/// Writes projects and webhooks into the store beside the server, as many at a time as go into one commit.
async fn register_many(server: &Server, receiver: &Receiver) -> Vec<Project> {
    let (key, _) = KeyFile::of(server.folder()).load_or_create().expect("the server's key");
    let database = Database::open(Options::new(server.folder()), key).await.expect("the server's database");
    let store = Arc::new(SqlStore::new(database.clone()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis();
    let now = Millis(i64::try_from(now).expect("a time"));
    let secret = "5e".repeat(32);
    let mut projects = Vec::new();
    for number in 0..PROJECTS {
        let id = ProjectId(Uuid::now_v7());
        let name = format!("project {number}");
        let secret_hash = Sha256::digest(&secret).into();
        let project = ports::Project { id, name, secret_hash, registry: RegistryVersion(0), created_at: now };
        store.create_project(&project).await.expect("a project");
        projects.push(Project { id: id.to_string(), secret: secret.clone() });
    }
    let registrations = (0..WEBHOOKS).map(|number| {
        let webhook = NewWebhook {
            id: WebhookId(Uuid::now_v7()),
            project: projects[number % PROJECTS].id.parse().expect("an id"),
            url: receiver.url(&format!("/{number}")),
            secret: SigningSecret::from_random([7; 32]),
            event_types: None,
            shape: Shape::default(),
        };
        let store = Arc::clone(&store);
        async move { store.register(webhook, now).await.expect("a webhook") }
    });
    futures::stream::iter(registrations).buffer_unordered(500).for_each(async |_| ()).await;
    database.close().await.expect("closed");
    projects
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_webhooks_make_no_series_more_than_one() {
    let server = Server::start(Settings::quick().set("SPECTRUM_LOG", "info,spectrum_webhook_dispatcher=warn")).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("first").await;
    client.register(&project, &receiver.url("/first")).await;
    accept(&client, &project, text("first", 0)).await;
    client.wait_for_metric("deliveries_delivered_total", |delivered| delivered == 1, PATIENCE).await;
    let before = series(&scrape(&client).await);

    for project in &register_many(&server, &receiver).await {
        accept(&client, project, text("many", 0)).await;
    }
    client.wait_for_metric("deliveries_delivered_total", |delivered| delivered == 1 + WEBHOOKS as i64, PATIENCE).await;
    let text = scrape(&client).await;
    assert_eq!(series(&text), before, "{text}");
    println!("{before} series, {} bytes", text.len());
}

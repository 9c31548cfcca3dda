//! What only a server can do: stop, freeze, be shared by many, or be set up such that it loses what it confirmed.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/next.rs"]
mod next;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use spectrum_webhook_core::delivery::{DeliveryKey, HeldDelivery, Message, Purpose};
use spectrum_webhook_core::ids::{
    Epoch, EventId, OwnerId, PartitionId, ProjectId, RegistryVersion, Sequence, WebhookId,
};
use spectrum_webhook_core::ordering::{Reading, Space};
use spectrum_webhook_core::ports::{
    Archived, Change, Directory as _, DirectoryError, Lease, NewWebhook, PortError, Project, Pruning, Store as _,
    WebhookPatch,
};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{DisabledReason, SigningSecret};
use spectrum_webhook_sql::{ConnectError, Database, MasterKey, PostgresOptions, SqlStore};
use spectrum_webhook_testkit::services::{Postgres, PostgresSetup, shared};
use sqlx::{AnyConnection, AssertSqlSafe};
use tokio::time::Instant;
use uuid::Uuid;

const KEY: [u8; 32] = [7; 32];
const NOW: Millis = Millis(1_800_000_000_000);
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(url: &str) -> Result<Database, ConnectError> {
    Database::connect(PostgresOptions::new(url), MasterKey::from_bytes(KEY)).await
}

async fn store(url: &str) -> SqlStore {
    SqlStore::new(connect(url).await.expect("a database"))
}

fn lease(partition: u16, epoch: i64) -> Lease {
    Lease { partition: PartitionId(partition), owner: OwnerId(Uuid::now_v7()), epoch: Epoch(epoch) }
}

async fn project(store: &SqlStore) -> ProjectId {
    let id = ProjectId(Uuid::now_v7());
    let project =
        Project { id, name: "test".to_owned(), secret_hash: [1; 32], registry: RegistryVersion(0), created_at: NOW };
    store.create_project(&project).await.expect("a project");
    id
}

async fn register(store: &SqlStore, project: ProjectId, url: &str) -> Result<WebhookId, DirectoryError> {
    let id = WebhookId(Uuid::now_v7());
    let secret = "ab".repeat(32).parse::<SigningSecret>().expect("a secret");
    let new = NewWebhook { id, project, url: url.to_owned(), secret, event_types: None, shape: Shape::default() };
    store.register(new, NOW).await.map(|_| id)
}

fn message(project: ProjectId) -> Message {
    Message {
        id: EventId(Uuid::now_v7()),
        project,
        event_type: "messages".to_owned(),
        accepted_at: NOW,
        registry: RegistryVersion(1),
        traceparent: None,
        purpose: Purpose::Event,
        body: b"{}".to_vec().into(),
    }
}

fn hold(webhook: WebhookId, sequence: i64, message: Message) -> Change {
    let delivery = HeldDelivery { sequence: Sequence(sequence), attempts: 0, sent: false, space: Space(0), message };
    Change::Hold { webhook, delivery: Box::new(delivery) }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_start_on_an_empty_database_at_once() {
    let url = shared().postgres().await.database().await;
    let started = join_all((0..6).map(|_| connect(&url))).await;
    assert!(started.into_iter().all(|database| database.is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_began_before_a_takeover_is_seen_by_it_or_refused() {
    let url = shared().postgres().await.database().await;
    let store = store(&url).await;
    let project = project(&store).await;
    let webhook = register(&store, project, "https://a.example/").await.expect("a webhook");
    for round in 0..20_i64 {
        let (old, new) = (lease(0, round * 10 + 1), lease(0, round * 10 + 2));
        store.take_over(&old).await.expect("take over");
        let changes: Vec<Change> = (0..50).map(|row| hold(webhook, round * 1_000 + row, message(project))).collect();
        let before =
            store.read_backlog(webhook, &Reading::lowest(10_000), usize::MAX).await.expect("read").deliveries.len();
        let (written, taken) = tokio::join!(store.commit(&old, &changes), store.take_over(&new));
        let found = taken.expect("take over").lanes.iter().map(|lane| lane.backlog).sum::<u64>();
        let expected = match written {
            Ok(_) => before + changes.len(),
            Err(PortError::Fenced { .. }) => before,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected as u64, "round {round}: what a takeover has not seen is not committed");
        let late = store.commit(&old, &[hold(webhook, 1, message(project))]).await;
        assert!(matches!(late, Err(PortError::Fenced { .. })), "{late:?}");
        let read =
            store.read_backlog(webhook, &Reading::lowest(10_000), usize::MAX).await.expect("read").deliveries.len();
        assert_eq!(read, expected);
    }
}

/// Waits until somebody waits for what this connection has locked.
async fn waited_for(holder: &mut AnyConnection, watcher: &mut AnyConnection) {
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(holder).await.expect("a process id");
    let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE {pid} = ANY (pg_blocking_pids(pid))");
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(&*waits)).fetch_one(&mut *watcher).await.expect("locks") == 0 {
        assert!(begun.elapsed() < PATIENCE, "nobody waits for it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_archived_event_that_is_held_and_delivered_while_its_time_ends_no_body_is_left() {
    let url = shared().postgres().await.database().await;
    let store = Arc::new(store(&url).await);
    let project = project(&store).await;
    let webhook = register(&store, project, "https://a.example/").await.expect("a webhook");
    let (owner, other) = (lease(0, 1), lease(1, 1));
    for lease in [&owner, &other] {
        store.take_over(lease).await.expect("take over");
    }
    // One that comes late, one that rests in another partition, and one that nothing needs.
    let [late, rests, alone] = [(); 3].map(|()| message(project));
    let archived = |message: &Message| Archived {
        sequence: Sequence(1),
        message: Arc::new(message.clone()),
        keep_until: Millis(NOW.0 + 1),
    };
    store.archive(&[&late, &rests, &alone].map(archived)).await.expect("archive");
    store.commit(&other, &[hold(webhook, 1, rests)]).await.expect("hold");

    let [mut partition, mut body, mut watcher] =
        [next::connect(&url).await, next::connect(&url).await, next::connect(&url).await];
    next::execute(&mut partition, "BEGIN").await;
    next::execute(&mut partition, "UPDATE partitions SET epoch = epoch WHERE id = 1").await;
    next::execute(&mut body, "BEGIN").await;
    next::execute(&mut body, &format!("SELECT FROM events WHERE id = '{}' FOR KEY SHARE", alone.id)).await;

    let pruning = Pruning { attempts_before: NOW, now: Millis(NOW.0 + 1), limit: 10 };
    let pruner = tokio::spawn({
        let store = store.clone();
        async move { store.prune(pruning).await }
    });
    waited_for(&mut partition, &mut watcher).await;
    store.commit(&owner, &[hold(webhook, 2, late.clone())]).await.expect("hold");
    next::execute(&mut partition, "ROLLBACK").await;
    waited_for(&mut body, &mut watcher).await;
    let key = DeliveryKey { event: late.id, webhook };
    store.commit(&owner, &[Change::Remove { key }]).await.expect("remove");
    next::execute(&mut body, "ROLLBACK").await;
    pruner.await.expect("it ends").expect("prune");

    store.prune(pruning).await.expect("prune");
    let left = "SELECT count(*) FROM events";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut watcher).await.expect("a count");
    assert_eq!(left, 1, "the one that rests in a row");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_registrations_of_one_url_one_is_told_that_it_is_taken() {
    let store = store(&shared().postgres().await.database().await).await;
    let project = project(&store).await;
    for round in 0..10 {
        let url = format!("https://{round}.example/");
        let outcomes = join_all((0..6).map(|_| register(&store, project, &url))).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert!(
            outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(DirectoryError::UrlTaken))),
            "{outcomes:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_webhooks_and_writes_of_many_partitions_do_not_block_one_another_for_ever() {
    let store = store(&shared().postgres().await.database().await).await;
    let mut owners = Vec::new();
    for partition in 0..6_u16 {
        let project = project(&store).await;
        let mut webhooks = Vec::new();
        for url in ["https://a.example/", "https://b.example/"] {
            webhooks.push(register(&store, project, url).await.expect("a webhook"));
        }
        let lease = lease(partition, 1);
        store.take_over(&lease).await.expect("take over");
        owners.push((lease, project, webhooks));
    }
    let commits = owners.iter().map(|(lease, project, webhooks)| {
        let store = &store;
        async move {
            for round in 0..30 {
                let mut changes: Vec<Change> =
                    webhooks.iter().map(|webhook| hold(*webhook, round, message(*project))).collect();
                let webhook = webhooks[usize::try_from(round % 2).expect("0 or 1")];
                changes.push(Change::Disable { webhook, reason: DisabledReason::Outage, seen: NOW, at: NOW });
                store.commit(lease, &changes).await.expect("commit");
            }
        }
    });
    let people = owners.iter().map(|(_, project, webhooks)| {
        let store = &store;
        async move {
            for round in 0..30 {
                let patch = WebhookPatch { enabled: Some(true), ..WebhookPatch::default() };
                let webhook = webhooks[(round + 1) % 2];
                store.patch(*project, webhook, patch, NOW).await.expect("patch");
            }
            store.delete_project(*project, NOW).await.expect("delete");
        }
    });
    tokio::join!(join_all(commits), join_all(people));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_unavailable_and_then_there_again() {
    let postgres = Postgres::start().await;
    let store = store(&postgres.database().await).await;
    store.take_over(&lease(0, 1)).await.expect("take over");
    postgres.kill().await;
    let begun = Instant::now();
    for _ in 0..20 {
        assert!(store.epoch(PartitionId(0)).await.expect_err("nobody is there").is_retriable());
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    postgres.start_again().await;
    let begun = Instant::now();
    while store.epoch(PartitionId(0)).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "it does not heal");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.epoch(PartitionId(0)).await.expect("an epoch"), Epoch(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_would_lose_what_was_confirmed_is_refused_also_for_one_role() {
    let postgres = shared().postgres().await;
    let url = postgres.database().await;
    let name = url.rsplit('/').next().expect("a name");
    postgres.execute(&url, &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let refused = connect(&url).await.err().expect("refused").to_string();
    assert!(refused.contains("synchronous_commit = off") && refused.contains("ALTER DATABASE"), "{refused}");
    postgres.execute(&url, &format!("ALTER DATABASE {name} SET synchronous_commit = on"));
    postgres.execute(&url, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let refused = connect(&url).await.err().expect("refused");
    assert!(matches!(refused, ConnectError::ReadOnly), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_and_a_database_that_does_not_exist_are_named() {
    let postgres = shared().postgres().await;
    let url = postgres.database().await;
    drop(connect(&url).await.expect("a database"));
    let other = Database::connect(PostgresOptions::new(&*url), MasterKey::from_bytes([8; 32])).await;
    let [was, is] = [KEY, [8; 32]].map(|key| MasterKey::from_bytes(key).fingerprint().to_string());
    assert!(matches!(other.err(), Some(ConnectError::WrongKey { missing, known }) if missing == was && known == is));
    let nowhere = connect(&postgres.url_of("nowhere")).await.err().expect("refused");
    assert!(matches!(nowhere, ConnectError::NoDatabase(_)), "{nowhere}");
    let text = format!("{nowhere} {:?}", PostgresOptions::new(url));
    assert!(!text.contains(postgres.password()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified_with_the_authority_that_is_named() {
    let postgres = Postgres::start_with(PostgresSetup { tls: true, ..PostgresSetup::default() }).await;
    let url = format!("{}?sslmode=verify-full", postgres.database().await);
    let refused = connect(&url).await.err().expect("refused");
    assert!(matches!(refused, ConnectError::Tls(_)), "{refused}");
    let trusting = PostgresOptions { ca: postgres.authority().map(ToOwned::to_owned), ..PostgresOptions::new(url) };
    let database = Database::connect(trusting, MasterKey::from_bytes(KEY)).await.expect("a database");
    assert_eq!(SqlStore::new(database).epoch(PartitionId(0)).await.expect("an epoch"), Epoch(0));
    let plain = shared().postgres().await;
    let refused = connect(&format!("{}?sslmode=require", plain.database().await)).await.err().expect("refused");
    assert!(matches!(refused, ConnectError::Tls(_)), "{refused}");
}

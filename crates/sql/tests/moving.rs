//! A move of rows: it goes on from wherever it was dropped, under another key and with other partitions; what must not
//! be mixed is refused.

#![allow(clippy::expect_used, reason = "the helpers of tests are tests")]

mod common;

use bytes::Bytes;
use common::{folder, open, options};
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::headers::CustomHeaders;
use spectrum_webhook_core::ids::{Epoch, EventId, PartitionId, ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{Directory as _, NewWebhook, Project, Publication, Queue as _, Store as _};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::SigningSecret;
use spectrum_webhook_sql::{Carried, Database, Embedded, FILE_NAME, MasterKey, Move, MoveError, SqlStore, Standing};
use sqlx::Connection as _;
use tempfile::TempDir;
use uuid::Uuid;

const NOW: Millis = Millis(1_750_000_000_000);
const PARTITIONS: u16 = 5;
/// More than two pieces of a table.
const EVENTS: usize = 2_100;

async fn target(dir: &TempDir) -> Database {
    Database::open(options(dir), MasterKey::from_bytes([9; 32])).await.expect("open")
}

/// A project with a webhook whose lane has rows, and events in the queue.
async fn fill(embedded: &Embedded, dir: &TempDir) -> (ProjectId, SigningSecret) {
    let (project, webhook) = (ProjectId(Uuid::now_v7()), WebhookId(Uuid::now_v7()));
    let store = &embedded.store;
    let name = "moved".to_owned();
    let made = Project { id: project, name, secret_hash: [3; 32], registry: RegistryVersion(0), created_at: NOW };
    store.create_project(&made).await.expect("a project");
    let secret = SigningSecret::from_random([4; 32]);
    let headers = CustomHeaders::new([("X-Key".to_owned(), "k".to_owned())]).expect("headers");
    let shape = Shape { headers, ..Shape::default() };
    let url = "https://example.com/".to_owned();
    let new = NewWebhook { id: webhook, project, url, secret: secret.clone(), event_types: None, shape };
    store.register(new, NOW).await.expect("a webhook");
    let path = dir.path().join(FILE_NAME);
    let mut raw = sqlx::SqliteConnection::connect(path.to_str().expect("a path")).await.expect("connect");
    let mut rows = raw.begin().await.expect("begin");
    for number in 0..EVENTS {
        let event = Uuid::now_v7().to_string();
        let sql =
            "INSERT INTO events (id, project, event_type, accepted_at, registry, body) VALUES ($1, $2, 'm', 0, 1, $3)";
        let insert = sqlx::query(sql).bind(&event).bind(project.to_string()).bind(vec![0_u8, 0xff]);
        insert.execute(&mut *rows).await.expect("an event");
        let sql = "INSERT INTO backlog (event, webhook, partition_id, sequence, attempts, sent) VALUES ($1, $2, 77, $3, 0, 0)";
        let insert = sqlx::query(sql).bind(&event).bind(webhook.to_string()).bind(number as i64);
        insert.execute(&mut *rows).await.expect("a row");
    }
    sqlx::query("INSERT INTO partitions VALUES (77, 5000000000, 5000000009)")
        .execute(&mut *rows)
        .await
        .expect("a partition");
    rows.commit().await.expect("commit");
    for _ in 0..300 {
        let message = Message {
            id: EventId(Uuid::now_v7()),
            project,
            event_type: "m".to_owned(),
            accepted_at: NOW,
            registry: RegistryVersion(1),
            traceparent: None,
            purpose: Purpose::Event,
            body: Bytes::from_static(b"{}"),
        };
        let publication = Publication { message, again: false, idempotency: None };
        embedded.queue.publish(PartitionId(77), publication).await.expect("publish");
    }
    (project, secret)
}

#[tokio::test]
async fn a_move_that_is_dropped_after_every_step_carries_each_row_once() {
    let (from, to) = (folder(), folder());
    let source = open(&from).await;
    let (project, secret) = fill(&source, &from).await;
    let database = target(&to).await;
    let begin = || Move::begin(source.database.clone(), database.clone(), PARTITIONS, NOW);
    let mut messages = Vec::new();
    let carried = loop {
        // What is known of an earlier step alone is not written over a later one.
        let (mut stale, mut moving) = (begin().await.expect("begin"), begin().await.expect("begin"));
        if moving.carry().await.expect("carry").is_some() {
            assert!(matches!(stale.carry().await, Err(MoveError::Overtaken)));
            continue;
        }
        let mut queued = begin().await.expect("begin").next_queued().await.expect("messages");
        if queued.is_empty() {
            break moving.finish(NOW).await.expect("the end");
        }
        let count = queued.messages.len() as u64;
        messages.append(&mut queued.messages);
        begin().await.expect("begin").passed(queued, count, NOW).await.expect("passed");
    };
    let of = |name: &str| carried.iter().find(|carried| carried.table == name).copied().expect("a table");
    let events = EVENTS as u64;
    assert_eq!(of("backlog"), Carried { table: "backlog", rows: events, of: events });
    assert_eq!(of("webhooks").rows, 1);
    let partition = PartitionId::of(project, PARTITIONS);
    assert_eq!(messages.len(), 300);
    assert!(messages.is_sorted_by_key(|(_, message)| message.id), "in the order of the queue");
    assert!(messages.iter().all(|(of, _)| *of == partition));

    // The target knows the secrets by its own key, and numbers above all that rests.
    let store = SqlStore::new(database.clone());
    let registry = store.registry(project).await.expect("a registry");
    let (webhook, keys) = registry.webhooks.first().expect("a webhook");
    assert_eq!(keys.current.expose(), secret.expose());
    assert!(!webhook.shape.headers.is_empty());
    assert!(store.epoch(partition).await.expect("an epoch") >= Epoch(5_000_000_000));
    assert_eq!(store.standing().await.expect("a standing"), Standing::Whole);
    assert_eq!(source.store.standing().await.expect("a standing"), Standing::Left);
    assert!(begin().await.expect("again").is_done());
    source.abandon().await;
    database.abandon().await;
}

#[tokio::test]
async fn what_was_begun_of_a_source_that_was_served_since_is_refused() {
    let (from, to, other) = (folder(), folder(), folder());
    let source = open(&from).await;
    fill(&source, &from).await;
    let (database, elsewhere) = (target(&to).await, target(&other).await);
    let begin = |target: &Database| Move::begin(source.database.clone(), target.clone(), PARTITIONS, NOW);
    begin(&database).await.expect("begin").carry().await.expect("carry");
    assert_eq!(SqlStore::new(database.clone()).standing().await.expect("a standing"), Standing::Arriving);
    assert_eq!(source.store.standing().await.expect("a standing"), Standing::Leaving);
    assert!(source.store.undo_move().await.expect("undone"));
    assert_eq!(source.store.standing().await.expect("a standing"), Standing::Whole);
    assert!(matches!(begin(&database).await, Err(MoveError::OtherMove)));

    // Into another target it goes, and then it is there and nowhere else.
    let mut moving = begin(&elsewhere).await.expect("begin");
    assert!(matches!(begin(&database).await, Err(MoveError::OtherMove)));
    while moving.carry().await.expect("carry").is_some() {}
    moving.finish(NOW).await.expect("the end");
    let third = folder();
    let empty = target(&third).await;
    assert!(matches!(begin(&empty).await, Err(MoveError::Elsewhere)));
    for database in [database, elsewhere, empty] {
        database.abandon().await;
    }
    source.abandon().await;
}

#[tokio::test]
async fn a_move_whose_source_was_given_back_meanwhile_does_not_end() {
    let (from, to, other) = (folder(), folder(), folder());
    let source = open(&from).await;
    fill(&source, &from).await;
    let (database, elsewhere) = (target(&to).await, target(&other).await);
    let begin = |target: &Database| Move::begin(source.database.clone(), target.clone(), PARTITIONS, NOW);
    let mut moving = begin(&database).await.expect("begin");
    while moving.carry().await.expect("carry").is_some() {}
    assert!(source.store.undo_move().await.expect("undone"));
    assert!(matches!(moving.finish(NOW).await, Err(MoveError::OtherMove)));
    assert_eq!(source.store.standing().await.expect("a standing"), Standing::Whole);
    let mut second = begin(&elsewhere).await.expect("begin");
    while second.carry().await.expect("carry").is_some() {}
    assert!(matches!(moving.finish(NOW).await, Err(MoveError::OtherMove)));
    second.finish(NOW).await.expect("the end");
    assert_eq!(SqlStore::new(database.clone()).standing().await.expect("a standing"), Standing::Arriving);
    for database in [database, elsewhere] {
        database.abandon().await;
    }
    source.abandon().await;
}

#[tokio::test]
async fn a_target_with_rows_is_refused_and_the_source_is_not_marked() {
    let (from, to) = (folder(), folder());
    let (source, used) = (open(&from).await, open(&to).await);
    fill(&source, &from).await;
    fill(&used, &to).await;
    let begun = Move::begin(source.database.clone(), used.database.clone(), PARTITIONS, NOW).await;
    assert!(matches!(begun, Err(MoveError::NotEmpty("projects"))));
    assert_eq!(source.store.standing().await.expect("a standing"), Standing::Whole);
    source.abandon().await;
    used.abandon().await;
}

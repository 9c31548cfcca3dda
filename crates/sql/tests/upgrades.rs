//! Two releases on one database, in both kinds of it. That every statement of this release works on what the next one adds
//! is shown by PostgreSQL's conformance, which runs on such a schema.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/next.rs"]
mod next;
#[path = "common/place.rs"]
mod place;

use std::time::{Duration, Instant};

use place::Place;
use spectrum_webhook_core::ids::{ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Directory as _, Project};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_sql::{Database, MasterKey, Move, MoveError, SqlStore};
use spectrum_webhook_testkit::services::shared;
use sqlx::Connection as _;
use tokio::time::timeout;
use uuid::Uuid;

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

async fn open(place: &Place) -> Result<Database, String> {
    place.open(MasterKey::from_bytes([7; 32])).await
}

async fn create(database: &Database) -> ProjectId {
    let id = ProjectId(Uuid::now_v7());
    let project = Project {
        id,
        name: "A".to_owned(),
        secret_hash: [1; 32],
        registry: RegistryVersion(0),
        created_at: Millis(1_800_000_000_000),
    };
    SqlStore::new(database.clone()).create_project(&project).await.expect("a project");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_goes_on_and_starts_again_on_what_the_next_release_adds() {
    for place in Place::both().await {
        let running = open(&place).await.expect("opened");
        create(&running).await;
        next::migrate(&place.url(), 1).await;
        let project = create(&running).await;
        running.close().await.expect("closed");
        let again = open(&place).await.expect("opened beside the next release");
        let found = SqlStore::new(again.clone()).project(project).await.expect("read");
        assert_eq!(found.id, project);
        create(&again).await;
        again.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_this_release_does_not_work_on_is_refused() {
    for place in Place::both().await {
        open(&place).await.expect("opened").close().await.expect("closed");
        next::migrate(&place.url(), 0).await;
        let refused = open(&place).await.err().expect("refused");
        let newest = next::newest(&place.url()).await;
        let known = newest - 1;
        assert!(refused.contains(&format!("newer release (migration {newest}; this one knows {known})")), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_release_would_not_carry_is_not_moved() {
    let [from, to] = [(); 2].map(|()| Place::folder());
    let (source, target) = (open(&from).await.expect("opened"), open(&to).await.expect("opened"));
    next::migrate(&to.url(), 1).await;
    let newest = next::newest(&to.url()).await;
    let refused = Move::may_begin(&source, &target).await.expect_err("refused");
    assert!(matches!(refused, MoveError::Newer("target", found) if found == newest), "{refused}");
    let refused = Move::may_begin(&target, &source).await.expect_err("refused");
    assert!(matches!(refused, MoveError::Newer("source", found) if found == newest), "{refused}");
    assert!(refused.to_string().ends_with("move with that release or a later one"), "{refused}");
    let begun = Move::begin(target.clone(), source.clone(), 5, Millis(0)).await;
    assert!(matches!(begun, Err(MoveError::Newer("source", _))), "nothing is begun either");
    source.abandon().await;
    target.abandon().await;
}

/// A dump takes hours, and so may whoever forgot a transaction: a migration that waited for their lock would hold up all
/// that come after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_has_to_wait_for_a_table_does_not_hold_up_the_others() {
    let url = shared().postgres().await.database().await;
    let place = Place::Server(url.clone());
    let mut conn = next::connect(&url).await;
    // As the first migration leaves it.
    sqlx::raw_sql(include_str!("../migrations/postgres/0001_initial.sql")).execute(&mut conn).await.expect("tables");
    for sql in [
        "CREATE TABLE migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)",
        "INSERT INTO migrations (version, name, applied_at) VALUES (1, 'initial', 0)",
    ] {
        next::execute(&mut conn, sql).await;
    }
    next::execute(&mut conn, "BEGIN").await;
    next::execute(&mut conn, "LOCK TABLE webhooks IN ROW EXCLUSIVE MODE").await;

    let migrating = tokio::spawn(async move { open(&place).await });
    let mut other = next::connect(&url).await;
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'webhooks'::regclass";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut other).await.expect("locks") == 0 {
        assert!(!migrating.is_finished() && begun.elapsed() < PATIENCE, "the migration needs a lock of that table");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What an owner would do; its own time-out for locks is 8 s.
    next::execute(&mut other, "SET lock_timeout = '8s'").await;
    next::execute(&mut other, "UPDATE webhooks SET url = url").await;
    assert!(!migrating.is_finished(), "it tries again");
    next::execute(&mut conn, "ROLLBACK").await;
    let migrated = timeout(PATIENCE, migrating).await.expect("in time").expect("it ends").expect("migrated");
    create(&migrated).await;
    conn.close().await.expect("closed");
    migrated.close().await.expect("closed");
}

//! An upgrade: the next release migrates the database while this one runs, and processes are started again one by one.

use std::time::Instant;

use spectrum_webhook_testkit::process::run;
use spectrum_webhook_testkit::services::shared;

use super::stage::{Stage, settings};
use crate::world::PATIENCE;

/// What the migration of a next release may be, in one transaction as migrations are: columns and an index more for each
/// table that there is, another table, and from which migration on a program works on it.
const NEXT: &str = "
DO $$
DECLARE relation text;
BEGIN
    PERFORM pg_advisory_xact_lock(7312645001);
    FOR relation IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'migrations' LOOP
        EXECUTE format('ALTER TABLE %I ADD COLUMN next_note TEXT', relation);
        EXECUTE format('ALTER TABLE %I ADD COLUMN next_count BIGINT NOT NULL DEFAULT 7', relation);
        EXECUTE format('CREATE INDEX %I ON %I (next_count)', relation || '_next', relation);
    END LOOP;
    CREATE TABLE next_things (id TEXT NOT NULL PRIMARY KEY);
    INSERT INTO settings (name, value) SELECT 'oldest_migration', max(version) FROM migrations
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    INSERT INTO migrations (version, name, applied_at) SELECT max(version) + 1, 'next', 0 FROM migrations;
END $$";

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_the_next_release_is_made_under_load_and_every_process_is_started_again_on_it() {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let database = postgres.database().await;
    let base = settings(&rabbit.url(), &redis.url(), &database);
    let mut stage = Stage::start(base.clone(), 2).await;
    stage.wait_for_shares(&[6, 6]).await;
    let load = stage.load().await;
    load.more(100).await;
    // As a migration does: whoever writes meanwhile is not waited for, and may be in the way.
    let next = format!("BEGIN; SET LOCAL lock_timeout = '500ms'; {NEXT}; COMMIT");
    let begun = Instant::now();
    while let Err(said) = postgres.try_execute(&database, &next) {
        let in_the_way = said.contains("lock timeout") || said.contains("deadlock detected");
        assert!(in_the_way && begun.elapsed() < PATIENCE, "{said}");
    }
    load.more(100).await;
    for number in 0..2 {
        stage.restart_with(number, |settings| settings).await;
        load.more(100).await;
    }
    assert_eq!(load.all_arrive(&stage, "an upgrade").await, 0);
    for process in stage.ingests.iter().chain(&stage.dispatchers) {
        let log = process.log().lines();
        assert!(log.iter().any(|line| line.contains("the database is of a newer release")), "{log:#?}");
        assert!(!log.iter().any(|line| line.contains(r#""level":"ERROR""#)), "{log:#?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let migrated = run(&base, folder.path(), &["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    assert!(migrated.stdout.contains("newer release"), "{migrated:?}");
}

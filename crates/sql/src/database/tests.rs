use super::*;
use crate::secrets::MasterKey;
use crate::sql::run_plain;
use crate::sql::{Columns as _, run};

async fn open() -> (Database, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = Options { synchronous_off: true, ..Options::new(dir.path()) };
    (Database::open(options, MasterKey::from_bytes([1; 32])).await.expect("open"), dir)
}

async fn write(database: &Database, bytes: usize) -> Result<u64, Fault> {
    let sql = "INSERT INTO quarantine (id, partition_id, bytes, detail, quarantined_at) \
               VALUES ('x', 0, zeroblob($1), '', 0) ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes";
    let bytes = i64::try_from(bytes).expect("a length");
    database.write_plainly(move |conn| Box::pin(run(conn, sqlx::query(sql).bind(bytes)))).await
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_over_when_there_is_room_again() {
    let (database, _dir) = open().await;
    write(&database, 10_000).await.expect("room");
    database.write_plainly(|conn| Box::pin(run_plain(conn, "PRAGMA max_page_count = 200"))).await.expect("limit");
    for _ in 0..3 {
        let fault = write(&database, 5_000_000).await.expect_err("no room");
        let message = fault.clone().at("store", "commit").to_string();
        assert!(message.contains("the disk is full"), "{message}");
        assert!(fault.at("store", "commit").is_retriable());
    }
    write(&database, 10_000).await.expect("what fits is written");
    let _ = write(&database, 5_000_000).await.expect_err("no room");
    database.check().await.expect("a small write still works");
    database.write_plainly(|conn| Box::pin(run_plain(conn, "PRAGMA max_page_count = 100000"))).await.expect("limit");
    write(&database, 5_000_000).await.expect("room again");
    database.close().await.expect("close");
}

#[tokio::test]
async fn what_fails_alone_fails_alone_also_when_the_disk_is_full() {
    let (database, _dir) = open().await;
    database.write_plainly(|conn| Box::pin(run_plain(conn, "PRAGMA max_page_count = 200"))).await.expect("limit");
    let big = "INSERT INTO settings (name, value) VALUES ('big', hex(zeroblob(3000000)))";
    let (big, small) = tokio::join!(
        database.write(move |conn| Box::pin(run_plain(conn, big))),
        database.write(|conn| Box::pin(run_plain(conn, "INSERT INTO settings (name, value) VALUES ('small', '1')"))),
    );
    big.expect_err("no room");
    // SQLite may have rolled back both: then both have failed, and nothing is left half-written.
    let count = "SELECT count(*) FROM settings WHERE name IN ('big', 'small')";
    let found = database
        .read(move |conn| Box::pin(async move { sqlx::query(count).fetch_one(conn).await?.int(0) }))
        .await
        .expect("read");
    assert_eq!(found, i64::from(small.is_ok()));
}

#[tokio::test]
async fn the_log_is_moved_into_the_file_while_commits_go_on() {
    let (database, dir) = open().await;
    for _ in 0..200 {
        let sql = "INSERT INTO quarantine (id, partition_id, bytes, detail, quarantined_at) \
                   VALUES (hex(randomblob(16)), 0, zeroblob(1000000), '', 0)";
        let write = move |conn: &rusqlite::Connection| Ok(conn.execute(sql, []).map(|_| ())?);
        database.write_directly(write).await.expect("room");
    }
    let size = |name: String| std::fs::metadata(dir.path().join(name)).expect("a file").len();
    let (file, log) = (size(FILE_NAME.to_owned()), size(format!("{FILE_NAME}-wal")));
    // The log may reach the pages at which the writer waits, and what one commit adds.
    assert!(file > 100_000_000 && log < 70_000_000, "file {file}, log {log}");
    database.close().await.expect("close");
}

#[tokio::test]
async fn a_read_that_is_cancelled_leaves_the_readers_usable() {
    let (database, _dir) = open().await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    for _ in 0..10 {
        let read = database.read(move |conn| {
            Box::pin(async move {
                use futures::TryStreamExt as _;
                let mut rows = sqlx::query(endless).fetch(conn);
                while rows.try_next().await?.is_some() {
                    tokio::task::yield_now().await;
                }
                Ok(())
            })
        });
        tokio::select! {
            _ = read => panic!("it has no end"),
            () = async { for _ in 0..20 { tokio::task::yield_now().await } } => {}
        }
    }
    let one = database.read(|conn| Box::pin(async { sqlx::query("SELECT 1").fetch_one(conn).await?.int(0) })).await;
    assert_eq!(one.expect("read"), 1);
    database.close().await.expect("close");
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let (database, _dir) = open().await;
    let delete = database.read(|conn| Box::pin(run_plain(conn, "DELETE FROM settings"))).await;
    delete.expect_err("read only");
}

#[tokio::test]
async fn writes_that_hang_are_not_taken_for_writes_that_work() {
    let (database, _dir) = open().await;
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let hanging = database.write(move |_| {
        Box::pin(async move {
            begun.send(()).ok();
            released.await.ok();
            Ok(())
        })
    });
    let check = async {
        has_begun.await.expect("it begins");
        let mut check = std::pin::pin!(database.check());
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut check).await;
        assert!(early.is_err(), "nobody knows yet: {early:?}");
        release.send(()).ok();
        check.await.expect("writes work again");
    };
    let (hung, ()) = tokio::join!(hanging, check);
    hung.expect("written at last");
}

#[tokio::test]
async fn a_writer_that_has_ended_is_not_taken_for_one_that_works() {
    let (database, _dir) = open().await;
    let panics = database.write::<(), _>(|_| Box::pin(async { panic!("a fault of the program") })).await;
    panics.expect_err("no answer");
    database.check().await.expect_err("nothing is written any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_frozen_within_a_transaction_does_not_hold_up_a_takeover_for_long() {
    use spectrum_webhook_core::ids::{Epoch, OwnerId, PartitionId};
    use spectrum_webhook_core::ports::{Lease, Store as _};

    let url = spectrum_webhook_testkit::services::shared().postgres().await.database().await;
    let key = || MasterKey::from_bytes([1; 32]);
    let database = Database::connect(PostgresOptions::new(&*url), key()).await.expect("a database");
    let store = crate::SqlStore::new(Database::connect(PostgresOptions::new(url), key()).await.expect("a database"));
    let lease = |epoch| Lease { partition: PartitionId(0), owner: OwnerId(uuid::Uuid::now_v7()), epoch: Epoch(epoch) };
    store.take_over(&lease(1)).await.expect("take over");
    let (tell, told) = tokio::sync::oneshot::channel();
    let frozen = tokio::spawn(async move {
        let work = database.write(|conn| {
            Box::pin(async move {
                run_plain(conn, "UPDATE partitions SET epoch = epoch WHERE id = 0 AND epoch = 1").await?;
                tell.send(()).expect("someone waits");
                std::future::pending::<Result<(), Fault>>().await
            })
        });
        work.await
    });
    told.await.expect("the row is locked");
    let begun = std::time::Instant::now();
    store.take_over(&lease(2)).await.expect("take over");
    assert!(begun.elapsed() > std::time::Duration::from_secs(3), "it had to wait: {:?}", begun.elapsed());
    assert!(begun.elapsed() < std::time::Duration::from_secs(8), "{:?}", begun.elapsed());
    frozen.abort();
}

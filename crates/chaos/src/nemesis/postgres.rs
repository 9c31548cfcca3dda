//! PostgreSQL: is stopped, has no connection left, or no room on its disk.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Struck;
use crate::plan::Kind;
use crate::stage::Stage;

/// More than it takes.
const CONNECTIONS: usize = 220;
/// The first message of a connection: a user and a database, version 3.0 of the protocol. What comes then, a question
/// for the password, is never answered, and the server waits for a minute.
const HELLO: &[u8] = b"\x00\x00\x00\x29\x00\x03\x00\x00user\x00spectrum\x00database\x00postgres\x00\x00";

/// A table that needs room for itself.
const TABLE: &str = "CREATE TABLE chaos AS SELECT repeat(md5(row::text), 100) FROM generate_series(1, 1000) AS row";
/// More of the write-ahead log than the files hold that are there: without room PostgreSQL ends itself.
const LOG: &str =
    "SELECT count(pg_logical_emit_message(false, 'chaos', repeat('x', 1000000))) FROM generate_series(1, 300)";

pub(super) async fn strike(stage: &Stage, kind: Kind, lasts: Duration) -> Struck {
    let postgres = &stage.postgres;
    match kind {
        Kind::ExhaustPostgres => {
            let mut held = Vec::new();
            // Those of the product that end leave room for these alone.
            let ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                        WHERE datname LIKE 'test_%' AND pid % 2 = 0";
            fill(stage, &mut held).await;
            // Full, it takes no query either.
            drop(held.pop());
            drop(held.pop());
            tokio::time::sleep(Duration::from_millis(200)).await;
            tokio::task::block_in_place(|| postgres.try_execute("/postgres", ends).ok());
            fill(stage, &mut held).await;
            must_fail(stage, "SELECT 1");
            tokio::time::sleep(lasts).await;
        }
        Kind::FillDisk => match &stage.disk {
            Ok(disk) => {
                tokio::task::block_in_place(|| disk.fill());
                must_fail(stage, if lasts.as_millis().is_multiple_of(2) { LOG } else { TABLE });
                tokio::time::sleep(lasts).await;
                tokio::task::block_in_place(|| disk.make_room());
                if !tokio::task::block_in_place(|| postgres.is_running()) {
                    postgres.start_again().await;
                }
            }
            Err(why) => stage.trouble(format!("PostgreSQL has no disk of its own that can be filled: {why}")),
        },
        _ => {
            postgres.stop().await;
            tokio::time::sleep(lasts).await;
            postgres.start_again().await;
        }
    }
    Struck::at("postgres")
}

/// What a strike is there for: a statement that it does not let through.
fn must_fail(stage: &Stage, statement: &str) {
    if let Ok(said) = tokio::task::block_in_place(|| stage.postgres.try_execute("/postgres", statement)) {
        stage.trouble(format!("PostgreSQL was struck, and did what it should not be able to do: {statement}: {said}"));
    }
}

/// Takes every place that is free.
async fn fill(stage: &Stage, held: &mut Vec<TcpStream>) {
    while held.len() < CONNECTIONS {
        let Ok(mut stream) = TcpStream::connect(stage.postgres.address()).await else { return };
        if stream.write_all(HELLO).await.is_err() {
            return;
        }
        held.push(stream);
    }
}

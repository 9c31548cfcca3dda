//! The schema's migrations: embedded, applied in order, all of them in one transaction that takes the write lock first.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Fault, OpenError};
use crate::sql::{Columns as _, Conn, run, run_plain};

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

/// Ascending. What has been released is never changed.
const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "initial", sql: include_str!("../../migrations/sqlite/0001_initial.sql") }];

const KNOWN: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Brings the schema up to date, or refuses one that is ahead.
pub(super) async fn migrate(conn: &mut Conn, path: &Path) -> Result<(), OpenError> {
    let opening = |fault: Fault| fault.opening(path.to_owned());
    let mut found = applied(conn).await.map_err(opening)?;
    if found < KNOWN {
        run_plain(conn, "BEGIN IMMEDIATE").await.map_err(opening)?;
        let ended = match apply(conn).await {
            Ok(newest) => run_plain(conn, "COMMIT").await.map(|_| newest),
            Err(fault) => Err(fault),
        };
        match ended {
            Ok(newest) => found = newest,
            Err(fault) => {
                let _ = run_plain(conn, "ROLLBACK").await;
                return Err(opening(fault));
            }
        }
    }
    if found > KNOWN { Err(OpenError::Newer { path: path.to_owned(), found, known: KNOWN }) } else { Ok(()) }
}

/// The newest migration in the file; 0 when there is none.
async fn applied(conn: &mut Conn) -> Result<i64, Fault> {
    let table = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'migrations'";
    if sqlx::query(table).fetch_one(&mut *conn).await?.int(0)? == 0 {
        return Ok(0);
    }
    sqlx::query("SELECT coalesce(max(version), 0) FROM migrations").fetch_one(conn).await?.int(0)
}

/// Applies what is missing, under the write lock: another process may have done it meanwhile.
async fn apply(conn: &mut Conn) -> Result<i64, Fault> {
    let table = "CREATE TABLE IF NOT EXISTS migrations \
                 (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)";
    run_plain(conn, table).await?;
    let found = applied(conn).await?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        sqlx::raw_sql(migration.sql).execute(&mut *conn).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let add = "INSERT INTO migrations (version, name, applied_at) VALUES ($1, $2, $3)";
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        run(conn, sqlx::query(add).bind(migration.version).bind(migration.name).bind(now)).await?;
    }
    Ok(found.max(KNOWN))
}

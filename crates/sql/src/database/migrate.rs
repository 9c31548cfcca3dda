//! The schema's migrations: embedded, applied in order, all of them in one transaction that takes a lock first.
//!
//! In an upgrade the release before goes on, and may be started again, on the schema of the one that follows. So a
//! migration says from which schema on a program works on what it makes, and the database keeps the latest such word for
//! programs that do not know the migration.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Unready;
use crate::error::{Fault, Kind};
use crate::sql::{Columns as _, Conn, run, run_plain};

struct Migration {
    version: i64,
    name: &'static str,
    /// The newest migration that a program has to know to work on the schema that this one makes: of what the release
    /// before knows, unless that cannot work on it.
    oldest: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

/// Ascending. What has been released is never changed.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "initial",
        oldest: 1,
        sqlite: include_str!("../../migrations/sqlite/0001_initial.sql"),
        postgres: include_str!("../../migrations/postgres/0001_initial.sql"),
    },
    Migration {
        version: 2,
        name: "see and steer",
        oldest: 2,
        sqlite: include_str!("../../migrations/sqlite/0002_see_and_steer.sql"),
        postgres: include_str!("../../migrations/postgres/0002_see_and_steer.sql"),
    },
    Migration {
        version: 3,
        name: "ordering",
        oldest: 3,
        sqlite: include_str!("../../migrations/sqlite/0003_ordering.sql"),
        postgres: include_str!("../../migrations/postgres/0003_ordering.sql"),
    },
    Migration {
        version: 4,
        name: "survey",
        oldest: 4,
        sqlite: include_str!("../../migrations/sqlite/0004_survey.sql"),
        postgres: include_str!("../../migrations/postgres/0004_survey.sql"),
    },
];

/// The newest migration of the release before this one, or of the first one: processes that know no more run beside this
/// release in an upgrade. It is raised when a release was made.
#[cfg(test)]
const RELEASED: i64 = 4;

const KNOWN: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// The name in `settings` of the newest migration that a program has to know.
const OLDEST: &str = "oldest_migration";

/// One process migrates PostgreSQL at a time, with its pauses; the others wait for their turn. Any number will do, as long as
/// it is always the same. It ends with the connection.
const TAKE_TURN: [&str; 3] =
    ["SET statement_timeout = 0", "SET lock_timeout = 0", "SELECT pg_advisory_lock(7312645001)"];
/// An index of a large table takes its time: as long as whoever connects waits for it. But whoever waits for a table's lock
/// holds up all who come after, also those that only read: behind a dump, which may take hours, that would be all of the
/// deployment. So that is given up soon, and tried again.
const LIMITS: [&str; 2] = ["SET statement_timeout = '1h'", "SET lock_timeout = '500ms'"];
/// What PostgreSQL says then: `lock_not_available`, and `deadlock_detected`.
const HELD: [[u8; 5]; 2] = [*b"55P03", *b"40P01"];
/// Until it is tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// Which of the two databases it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// Brings the schema up to date, or refuses one that is too far ahead.
pub(super) async fn migrate(conn: &mut Conn, dialect: Dialect) -> Result<(), Unready> {
    let mut found = applied(conn, dialect).await?;
    if found < KNOWN {
        if dialect == Dialect::Postgres {
            for sql in TAKE_TURN.iter().chain(&LIMITS) {
                run_plain(conn, sql).await?;
            }
        }
        found = loop {
            match attempt(conn, dialect).await {
                Err(Fault::Unavailable { kind: Kind::Code(code), detail }) if HELD.contains(&code) => {
                    tracing::warn!(why = detail, "the migration waits for tables that are in use");
                    tokio::time::sleep(PAUSE).await;
                }
                ended => break ended?,
            }
        };
        if dialect == Dialect::Postgres {
            run_plain(conn, "SELECT pg_advisory_unlock(7312645001)").await?;
        }
    }
    if found <= KNOWN {
        return Ok(());
    }
    if oldest(conn).await?.is_none_or(|oldest| oldest > KNOWN) {
        return Err(Unready::Newer { found, known: KNOWN });
    }
    tracing::info!(found, known = KNOWN, "the database is of a newer release, beside which this one works");
    Ok(())
}

/// All that is missing, or nothing.
async fn attempt(conn: &mut Conn, dialect: Dialect) -> Result<i64, Fault> {
    let begin = match dialect {
        Dialect::Sqlite => "BEGIN IMMEDIATE",
        Dialect::Postgres => "BEGIN",
    };
    run_plain(conn, begin).await?;
    let ended = match apply(conn, dialect).await {
        Ok(newest) => run_plain(conn, "COMMIT").await.map(|_| newest),
        Err(fault) => Err(fault),
    };
    if ended.is_err() {
        let _ = run_plain(conn, "ROLLBACK").await;
    }
    ended
}

/// The newest migration that was applied, when it is one that this release does not know.
pub(super) async fn newer(conn: &mut Conn) -> Result<Option<i64>, Fault> {
    let sql = "SELECT coalesce(max(version), 0) FROM migrations";
    Ok(Some(sqlx::query(sql).fetch_one(conn).await?.int(0)?).filter(|found| *found > KNOWN))
}

/// The newest migration that a program has to know to work on this schema.
async fn oldest(conn: &mut Conn) -> Result<Option<i64>, Fault> {
    let sql = "SELECT value FROM settings WHERE name = $1";
    let Some(row) = sqlx::query(sql).bind(OLDEST).fetch_optional(conn).await? else { return Ok(None) };
    Ok(row.text(0)?.parse().ok())
}

/// The newest migration that was applied; 0 when there is none.
async fn applied(conn: &mut Conn, dialect: Dialect) -> Result<i64, Fault> {
    let table = match dialect {
        Dialect::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'migrations'",
        Dialect::Postgres => {
            "SELECT count(*) FROM information_schema.tables \
             WHERE table_schema = current_schema() AND table_name = 'migrations'"
        }
    };
    if sqlx::query(table).fetch_one(&mut *conn).await?.int(0)? == 0 {
        return Ok(0);
    }
    sqlx::query("SELECT coalesce(max(version), 0) FROM migrations").fetch_one(conn).await?.int(0)
}

/// Applies what is missing: another process may have done it meanwhile.
async fn apply(conn: &mut Conn, dialect: Dialect) -> Result<i64, Fault> {
    let table = "CREATE TABLE IF NOT EXISTS migrations \
                 (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)";
    run_plain(conn, table).await?;
    let found = applied(conn, dialect).await?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let sql = match dialect {
            Dialect::Sqlite => migration.sqlite,
            Dialect::Postgres => migration.postgres,
        };
        sqlx::raw_sql(sql).execute(&mut *conn).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let add = "INSERT INTO migrations (version, name, applied_at) VALUES ($1, $2, $3)";
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        run(conn, sqlx::query(add).bind(migration.version).bind(migration.name).bind(now)).await?;
        let say = "INSERT INTO settings (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        run(conn, sqlx::query(say).bind(OLDEST).bind(migration.oldest.to_string())).await?;
    }
    Ok(found.max(KNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_has_to_know_never_goes_back() {
        assert!(MIGRATIONS.iter().all(|migration| migration.oldest <= migration.version));
        assert!(MIGRATIONS.is_sorted_by(|one, two| one.version < two.version && one.oldest <= two.oldest));
    }

    #[test]
    fn the_release_before_works_on_what_this_one_adds() {
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > RELEASED) {
            let Migration { version, oldest, .. } = migration;
            assert!(
                *oldest <= RELEASED,
                "migration {version} ends processes of the release before, which know {RELEASED}"
            );
        }
    }
}

//! A database as the release after this one may leave it, while processes of this one go on or are started again.

#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of it")]
#![allow(clippy::expect_used, reason = "the helpers of tests are tests")]

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

pub async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(url).await.expect("a connection")
}

pub async fn execute(conn: &mut AnyConnection, sql: &str) {
    sqlx::query(AssertSqlSafe(sql)).execute(conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The newest migration.
pub async fn newest(url: &str) -> i64 {
    let mut conn = connect(url).await;
    let row = sqlx::query("SELECT max(version) FROM migrations").fetch_one(&mut conn).await.expect("migrations");
    conn.close().await.expect("closed");
    row.get(0)
}

/// Adds to each table columns and an index, and a table more, as a migration that says of itself which migration a program
/// has to know: so many before it.
pub async fn migrate(url: &str, back: i64) {
    let mut conn = connect(url).await;
    let tables = match conn.backend_name() {
        "PostgreSQL" => "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
        _ => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    };
    let tables: Vec<String> =
        sqlx::query(tables).fetch_all(&mut conn).await.expect("tables").iter().map(|row| row.get(0)).collect();
    assert!(tables.len() > 15, "{tables:?}");
    for table in tables.iter().filter(|table| *table != "migrations") {
        execute(&mut conn, &format!("ALTER TABLE {table} ADD COLUMN next_note TEXT")).await;
        execute(&mut conn, &format!("ALTER TABLE {table} ADD COLUMN next_count BIGINT NOT NULL DEFAULT 7")).await;
        execute(&mut conn, &format!("CREATE INDEX {table}_next ON {table} (next_count)")).await;
    }
    execute(&mut conn, "CREATE TABLE next_things (id TEXT NOT NULL PRIMARY KEY)").await;
    let next = newest(url).await + 1;
    execute(&mut conn, &format!("INSERT INTO migrations (version, name, applied_at) VALUES ({next}, 'next', 0)")).await;
    let oldest = next - back;
    execute(&mut conn, &format!("UPDATE settings SET value = '{oldest}' WHERE name = 'oldest_migration'")).await;
    conn.close().await.expect("closed");
}

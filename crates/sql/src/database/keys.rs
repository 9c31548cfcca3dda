//! Under which master keys something may rest: a row of `settings` for each. It is written in the transaction that first
//! encrypts something under the key, and taken away in one that finds nothing left under it. So whoever knows all keys
//! that have a row can read everything, and whoever does not is told which are missing.

use crate::error::Fault;
use crate::secrets::{Fingerprint, Keyring, Sealer, Unopened};
use crate::sql::{Columns as _, Conn, run};

const PREFIX: &str = "master_key:";
/// The row that decides whose key is the first.
const FIRST: &str = "key_check";

fn name(key: Fingerprint) -> String {
    format!("{PREFIX}{key}")
}

/// What encrypts within this transaction: nobody finds nothing left under its key before the transaction has ended.
pub(crate) async fn sealer(conn: &mut Conn, keys: &Keyring) -> Result<Sealer, Fault> {
    let sealer = keys.sealer();
    // SQLite has one writer, and so no need of the lock, which lasts until the transaction ends.
    let read = match conn.backend_name() {
        "PostgreSQL" => "SELECT name FROM settings WHERE name = $1 FOR KEY SHARE",
        _ => "SELECT name FROM settings WHERE name = $1",
    };
    let name = name(sealer.key());
    if sqlx::query(read).bind(name.as_str()).fetch_optional(&mut *conn).await?.is_none() {
        // The one that is there already is locked as well.
        let add = "INSERT INTO settings (name, value) VALUES ($1, 'in use') \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        run(conn, sqlx::query(add).bind(name)).await?;
    }
    Ok(sealer)
}

/// The keys under which something may rest, as they are called.
pub(crate) async fn in_use(conn: &mut Conn) -> Result<Vec<String>, Fault> {
    let sql = "SELECT name FROM settings WHERE name LIKE 'master_key:%' ORDER BY name";
    let rows = sqlx::query(sql).fetch_all(conn).await?;
    let names = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    Ok(names.iter().filter_map(|name| name.strip_prefix(PREFIX)).map(str::to_owned).collect())
}

/// The keys that are missing here, as they are called. The first opening of a database makes its key the one.
pub(super) async fn missing(conn: &mut Conn, keys: &Keyring) -> Result<Vec<String>, Fault> {
    let known: Vec<_> = keys.fingerprints().iter().map(ToString::to_string).collect();
    let used = in_use(conn).await?;
    if !used.is_empty() {
        return Ok(used.into_iter().filter(|key| !known.contains(key)).collect());
    }
    let sealed = hex::encode(keys.sealer().seal(FIRST.as_bytes(), FIRST.as_bytes())?);
    // Of two processes at their first start, one is the first.
    let add = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    run(conn, sqlx::query(add).bind(FIRST).bind(sealed)).await?;
    let read = "SELECT value FROM settings WHERE name = $1";
    let stored = sqlx::query(read).bind(FIRST).fetch_one(&mut *conn).await?.text(0)?;
    let stored = hex::decode(stored).map_err(|_| Fault::Corrupt("the key check".to_owned()))?;
    let first = match keys.open_by(FIRST.as_bytes(), &stored) {
        Ok((first, _)) => first,
        Err(Unopened::Key(first)) => return Ok(vec![first.to_string()]),
        Err(Unopened::Damaged) => return Ok(vec!["of an unknown fingerprint".to_owned()]),
    };
    let add = "INSERT INTO settings (name, value) VALUES ($1, 'in use') ON CONFLICT (name) DO NOTHING";
    run(conn, sqlx::query(add).bind(name(first))).await?;
    Ok(Vec::new())
}

/// Takes away the rows of all keys but one, unless `left` finds something under them; returns how much that is. What is
/// encrypted under them meanwhile waits for this transaction, and then says again that it uses its key.
pub(crate) async fn retire_all_but(
    conn: &mut Conn,
    kept: Fingerprint,
    left: impl AsyncFnOnce(&mut Conn) -> Result<u64, Fault>,
) -> Result<u64, Fault> {
    let others: Vec<_> = in_use(conn).await?.into_iter().filter(|key| *key != kept.to_string()).collect();
    for other in &others {
        let sql = "DELETE FROM settings WHERE name = $1";
        run(conn, sqlx::query(sql).bind(format!("{PREFIX}{other}"))).await?;
    }
    let left = left(conn).await?;
    if left > 0 {
        for other in others {
            let sql = "INSERT INTO settings (name, value) VALUES ($1, 'in use')";
            run(conn, sqlx::query(sql).bind(format!("{PREFIX}{other}"))).await?;
        }
    } else {
        run(conn, sqlx::query("DELETE FROM settings WHERE name = $1").bind(FIRST)).await?;
    }
    Ok(left)
}

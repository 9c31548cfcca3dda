//! What a move remembers: a mark in the source, from its beginning on, and how far it is in the target.
//!
//! Both carry the id of the move. The mark is written first, so that nobody serves a source of which a part has gone; who
//! takes it off lets the source change, and with that makes the move's id worthless: what was begun is never gone on with,
//! nor ended.
//! Each step writes its rows and the new state in one transaction, and only over the state that it knows: a kill leaves
//! either both or none, and a second process that moves at the same time fails.

use serde::{Deserialize, Serialize};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::MoveError;
use crate::database::Database;
use crate::error::Fault;
use crate::sql::{Columns as _, Conn, run};

/// The setting of a source that is moved away.
const AWAY: &str = "moved_away";
/// The setting of a target that is moved into.
const HERE: &str = "moved_here";

/// In the source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) id: Uuid,
    pub(super) at: Millis,
    pub(super) done: bool,
}

/// In the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) id: Uuid,
    pub(super) stage: Stage,
    /// Rows of the table that is being carried.
    pub(super) rows: u64,
    /// Messages of the source's queue that the target's has.
    pub(super) queued: u64,
    /// Messages that could not be read: they went to quarantine.
    pub(super) unreadable: u64,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Rows of a table, by its place in the list, up to this key.
    Table { number: usize, after: Vec<KeyPart> },
    /// Messages up to this position.
    Queue { position: i64 },
    /// Everything is there.
    Done,
}

/// A value of a primary key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum KeyPart {
    Int(i64),
    Text(String),
}

/// Whether a deployment may be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It may.
    Whole,
    /// A move into it is not done.
    Arriving,
    /// It is being moved into another one.
    Leaving,
    /// It was.
    Left,
}

async fn setting(conn: &mut Conn, name: &'static str) -> Result<Option<String>, Fault> {
    let row = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(name).fetch_optional(conn).await?;
    row.map(|row| row.text(0)).transpose()
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: Option<String>) -> Result<Option<T>, Fault> {
    let corrupt = |error| Fault::Corrupt(format!("the setting {name}: {error}"));
    text.map(|text| serde_json::from_str(&text).map_err(corrupt)).transpose()
}

fn text(value: &impl Serialize) -> String {
    serde_json::json!(value).to_string()
}

async fn mark(conn: &mut Conn) -> Result<Option<Mark>, Fault> {
    parse(AWAY, setting(conn, AWAY).await?)
}

async fn journal(conn: &mut Conn) -> Result<Option<Journal>, Fault> {
    parse(HERE, setting(conn, HERE).await?)
}

/// The mark of a source.
pub(super) async fn read_mark(database: &Database) -> Result<Option<Mark>, Fault> {
    database.read(|conn| Box::pin(mark(conn))).await
}

/// The journal of a target.
pub(super) async fn read_journal(database: &Database) -> Result<Option<Journal>, Fault> {
    database.read(|conn| Box::pin(journal(conn))).await
}

/// Marks a source, over the mark that is known; whether it had that.
pub(super) async fn write_mark(database: &Database, old: Option<&Mark>, new: &Mark) -> Result<bool, Fault> {
    let statement = match old {
        Some(old) => sqlx::query("UPDATE settings SET value = $2 WHERE name = $1 AND value = $3")
            .bind(AWAY)
            .bind(text(new))
            .bind(text(old)),
        None => sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(AWAY)
            .bind(text(new)),
    };
    let written = database.write(move |conn| Box::pin(run(conn, statement))).await?;
    Ok(written == 1)
}

/// Takes the mark off; whether there was one.
pub(super) async fn remove_mark(database: &Database) -> Result<bool, Fault> {
    let sql = "DELETE FROM settings WHERE name = $1";
    let done = database.write(move |conn| Box::pin(run(conn, sqlx::query(sql).bind(AWAY)))).await?;
    Ok(done == 1)
}

/// Begins the journal of a target that has none.
pub(super) async fn begin(database: &Database, id: Uuid) -> Result<Journal, MoveError> {
    let stage = Stage::Table { number: 0, after: Vec::new() };
    let journal = Journal { id, stage, rows: 0, queued: 0, unreadable: 0 };
    let value = text(&journal);
    let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    let begun = database.write(move |conn| Box::pin(run(conn, sqlx::query(sql).bind(HERE).bind(value)))).await?;
    if begun == 1 { Ok(journal) } else { Err(MoveError::Overtaken) }
}

/// Writes the next state over the one that is known; fenced when that is not what is there. The first statement of each
/// step's transaction.
pub(super) async fn advance(conn: &mut Conn, old: &Journal, new: &Journal) -> Result<(), Fault> {
    let sql = "UPDATE settings SET value = $3 WHERE name = $1 AND value = $2";
    let statement = sqlx::query(sql).bind(HERE).bind(text(old)).bind(text(new));
    if run(conn, statement).await? == 1 { Ok(()) } else { Err(Fault::Fenced) }
}

/// Whether this deployment may be served.
pub(super) async fn standing(conn: &mut Conn) -> Result<Standing, Fault> {
    if let Some(mark) = mark(conn).await? {
        return Ok(if mark.done { Standing::Left } else { Standing::Leaving });
    }
    let arriving = journal(conn).await?.is_some_and(|journal| journal.stage != Stage::Done);
    Ok(if arriving { Standing::Arriving } else { Standing::Whole })
}

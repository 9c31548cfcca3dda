//! Reading tables in the order of their keys, a bounded piece at a time.

use futures::TryStreamExt as _;
use sqlx::AssertSqlSafe;

use super::journal::KeyPart;
use super::tables::{Cell, Passage, Table, Value};
use crate::database::{Database, keys};
use crate::error::Fault;
use crate::secrets::Keyring;
use crate::sql::{Conn, Statement, run_rows};

/// Rows of one piece.
const ROWS: usize = 1_000;
/// Bytes after which a piece ends.
const BYTES: usize = 4 << 20;
/// Rows that are counted at a time.
const COUNTED: usize = 20_000;

/// A piece of a table.
pub(super) struct Piece {
    pub(super) rows: Vec<Vec<Cell>>,
    /// Whether nothing is behind it.
    pub(super) last: bool,
}

/// The key of a row.
pub(super) fn key_of(table: &Table, row: &[Cell]) -> Vec<KeyPart> {
    row.iter()
        .take(table.keys)
        .map(|cell| match cell {
            Cell::Plain(Value::Int(value)) => KeyPart::Int(value.unwrap_or_default()),
            Cell::Plain(Value::Text(value)) => KeyPart::Text(value.clone().unwrap_or_default()),
            // No table has such a key.
            Cell::Plain(Value::Bytes(_)) | Cell::Secret { .. } => KeyPart::Text(String::new()),
        })
        .collect()
}

/// Rows behind a key (none is the beginning), in the order of their keys.
fn behind(table: &Table, selection: &str, after: &[KeyPart], limit: usize) -> Statement {
    let keys = table.names("r.", table.keys);
    let places = (1..=after.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
    let condition = if after.is_empty() { String::new() } else { format!("WHERE ({keys}) > ({places})") };
    // Fixed texts, places and a number.
    let sql = format!("SELECT {selection} FROM {} r {condition} ORDER BY {keys} LIMIT {limit}", table.name);
    after.iter().fold(sqlx::query(AssertSqlSafe(sql)), |statement, part| match part {
        KeyPart::Int(value) => statement.bind(*value),
        KeyPart::Text(value) => statement.bind(value.clone()),
    })
}

/// The next rows behind a key, as the target shall have them.
pub(super) async fn read(
    source: &Database,
    table: &'static Table,
    after: Vec<KeyPart>,
    passage: Passage,
) -> Result<Piece, Fault> {
    source.read(move |conn| Box::pin(piece(conn, table, after, passage))).await
}

async fn piece(conn: &mut Conn, table: &Table, after: Vec<KeyPart>, passage: Passage) -> Result<Piece, Fault> {
    let mut stream = behind(table, &table.selection(), &after, ROWS).fetch(conn);
    let (mut rows, mut size) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        let row = table.carry(&row, &passage)?;
        size += row.iter().map(Cell::size).sum::<usize>();
        rows.push(row);
        if size >= BYTES {
            return Ok(Piece { rows, last: false });
        }
    }
    let last = rows.len() < ROWS;
    Ok(Piece { rows, last })
}

/// Adds rows to a table that has none of them; what is secret rests under the key of the target.
pub(super) async fn write(conn: &mut Conn, table: &Table, rows: Vec<Vec<Cell>>, known: &Keyring) -> Result<(), Fault> {
    let sealer = keys::sealer(conn, known).await?;
    let sealed = |row: Vec<Cell>| row.into_iter().map(|cell| cell.sealed(&sealer)).collect();
    let rows = rows.into_iter().map(sealed).collect::<Result<Vec<Vec<Value>>, _>>()?;
    let columns = table.columns.len();
    let head = format!("INSERT INTO {} ({}) VALUES ", table.name, table.names("", columns));
    run_rows(conn, (&head, columns, ""), &rows, |statement, row| {
        row.iter().fold(statement, |statement, value| value.bind(statement))
    })
    .await
}

/// Whether a table has any row.
pub(super) async fn is_empty(database: &Database, table: &'static Table) -> Result<bool, Fault> {
    let first = database.read(move |conn| {
        Box::pin(async move { Ok(behind(table, "1", &[], 1).fetch_optional(conn).await?.is_some()) })
    });
    Ok(!first.await?)
}

/// How many rows a table has: counted by its key in pieces, none of which a time-out of the database ends.
pub(super) async fn count(database: &Database, table: &'static Table) -> Result<u64, Fault> {
    let (mut rows, mut after) = (0, Vec::new());
    loop {
        let from = after.clone();
        let read = database.read(move |conn| Box::pin(next_keys(conn, table, from))).await?;
        rows += read.0;
        match read.1 {
            Some(last) if read.0 > 0 => after = last,
            _ => return Ok(rows),
        }
    }
}

/// How many rows the next piece has, and the last key of it unless nothing is behind it.
async fn next_keys(conn: &mut Conn, table: &Table, after: Vec<KeyPart>) -> Result<(u64, Option<Vec<KeyPart>>), Fault> {
    use super::tables::Kind;
    use crate::sql::Columns as _;
    let mut stream = behind(table, &table.names("r.", table.keys), &after, COUNTED).fetch(conn);
    let (mut rows, mut last) = (0_u64, None);
    while let Some(row) = stream.try_next().await? {
        rows += 1;
        last = Some(row);
    }
    let last = last.filter(|_| rows >= COUNTED as u64);
    let part = |row: &sqlx::any::AnyRow, (at, (_, kind)): (usize, &(&str, Kind))| match kind {
        Kind::Int => row.int(at).map(KeyPart::Int),
        _ => row.text(at).map(KeyPart::Text),
    };
    let key = |row| table.columns.iter().take(table.keys).enumerate().map(|column| part(&row, column)).collect();
    Ok((rows, last.map(key).transpose()?))
}

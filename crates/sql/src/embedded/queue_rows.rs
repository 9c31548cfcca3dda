//! The rows of the embedded queue. One writer commits them in the order of their positions, so that a reader who has
//! seen a position has seen all before it.

use bytes::Bytes;
use futures::TryStreamExt as _;
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Publication, Unreadable};
use spectrum_webhook_core::time::Millis;
use sqlx::any::AnyRow;
use sqlx::{Row as _, ValueRef as _};

use crate::database::Insert;
use crate::error::Fault;
use crate::sql::{Columns as _, Conn, Statement};

/// Appends messages, and the idempotency records that came with them. Returns their positions.
pub(crate) fn insert(conn: &rusqlite::Connection, inserts: &[Insert]) -> Result<Vec<i64>, Fault> {
    let mut append = conn.prepare_cached(
        "INSERT INTO queue (partition_id, event, project, event_type, accepted_at, registry, traceparent, again, purpose, \
         body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    // An older record of the key has expired, or is this event's own.
    let mut note = conn.prepare_cached(
        "INSERT INTO idempotency (project, key, event, body, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (project, key) DO UPDATE SET event = excluded.event, body = excluded.body, \
         expires_at = excluded.expires_at",
    )?;
    let mut positions = Vec::with_capacity(inserts.len());
    for Insert { partition, publication: Publication { message, again, idempotency }, .. } in inserts {
        let (event, project) = (message.id.to_string(), message.project.to_string());
        positions.push(append.insert(rusqlite::params![
            partition.0,
            event,
            project,
            message.event_type,
            message.accepted_at.0,
            message.registry.0,
            message.traceparent,
            i64::from(*again),
            purpose_text(&message.purpose),
            &message.body[..],
        ])?);
        if let Some(key) = idempotency {
            note.execute(rusqlite::params![project, &key.key[..], event, &key.body[..], key.expires_at.0])?;
        }
    }
    Ok(positions)
}

/// A purpose in its column; an event, which almost every message is, takes no room.
fn purpose_text(purpose: &Purpose) -> Option<String> {
    (*purpose != Purpose::Event).then(|| serde_json::json!(purpose).to_string())
}

/// Takes messages off the queue, and their marks with them.
pub(crate) fn delete<'a>(conn: &rusqlite::Connection, positions: impl Iterator<Item = &'a i64>) -> Result<(), Fault> {
    let mut marks =
        conn.prepare_cached("DELETE FROM done WHERE event = (SELECT event FROM queue WHERE position = ?1)")?;
    let mut row = conn.prepare_cached("DELETE FROM queue WHERE position = ?1")?;
    for position in positions {
        marks.execute([position])?;
        row.execute([position])?;
    }
    Ok(())
}

/// The newest position that was ever given.
pub(super) async fn newest(conn: &mut Conn) -> Result<i64, Fault> {
    let sql = "SELECT coalesce(max(position), 0) FROM queue";
    sqlx::query(sql).fetch_one(conn).await?.int(0)
}

/// A row of the queue.
pub(crate) struct QueueRow {
    pub(crate) position: i64,
    pub(crate) again: bool,
    /// Bytes of the body.
    pub(crate) size: usize,
    pub(crate) message: Result<Message, Box<Unreadable>>,
}

/// What is to be read: rows behind a position, at most so many, and no more after so many bytes.
pub(super) struct Range {
    pub(super) partition: PartitionId,
    pub(super) behind: i64,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// Reads rows in order, one by one, so that no more bodies are in memory than were asked for. The flag says that
/// there may be more.
pub(super) async fn read(conn: &mut Conn, range: Range) -> Result<(Vec<QueueRow>, bool), Fault> {
    let sql = "SELECT position, again, event, project, event_type, accepted_at, registry, traceparent, purpose, \
               body FROM queue WHERE partition_id = $1 AND position > $2 ORDER BY position LIMIT $3";
    let limit = i64::try_from(range.rows).unwrap_or(i64::MAX);
    let statement = sqlx::query(sql).bind(i64::from(range.partition.0)).bind(range.behind).bind(limit);
    read_rows(conn, statement, range.rows, range.bytes).await
}

/// The same of all partitions together.
pub(crate) async fn read_all(conn: &mut Conn, behind: i64, rows: usize, bytes: usize) -> Result<Vec<QueueRow>, Fault> {
    let sql = "SELECT position, again, event, project, event_type, accepted_at, registry, traceparent, purpose, \
               body FROM queue WHERE position > $1 ORDER BY position LIMIT $2";
    let statement = sqlx::query(sql).bind(behind).bind(i64::try_from(rows).unwrap_or(i64::MAX));
    Ok(read_rows(conn, statement, rows, bytes).await?.0)
}

async fn read_rows(
    conn: &mut Conn,
    statement: Statement,
    most: usize,
    bytes: usize,
) -> Result<(Vec<QueueRow>, bool), Fault> {
    let mut stream = statement.fetch(conn);
    let mut rows = Vec::new();
    let mut size = 0_usize;
    while let Some(row) = stream.try_next().await? {
        let row = queue_row(&row)?;
        size = size.saturating_add(row.size);
        rows.push(row);
        if size >= bytes {
            return Ok((rows, true));
        }
    }
    let more = rows.len() >= most;
    Ok((rows, more))
}

fn queue_row(row: &AnyRow) -> Result<QueueRow, Fault> {
    let message = message(row);
    let body = match &message {
        Ok(message) => message.body.clone(),
        Err(_) => raw_body(row),
    };
    Ok(QueueRow {
        position: row.int(0)?,
        again: row.flag(1).unwrap_or(true),
        size: body.len(),
        message: message.map_err(|fault| {
            let detail = match fault {
                Fault::Corrupt(detail) | Fault::Unavailable { detail, .. } => detail,
                Fault::Fenced => "fenced".to_owned(),
            };
            Box::new(Unreadable { bytes: body.to_vec(), detail })
        }),
    })
}

fn message(row: &AnyRow) -> Result<Message, Fault> {
    let event_type = row.text(4)?;
    // It becomes a header.
    if !(1..=64).contains(&event_type.len()) || !event_type.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::Corrupt("not an event type".to_owned()));
    }
    let purpose = match row.maybe_text(8)? {
        None => Purpose::Event,
        Some(json) => serde_json::from_str(&json).map_err(|error| Fault::Corrupt(format!("a purpose: {error}")))?,
    };
    Ok(Message {
        id: EventId(row.uuid(2)?),
        project: ProjectId(row.uuid(3)?),
        event_type,
        accepted_at: Millis(row.int(5)?),
        registry: RegistryVersion(row.int(6)?),
        traceparent: row.maybe_text(7)?,
        purpose,
        body: Bytes::from(row.blob(9)?),
    })
}

/// The body of a row that cannot be read, whatever type it has by now.
fn raw_body(row: &AnyRow) -> Bytes {
    let is_null = row.try_get_raw(9).is_ok_and(|value| value.is_null());
    if is_null {
        return Bytes::new();
    }
    row.blob(9).or_else(|_| row.text(9).map(String::into_bytes)).map(Bytes::from).unwrap_or_default()
}

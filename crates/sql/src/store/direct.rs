//! What SQLite gets for each attempt and each event, row by row: the same rows as [`log`](super::log) and
//! [`archive`](super::archive) write, many in a statement, to PostgreSQL.

use spectrum_webhook_core::attempt::{AttemptRecord, Ended};
use spectrum_webhook_core::ports::Archived;

use super::archive::prolonged;
use crate::database::Database;
use crate::error::Fault;

/// Rows of one transaction, so that events do not wait long behind them.
const SLICE: usize = 64;

/// Writes attempts, those of a webhook together: their rows are neighbours in the indices, and each page that a
/// transaction touches is written once.
pub(super) async fn record(database: &Database, attempts: &[AttemptRecord]) -> Result<(), Fault> {
    let mut attempts = attempts.to_vec();
    attempts.sort_unstable_by_key(|attempt| (attempt.project, attempt.key.webhook, attempt.started_at, attempt.number));
    for slice in attempts.chunks(SLICE) {
        let slice = slice.to_vec();
        database.write_directly(move |conn| insert_attempts(conn, &slice)).await?;
    }
    Ok(())
}

/// Writes events, those of a project together.
pub(super) async fn keep(database: &Database, events: &[Archived]) -> Result<(), Fault> {
    let mut events = events.to_vec();
    events.sort_unstable_by_key(|event| (event.message.project, event.sequence));
    for slice in events.chunks(SLICE) {
        let slice = slice.to_vec();
        database.write_directly(move |conn| insert_events(conn, &slice)).await?;
    }
    Ok(())
}

fn insert_attempts(conn: &rusqlite::Connection, attempts: &[AttemptRecord]) -> Result<(), Fault> {
    // Recorded again after an answer that was lost.
    let mut insert = conn.prepare_cached(
        "INSERT INTO attempts (event, webhook, project, event_type, sequence, number, started_at, connect_ms, \
         first_byte_ms, total_ms, status, failure, retry_after_ms, address, snippet, resend, next, next_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
         ON CONFLICT (event, webhook, started_at, number) DO NOTHING",
    )?;
    for attempt in attempts {
        let (status, failure, retry_after) = match attempt.ended {
            Ended::Answered { status, retry_after } => {
                (Some(status), None, retry_after.map(|wait| i64::try_from(wait).unwrap_or(i64::MAX)))
            }
            Ended::Failed(failure) => (None, Some(failure.code()), None),
        };
        insert.execute(rusqlite::params![
            attempt.key.event.to_string(),
            attempt.key.webhook.to_string(),
            attempt.project.to_string(),
            attempt.event_type,
            attempt.sequence.0,
            attempt.number,
            attempt.started_at.0,
            attempt.connect_ms,
            attempt.first_byte_ms,
            attempt.total_ms,
            status,
            failure,
            retry_after,
            attempt.address.map(|address| address.to_string()),
            super::log::without_zeros(&attempt.snippet),
            attempt.resend.map(|id| id.to_string()),
            attempt.next.code(),
            attempt.next.at().map(|at| at.0),
        ])?;
    }
    Ok(())
}

fn insert_events(conn: &rusqlite::Connection, events: &[Archived]) -> Result<(), Fault> {
    let mut insert = conn.prepare_cached(concat!(
        "INSERT INTO events (id, project, event_type, accepted_at, registry, traceparent, sequence, keep_until, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET ",
        prolonged!(),
    ))?;
    for Archived { sequence, message, keep_until } in events {
        insert.execute(rusqlite::params![
            message.id.to_string(),
            message.project.to_string(),
            message.event_type,
            message.accepted_at.0,
            message.registry.0,
            message.traceparent,
            sequence.0,
            keep_until.0,
            &message.body[..],
        ])?;
    }
    Ok(())
}

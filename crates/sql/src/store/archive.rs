//! The archive: events that stay for a while whether a row needs them or not. And what goes when its time is over:
//! archived events, closed dead letters, and bodies that nothing needs any more.
//!
//! An event's row is needed while its `keep_until` is not 0, or while a row of backlog, set aside or dead letters points
//! at it. Whoever takes away the last need deletes it. An owner takes rows away, pruning takes away time and closed dead
//! letters: so that never both believe that the other still needs it, pruning holds the partition, as an owner's writes
//! do, before it takes away anything of an event that has a row.

use std::cmp::Reverse;

use spectrum_webhook_core::ports::{Archived, Pruning};

use crate::error::Fault;
use crate::sql::{Columns as _, Conn, chunks, over_list, place_after, run, run_plain, run_rows};

/// Of what is archived again the later place counts: that of an owner who has lost the partition may arrive behind that of
/// the next one.
macro_rules! prolonged {
    () => {
        "keep_until = excluded.keep_until, \
         sequence = CASE WHEN events.sequence < excluded.sequence THEN excluded.sequence ELSE events.sequence END"
    };
}
pub(super) use prolonged;

/// Archives events, or prolongs their time. A row that is there already has the same event in it.
pub(super) async fn keep(conn: &mut Conn, events: Vec<Archived>) -> Result<(), Fault> {
    let head = "INSERT INTO events (id, project, event_type, accepted_at, registry, traceparent, sequence, keep_until, body) VALUES ";
    let tail = concat!(" ON CONFLICT (id) DO UPDATE SET ", prolonged!());
    // One event comes once in a statement: PostgreSQL updates no row twice.
    let mut events = events;
    events.sort_by_key(|event| (event.message.id, Reverse(event.sequence)));
    events.dedup_by_key(|event| event.message.id);
    run_rows(conn, (head, 9, tail), &events, |statement, Archived { sequence, message, keep_until }| {
        statement
            .bind(message.id.to_string())
            .bind(message.project.to_string())
            .bind(message.event_type.as_str())
            .bind(message.accepted_at.0)
            .bind(message.registry.0)
            .bind(message.traceparent.as_deref())
            .bind(sequence.0)
            .bind(keep_until.0)
            .bind(&message.body[..])
    })
    .await?;
    Ok(())
}

/// Deletes the bodies that neither a row nor the archive needs any more.
pub(super) async fn delete_bodies(conn: &mut Conn, events: &[String]) -> Result<(), Fault> {
    for chunk in chunks(events) {
        let text = |list: &str| format!("DELETE FROM events WHERE id IN ({list}) AND keep_until = 0 AND {UNNEEDED}");
        run(conn, over_list(chunk, text)).await?;
    }
    Ok(())
}

const UNNEEDED: &str = "NOT EXISTS (SELECT 1 FROM backlog r WHERE r.event = events.id) \
                        AND NOT EXISTS (SELECT 1 FROM set_aside r WHERE r.event = events.id) \
                        AND NOT EXISTS (SELECT 1 FROM dead_letters r WHERE r.event = events.id)";

/// Removes closed dead letters and archived events that are past their time; returns how many of the kind of which
/// there were more.
pub(super) async fn prune(conn: &mut Conn, pruning: &Pruning) -> Result<u64, Fault> {
    let closed = closed_letters(conn, pruning).await?;
    Ok(closed.max(expired(conn, pruning).await?))
}

async fn closed_letters(conn: &mut Conn, pruning: &Pruning) -> Result<u64, Fault> {
    let sql =
        "SELECT event FROM dead_letters WHERE closed_at IS NOT NULL AND closed_at < $1 ORDER BY closed_at LIMIT $2";
    let before = pruning.attempts_before.0;
    let events = past(conn, sql, before, pruning.limit).await?;
    let (found, events) = (events.len() as u64, distinct(events));
    for chunk in chunks(&events) {
        hold_partitions(conn, chunk).await?;
        let place = place_after(chunk, 1);
        let text = |list: &str| {
            format!(
                "DELETE FROM dead_letters WHERE event IN ({list}) AND closed_at IS NOT NULL AND closed_at < ${place}"
            )
        };
        run(conn, over_list(chunk, text).bind(before)).await?;
        delete_bodies(conn, chunk).await?;
    }
    Ok(found)
}

/// Those that a row needs go with it; the others now. One that got its first row while this went on keeps its time, and
/// is found again: its owner may take that row away at any moment, and has to see that no time is left.
async fn expired(conn: &mut Conn, pruning: &Pruning) -> Result<u64, Fault> {
    let sql = "SELECT id FROM events WHERE keep_until > 0 AND keep_until <= $1 ORDER BY keep_until LIMIT $2";
    let events = distinct(past(conn, sql, pruning.now.0, pruning.limit).await?);
    for chunk in chunks(&events) {
        let held = hold_partitions(conn, chunk).await?;
        let place = place_after(chunk, 1);
        let unneeded =
            |list: &str| format!("DELETE FROM events WHERE id IN ({list}) AND keep_until <= ${place} AND {UNNEEDED}");
        run(conn, over_list(chunk, unneeded).bind(pruning.now.0)).await?;
        if held.is_empty() {
            continue;
        }
        let place = place_after(&held, 1);
        let needed =
            |list: &str| format!("UPDATE events SET keep_until = 0 WHERE id IN ({list}) AND keep_until <= ${place}");
        run(conn, over_list(&held, needed).bind(pruning.now.0)).await?;
    }
    Ok(events.len() as u64)
}

/// The first of those that are past their time.
async fn past(conn: &mut Conn, sql: &'static str, time: i64, limit: u32) -> Result<Vec<String>, Fault> {
    // Of several processes one prunes at a time.
    run_plain(conn, "UPDATE settings SET value = value WHERE name = 'partitions'").await?;
    let rows = sqlx::query(sql).bind(time).bind(i64::from(limit)).fetch_all(conn).await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// In one order, each once.
fn distinct(mut list: Vec<String>) -> Vec<String> {
    list.sort_unstable();
    list.dedup();
    list
}

/// In PostgreSQL no owner of a partition in which these events rest writes from here on until the commit; what one
/// wrote before is seen by the statements behind this one. Returns those of them that rest in such a partition.
async fn hold_partitions(conn: &mut Conn, events: &[String]) -> Result<Vec<String>, Fault> {
    let text = |list: &str| {
        format!(
            "SELECT event, CAST(partition_id AS TEXT) FROM backlog WHERE event IN ({list}) \
             UNION SELECT event, CAST(partition_id AS TEXT) FROM set_aside WHERE event IN ({list}) \
             UNION SELECT event, CAST(partition_id AS TEXT) FROM dead_letters WHERE event IN ({list})"
        )
    };
    let rows = over_list(events, text).fetch_all(&mut *conn).await?;
    let column = |place| rows.iter().map(|row| row.text(place)).collect::<Result<Vec<_>, _>>();
    let (resting, partitions) = (distinct(column(0)?), distinct(column(1)?));
    for chunk in chunks(&partitions) {
        let text = |list: &str| format!("UPDATE partitions SET epoch = epoch WHERE CAST(id AS TEXT) IN ({list})");
        run(conn, over_list(chunk, text)).await?;
    }
    Ok(resting)
}

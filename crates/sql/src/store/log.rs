//! The delivery log, the quarantine, and what is known of all rows together.

use spectrum_webhook_core::attempt::{AttemptRecord, Ended};
use spectrum_webhook_core::ports::{Lease, Pruning, Totals, Unreadable};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::{archive, fence};
use crate::error::Fault;
use crate::sql::{Columns as _, Conn, run, run_plain, run_rows};

pub(super) async fn record(conn: &mut Conn, attempts: Vec<AttemptRecord>) -> Result<(), Fault> {
    let head = "INSERT INTO attempts (event, webhook, project, event_type, sequence, number, started_at, connect_ms, \
                first_byte_ms, total_ms, status, failure, retry_after_ms, address, snippet, resend, \
                next, next_at) VALUES ";
    // Recorded again after an answer that was lost.
    let tail = " ON CONFLICT (event, webhook, started_at, number) DO NOTHING";
    run_rows(conn, (head, 18, tail), &attempts, |statement, attempt| {
        let (status, failure, retry_after) = match attempt.ended {
            Ended::Answered { status, retry_after } => {
                (Some(i64::from(status)), None, retry_after.map(|wait| i64::try_from(wait).unwrap_or(i64::MAX)))
            }
            Ended::Failed(failure) => (None, Some(failure.code()), None),
        };
        statement
            .bind(attempt.key.event.to_string())
            .bind(attempt.key.webhook.to_string())
            .bind(attempt.project.to_string())
            .bind(attempt.event_type.as_str())
            .bind(attempt.sequence.0)
            .bind(i64::from(attempt.number))
            .bind(attempt.started_at.0)
            .bind(attempt.connect_ms.map(i64::from))
            .bind(attempt.first_byte_ms.map(i64::from))
            .bind(i64::from(attempt.total_ms))
            .bind(status)
            .bind(failure)
            .bind(retry_after)
            .bind(attempt.address.map(|address| address.to_string()))
            .bind(without_zeros(&attempt.snippet))
            .bind(attempt.resend.map(|id| id.to_string()))
            .bind(attempt.next.code())
            .bind(attempt.next.at().map(|at| at.0))
    })
    .await?;
    Ok(())
}

/// PostgreSQL's texts cannot hold a zero byte; what comes from outside can.
pub(super) fn without_zeros(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(super) async fn quarantine(conn: &mut Conn, lease: Lease, message: Unreadable, at: Millis) -> Result<(), Fault> {
    fence(conn, &lease, 0).await?;
    let sql = "INSERT INTO quarantine (id, partition_id, bytes, detail, quarantined_at) VALUES ($1, $2, $3, $4, $5)";
    let statement = sqlx::query(sql)
        .bind(Uuid::now_v7().to_string())
        .bind(i64::from(lease.partition.0))
        .bind(message.bytes)
        .bind(without_zeros(&message.detail))
        .bind(at.0);
    run(conn, statement).await?;
    Ok(())
}

pub(super) async fn prune(conn: &mut Conn, pruning: Pruning, embedded: bool) -> Result<bool, Fault> {
    let limit = i64::from(pruning.limit);
    let attempts = "DELETE FROM attempts WHERE (event, webhook, started_at, number) IN (SELECT event, webhook, \
                    started_at, number FROM attempts WHERE started_at < $1 ORDER BY started_at LIMIT $2)";
    let mut most = run(conn, sqlx::query(attempts).bind(pruning.attempts_before.0).bind(limit)).await?;
    let steerings = "DELETE FROM steerings WHERE id IN (SELECT id FROM steerings \
                     WHERE done_at IS NOT NULL AND asked_at < $1 ORDER BY asked_at LIMIT $2)";
    most = most.max(run(conn, sqlx::query(steerings).bind(pruning.attempts_before.0).bind(limit)).await?);
    let outages = "DELETE FROM outages WHERE (webhook, since) IN (SELECT webhook, since FROM outages \
                   WHERE until IS NOT NULL AND since < $1 ORDER BY since LIMIT $2)";
    most = most.max(run(conn, sqlx::query(outages).bind(pruning.attempts_before.0).bind(limit)).await?);
    most = most.max(archive::prune(conn, &pruning).await?);
    if !embedded {
        return Ok(most >= u64::from(pruning.limit));
    }
    let records = "DELETE FROM idempotency WHERE (project, key) IN (SELECT project, key FROM idempotency \
                   WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
    let records = run(conn, sqlx::query(records).bind(pruning.now.0).bind(limit)).await?;
    // Marks of events that were acknowledged while the mark was on its way. There are never many marks.
    let marks = "DELETE FROM done WHERE NOT EXISTS (SELECT 1 FROM queue WHERE queue.event = done.event)";
    run_plain(conn, marks).await?;
    Ok(most.max(records) >= u64::from(pruning.limit))
}

pub(super) async fn totals(conn: &mut Conn) -> Result<Totals, Fault> {
    // A lane's rows are in the order of their acceptance, so that the oldest of all is some lane's first.
    let sql = "SELECT (SELECT count(*) FROM backlog), (SELECT count(*) FROM set_aside), \
               letters.open, letters.platform, (SELECT count(*) FROM quarantine), \
               (SELECT min(e.accepted_at) FROM \
                   (SELECT webhook, min(sequence) AS first FROM set_aside GROUP BY webhook) f \
                   JOIN set_aside s ON s.webhook = f.webhook AND s.sequence = f.first \
                   JOIN events e ON e.id = s.event), \
               waits.oldest, waits.flowing FROM \
               (SELECT count(*) AS open, count(CASE WHEN fault = 'platform' THEN 1 END) AS platform \
                FROM dead_letters WHERE closed_at IS NULL) letters, \
               (SELECT min(e.accepted_at) AS oldest, min(CASE WHEN w.disabled_at IS NULL AND w.deleted_at IS NULL \
                    AND coalesce(l.mode, '') <> 'outage' THEN e.accepted_at END) AS flowing FROM \
                   (SELECT webhook, min(sequence) AS first FROM backlog GROUP BY webhook) f \
                   JOIN backlog b ON b.webhook = f.webhook AND b.sequence = f.first \
                   JOIN events e ON e.id = b.event JOIN webhooks w ON w.id = f.webhook \
                   LEFT JOIN lanes l ON l.webhook = f.webhook) waits";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    let oldest = row.maybe_int(5)?.into_iter().chain(row.maybe_int(6)?).min();
    Ok(Totals {
        backlog: row.count(0)?,
        set_aside: row.count(1)?,
        dead_letters: row.count(2)?,
        platform_letters: row.count(3)?,
        quarantine: row.count(4)?,
        oldest: oldest.map(Millis),
        oldest_flowing: row.maybe_int(7)?.map(Millis),
    })
}

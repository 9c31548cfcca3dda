//! Where the deliveries of an event, and of its resends, rest.

use spectrum_webhook_core::delivery::{Closing, DeadReason, Fault as Blame, LastAttempt};
use spectrum_webhook_core::ids::{EventId, ProjectId, Sequence, WebhookId};
use spectrum_webhook_core::ordering::Space;
use spectrum_webhook_core::ports::{Dead, Place};
use spectrum_webhook_core::time::Millis;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conn};

/// Rows of one event that are read at most: more resends than that are not shown.
const MOST: i64 = 10_000;

/// One row: whose, and where.
pub(super) struct Row {
    pub(super) message: EventId,
    pub(super) webhook: WebhookId,
    pub(super) place: Place,
}

/// All rows of an event and its resends, at webhooks of its project. One statement, so that a delivery that moves from
/// table to table meanwhile is seen once.
pub(super) async fn of(conn: &mut Conn, project: ProjectId, event: EventId) -> Result<Vec<Row>, Fault> {
    let of_event = "JOIN events e ON e.id = r.event JOIN webhooks w ON w.id = r.webhook \
                    WHERE (e.id = $1 OR e.original = $1) AND w.project = $2";
    // The first part has every column, so that the others' NULLs have its types.
    let sql = format!(
        "SELECT 'dead', r.event, r.webhook, r.sequence, r.attempts, r.last, r.died_at, r.reason, r.fault, \
         r.closed_at, r.closed_by, r.closed_reason, r.resent_as, 0 FROM dead_letters r {of_event} \
         UNION ALL SELECT 'set_aside', r.event, r.webhook, r.sequence, r.attempts, r.last, r.set_aside_at, NULL, NULL, \
         NULL, NULL, NULL, NULL, 0 FROM set_aside r {of_event} \
         UNION ALL SELECT 'backlog', r.event, r.webhook, r.sequence, r.attempts, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL, NULL, r.space FROM backlog r {of_event} \
         LIMIT $3"
    );
    let statement = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(event.to_string()).bind(project.to_string()).bind(MOST);
    statement.fetch_all(conn).await?.iter().map(row).collect()
}

fn row(row: &AnyRow) -> Result<Row, Fault> {
    let attempts = row.small(4)?;
    let last = || row.maybe_text(5)?.map(|code| known(&code, LastAttempt::from_code)).transpose();
    let place = match row.text(0)?.as_str() {
        "dead" => Place::Dead(dead(row, attempts, last()?)?),
        "set_aside" => Place::SetAside {
            attempts,
            last: last()?.ok_or_else(|| Fault::Corrupt("set aside without an attempt".to_owned()))?,
            at: Millis(row.int(6)?),
        },
        _ => Place::Backlog { sequence: Sequence(row.int(3)?), space: Space(row.int(13)?), attempts },
    };
    Ok(Row { message: EventId(row.uuid(1)?), webhook: WebhookId(row.uuid(2)?), place })
}

fn dead(row: &AnyRow, attempts: u32, last: Option<LastAttempt>) -> Result<Dead, Fault> {
    let closed = match (row.maybe_int(9)?, row.maybe_text(10)?) {
        (Some(at), Some(by)) => Some((Millis(at), known(&by, Closing::from_code)?)),
        _ => None,
    };
    Ok(Dead {
        reason: known(&row.text(7)?, DeadReason::from_code)?,
        fault: known(&row.text(8)?, Blame::from_code)?,
        attempts,
        last,
        died_at: Millis(row.int(6)?),
        closed,
        closed_reason: row.maybe_text(11)?,
        resent_as: row.maybe_uuid(12)?.map(EventId),
    })
}

/// What a stored code stands for.
fn known<T>(code: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
    read(code).ok_or_else(|| Fault::Corrupt(format!("not a code: {code:?}")))
}

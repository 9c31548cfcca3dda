//! What waits before a delivery: counted up to a bound, and the first of it with its newest attempt.

use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::ids::{EventId, Sequence, WebhookId};
use spectrum_webhook_core::ports::{First, Line};
use spectrum_webhook_core::time::Millis;

use super::attempts::{COLUMNS, attempt_of};
use crate::error::Fault;
use crate::sql::{Columns as _, Conn};

/// The rows of a webhook's backlog before a place in it; `None` is its end.
pub(super) async fn before(conn: &mut Conn, webhook: WebhookId, place: Option<Sequence>) -> Result<Line, Fault> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM backlog WHERE webhook = $1 AND sequence < $2 LIMIT $3) AS r";
    let statement = sqlx::query(sql)
        .bind(webhook.to_string())
        .bind(place.map_or(i64::MAX, |place| place.0))
        .bind(i64::try_from(Line::MOST).unwrap_or(i64::MAX));
    let ahead = statement.fetch_one(&mut *conn).await?.count(0)?;
    let first = if ahead > 0 { first(conn, webhook).await? } else { None };
    Ok(Line { ahead, first })
}

async fn first(conn: &mut Conn, webhook: WebhookId) -> Result<Option<First>, Fault> {
    let sql = "SELECT b.event, e.original, e.accepted_at FROM backlog b JOIN events e ON e.id = b.event \
               WHERE b.webhook = $1 ORDER BY b.sequence, b.event LIMIT 1";
    let Some(row) = sqlx::query(sql).bind(webhook.to_string()).fetch_optional(&mut *conn).await? else {
        return Ok(None);
    };
    let message = EventId(row.uuid(0)?);
    let event = row.maybe_uuid(1)?.map_or(message, EventId);
    let newest = newest(conn, webhook, event, message).await?;
    Ok(Some(First { message, accepted_at: Millis(row.int(2)?), newest }))
}

/// The newest attempt of a delivery, by its event and its message.
async fn newest(
    conn: &mut Conn,
    webhook: WebhookId,
    event: EventId,
    message: EventId,
) -> Result<Option<AttemptRecord>, Fault> {
    let resend = if event == message { "a.resend IS NULL" } else { "a.resend = $3" };
    let sql = format!(
        "SELECT {COLUMNS} FROM attempts a WHERE a.event = $1 AND a.webhook = $2 AND {resend} \
         ORDER BY a.started_at DESC, a.number DESC LIMIT 1"
    );
    let mut statement = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(event.to_string()).bind(webhook.to_string());
    if event != message {
        statement = statement.bind(message.to_string());
    }
    statement.fetch_optional(conn).await?.as_ref().map(attempt_of).transpose()
}

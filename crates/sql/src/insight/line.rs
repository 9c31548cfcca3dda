//! What waits before a delivery: counted up to a bound, and the first of it with its newest attempt.

use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::ids::{EventId, Sequence, WebhookId};
use spectrum_webhook_core::ordering::{Ordering, Space};
use spectrum_webhook_core::ports::{First, Line};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;
use sqlx::AssertSqlSafe;

use super::attempts::{COLUMNS, attempt_of};
use crate::error::Fault;
use crate::sql::{Columns as _, Conn};

/// The rows of a webhook's backlog that an event waits for: those before its place; without one it is behind them all.
pub(super) async fn before(
    conn: &mut Conn,
    webhook: &Webhook,
    event: EventId,
    place: Option<(Sequence, Space)>,
) -> Result<Line, Fault> {
    let space = match (webhook.shape.ordering, place) {
        (Ordering::Project, _) => None,
        (Ordering::None, _) => return Ok(Line { ahead: 0, first: None }),
        (Ordering::Space, Some((_, space))) => Some(space),
        (Ordering::Space, None) => match space_of(conn, event).await? {
            Some(space) => Some(space),
            // Its body is not here to tell.
            None => return Ok(Line { ahead: 0, first: None }),
        },
    };
    let of_space = space.map_or_else(String::new, |space| format!("AND b.space = {}", space.0));
    count(conn, webhook.id, &of_space, place.map_or(Sequence(i64::MAX), |(place, _)| place)).await
}

/// All rows of a webhook's backlog.
pub(super) async fn whole(conn: &mut Conn, webhook: WebhookId) -> Result<Line, Fault> {
    count(conn, webhook, "", Sequence(i64::MAX)).await
}

async fn count(conn: &mut Conn, webhook: WebhookId, of_space: &str, before: Sequence) -> Result<Line, Fault> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM backlog b WHERE b.webhook = $1 {of_space} AND b.sequence < $2 LIMIT $3) AS r"
    );
    let statement = sqlx::query(AssertSqlSafe(sql))
        .bind(webhook.to_string())
        .bind(before.0)
        .bind(i64::try_from(Line::MOST).unwrap_or(i64::MAX));
    let ahead = statement.fetch_one(&mut *conn).await?.count(0)?;
    let first = if ahead > 0 { first(conn, webhook, of_space).await? } else { None };
    Ok(Line { ahead, first })
}

async fn space_of(conn: &mut Conn, event: EventId) -> Result<Option<Space>, Fault> {
    let statement = sqlx::query("SELECT body FROM events WHERE id = $1").bind(event.to_string());
    statement.fetch_optional(conn).await?.map(|row| Ok(Space::of(&row.blob(0)?))).transpose()
}

async fn first(conn: &mut Conn, webhook: WebhookId, of_space: &str) -> Result<Option<First>, Fault> {
    let sql = format!(
        "SELECT b.event, e.original, e.accepted_at FROM backlog b JOIN events e ON e.id = b.event \
         WHERE b.webhook = $1 {of_space} ORDER BY b.sequence, b.event LIMIT 1"
    );
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(webhook.to_string());
    let Some(row) = statement.fetch_optional(&mut *conn).await? else {
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
    let mut statement = sqlx::query(AssertSqlSafe(sql)).bind(event.to_string()).bind(webhook.to_string());
    if event != message {
        statement = statement.bind(message.to_string());
    }
    statement.fetch_optional(conn).await?.as_ref().map(attempt_of).transpose()
}

//! What is known of one webhook.

use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::ports::{Line, WebhookFacts};
use spectrum_webhook_core::time::Millis;
use sqlx::AssertSqlSafe;

use super::attempts::{COLUMNS, attempt_of};
use super::{lane, line};
use crate::error::Fault;
use crate::secrets::Keyring;
use crate::sql::{Columns as _, Conn};
use crate::store::{WEBHOOK_COLUMNS, webhook_of};

/// How many of its last attempts are looked at: more than an outage has before its webhook is disabled.
const LOOK_BACK: i64 = 1_000;

pub(super) async fn facts(
    conn: &mut Conn,
    keys: &Keyring,
    project: ProjectId,
    id: WebhookId,
) -> Result<Option<WebhookFacts>, Fault> {
    let sql =
        format!("SELECT {WEBHOOK_COLUMNS} FROM webhooks w WHERE w.id = $1 AND w.project = $2 AND w.deleted_at IS NULL");
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).bind(project.to_string());
    let Some(row) = statement.fetch_optional(&mut *conn).await? else { return Ok(None) };
    let webhook = webhook_of(&row, keys)?;
    let last_failure = newest(conn, id, "(a.status IS NULL OR a.status NOT BETWEEN 200 AND 299)").await?;
    Ok(Some(WebhookFacts {
        webhook,
        lane: lane(conn, id).await?,
        backlog: line::whole(conn, id).await?,
        set_aside: count(conn, id, "set_aside", "1 = 1").await?,
        oldest_aside: oldest_aside(conn, id).await?,
        dead_letters: count(conn, id, "dead_letters", "closed_at IS NULL").await?,
        newest: newest(conn, id, "1 = 1").await?,
        last_success: newest(conn, id, "a.status BETWEEN 200 AND 299").await?.map(|attempt| attempt.started_at),
        last_failure: last_failure.map(|attempt| (attempt.started_at, attempt.ended.last())),
    }))
}

async fn count(conn: &mut Conn, webhook: WebhookId, table: &str, condition: &str) -> Result<u64, Fault> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE webhook = $1 AND {condition} LIMIT {}) AS r",
        Line::MOST
    );
    sqlx::query(AssertSqlSafe(sql)).bind(webhook.to_string()).fetch_one(conn).await?.count(0)
}

/// When the first event set aside was, and when that was accepted.
async fn oldest_aside(conn: &mut Conn, webhook: WebhookId) -> Result<Option<(Millis, Millis)>, Fault> {
    let sql = "SELECT s.set_aside_at, e.accepted_at FROM set_aside s JOIN events e ON e.id = s.event \
               WHERE s.webhook = $1 ORDER BY s.sequence LIMIT 1";
    let row = sqlx::query(sql).bind(webhook.to_string()).fetch_optional(conn).await?;
    row.map(|row| Ok((Millis(row.int(0)?), Millis(row.int(1)?)))).transpose()
}

/// The newest attempt that is so, among the last ones.
async fn newest(conn: &mut Conn, webhook: WebhookId, condition: &str) -> Result<Option<AttemptRecord>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT a.* FROM attempts a WHERE a.webhook = $1 ORDER BY a.started_at DESC \
         LIMIT {LOOK_BACK}) AS a WHERE {condition} ORDER BY a.started_at DESC, a.number DESC LIMIT 1"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).bind(webhook.to_string()).fetch_optional(conn).await?;
    row.as_ref().map(attempt_of).transpose()
}

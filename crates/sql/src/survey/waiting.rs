//! What waits, and which URLs are slow.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::ports::{Line, Pace, Waiting};
use spectrum_webhook_core::time::Millis;
use sqlx::AssertSqlSafe;

use crate::error::Fault;
use crate::sql::{Columns as _, Conn};

/// Webhooks with a backlog that are looked at.
const LOOKED_AT: i64 = 100;
/// Attempts that are looked at.
const ATTEMPTS: i64 = 5_000;

/// From one webhook to the next by the index, each counted up to a bound.
pub(super) async fn largest(conn: &mut Conn, limit: u32) -> Result<Vec<Waiting>, Fault> {
    let sql = format!(
        "WITH RECURSIVE lane (webhook, place) AS (\
             SELECT (SELECT min(b.webhook) FROM backlog b), 1 \
             UNION ALL SELECT (SELECT min(b.webhook) FROM backlog b WHERE b.webhook > lane.webhook), lane.place + 1 \
             FROM lane WHERE lane.webhook IS NOT NULL AND lane.place < {LOOKED_AT}) \
         SELECT w.project, w.id, w.url, \
             (SELECT count(*) FROM (SELECT 1 FROM backlog b WHERE b.webhook = w.id LIMIT {}) AS c), \
             (SELECT e.accepted_at FROM backlog b JOIN events e ON e.id = b.event WHERE b.webhook = w.id \
              ORDER BY b.sequence LIMIT 1) \
         FROM lane JOIN webhooks w ON w.id = lane.webhook ORDER BY 4 DESC, 5, 2 LIMIT $1",
        Line::MOST
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(i64::from(limit)).fetch_all(conn).await?;
    let waiting = |row: &sqlx::any::AnyRow| {
        Ok(Waiting {
            project: ProjectId(row.uuid(0)?),
            webhook: WebhookId(row.uuid(1)?),
            url: row.text(2)?,
            backlog: row.count(3)?,
            oldest: row.maybe_int(4)?.map(Millis),
        })
    };
    rows.iter().map(waiting).collect()
}

pub(super) async fn paces(conn: &mut Conn, since: Millis) -> Result<Vec<Pace>, Fault> {
    let sql = format!(
        "SELECT w.project, w.id, w.url, a.total_ms FROM (SELECT a.webhook, a.total_ms FROM attempts a \
         WHERE a.started_at >= $1 ORDER BY a.started_at DESC LIMIT {ATTEMPTS}) AS a JOIN webhooks w ON w.id = a.webhook"
    );
    let mut paces: HashMap<WebhookId, Pace> = HashMap::new();
    for row in sqlx::query(AssertSqlSafe(sql)).bind(since.0).fetch_all(conn).await? {
        let webhook = WebhookId(row.uuid(1)?);
        let pace = match paces.entry(webhook) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let project = ProjectId(row.uuid(0)?);
                new.insert(Pace { project, webhook, url: row.text(2)?, took: Vec::new() })
            }
        };
        pace.took.push(row.small(3)?);
    }
    Ok(paces.into_values().collect())
}

//! Reading the backlog, and looking deliveries up.

use std::collections::HashSet;

use bytes::Bytes;
use futures::TryStreamExt as _;
use spectrum_webhook_core::delivery::{DeliveryKey, Directed, HeldDelivery, Message, Purpose};
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use spectrum_webhook_core::ports::Backlog;
use spectrum_webhook_core::time::Millis;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conn, chunks, over_list};

/// Row by row, so that no more bodies are in memory than were asked for.
pub(super) async fn backlog(conn: &mut Conn, webhook: WebhookId, rows: u32, bytes: usize) -> Result<Backlog, Fault> {
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS}, b.sequence, b.attempts, b.sent FROM backlog b JOIN events e ON e.id = b.event \
         WHERE b.webhook = $1 ORDER BY b.sequence, b.event LIMIT $2"
    );
    let rows = rows.max(1);
    let mut stream = sqlx::query(AssertSqlSafe(sql)).bind(webhook.to_string()).bind(i64::from(rows) + 1).fetch(conn);
    let mut deliveries = Vec::new();
    let mut size = 0;
    while let Some(row) = stream.try_next().await? {
        if deliveries.len() >= rows as usize || (size >= bytes && !deliveries.is_empty()) {
            return Ok(Backlog { deliveries, more: true });
        }
        let message = message(&row)?;
        size += message.body.len();
        deliveries.push(HeldDelivery {
            sequence: Sequence(row.int(9)?),
            attempts: row.small(10)?,
            sent: row.flag(11)?,
            message,
        });
    }
    Ok(Backlog { deliveries, more: false })
}

/// The columns that [`message`] reads, of `events e`.
pub(crate) const MESSAGE_COLUMNS: &str = "e.id, e.project, e.event_type, e.accepted_at, e.registry, e.traceparent, \
                                          e.only_webhook, e.original, e.body";

/// A message from [`MESSAGE_COLUMNS`], which stand first.
pub(crate) fn message(row: &AnyRow) -> Result<Message, Fault> {
    let id = EventId(row.uuid(0)?);
    let purpose = match (row.maybe_uuid(6)?, row.maybe_uuid(7)?) {
        (None, _) => Purpose::Event,
        (Some(webhook), original) => {
            Purpose::Directed(Directed { webhook: WebhookId(webhook), event: original.map_or(id, EventId) })
        }
    };
    Ok(Message {
        id,
        project: ProjectId(row.uuid(1)?),
        event_type: row.text(2)?,
        accepted_at: Millis(row.int(3)?),
        registry: RegistryVersion(row.int(4)?),
        traceparent: row.maybe_text(5)?,
        purpose,
        body: Bytes::from(row.blob(8)?),
    })
}

pub(super) async fn find(conn: &mut Conn, keys: Vec<DeliveryKey>) -> Result<Vec<DeliveryKey>, Fault> {
    let mut events: Vec<String> = keys.iter().map(|key| key.event.to_string()).collect();
    events.sort_unstable();
    events.dedup();
    let mut found = HashSet::new();
    for chunk in chunks(&events) {
        let statement = over_list(chunk, |list| {
            format!(
                "SELECT event, webhook FROM backlog WHERE event IN ({list}) \
                 UNION ALL SELECT event, webhook FROM set_aside WHERE event IN ({list}) \
                 UNION ALL SELECT event, webhook FROM dead_letters WHERE event IN ({list}) \
                 UNION ALL SELECT id, webhook FROM steerings WHERE id IN ({list}) AND done_at IS NOT NULL"
            )
        });
        for row in statement.fetch_all(&mut *conn).await? {
            found.insert(DeliveryKey { event: EventId(row.uuid(0)?), webhook: WebhookId(row.uuid(1)?) });
        }
    }
    Ok(keys.into_iter().filter(|key| found.contains(key)).collect())
}

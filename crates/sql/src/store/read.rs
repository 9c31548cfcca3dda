//! Reading the backlog, and looking deliveries up.

use std::collections::HashSet;

use bytes::Bytes;
use futures::TryStreamExt as _;
use spectrum_webhook_core::delivery::{DeliveryKey, Directed, HeldDelivery, Message, Purpose};
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use spectrum_webhook_core::ordering::{OrderKey, Ordering, Reading, Space};
use spectrum_webhook_core::ports::Backlog;
use spectrum_webhook_core::time::Millis;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conn, chunks, over_list};

/// Row by row, so that no more bodies are in memory than were asked for.
pub(super) async fn backlog(
    conn: &mut Conn,
    webhook: WebhookId,
    reading: Reading,
    bytes: usize,
) -> Result<Backlog, Fault> {
    let mut batch = Batch { webhook, bytes, size: 0, deliveries: Vec::new() };
    let limit = reading.rows.max(1) as usize;
    let more = match reading.ordering {
        Ordering::Project => batch.read(conn, "", &[], limit).await?,
        Ordering::None => {
            let after = reading.after.map_or(i64::MIN, |after| after.0);
            let up_to = reading.up_to.map_or(i64::MAX, |up_to| up_to.0);
            let except: Vec<String> = reading.except.iter().map(|key| key.0.to_string()).collect();
            let except = except.join(", ");
            let left_out = if except.is_empty() { String::new() } else { format!("AND b.sequence NOT IN ({except})") };
            let filter = format!("AND b.sequence > $3 AND b.sequence <= $4 {left_out}");
            batch.read(conn, &filter, &[after, up_to], limit).await?
        }
        Ordering::Space => {
            let (spaces, mut more) = spaces(conn, webhook, &reading).await?;
            for space in spaces {
                let room = limit.saturating_sub(batch.deliveries.len());
                if room == 0 || batch.is_full() {
                    more = true;
                    break;
                }
                let rows = room.min(Reading::OF_A_SPACE as usize);
                let before = batch.deliveries.len();
                let cut = batch.read(conn, "AND b.space = $3", &[space], rows).await?;
                // Of a space that is not read as far as it may be at once, the rest comes next.
                more |= cut && batch.deliveries.len() - before < Reading::OF_A_SPACE as usize;
            }
            more && !batch.deliveries.is_empty()
        }
    };
    Ok(Backlog { deliveries: batch.deliveries, more })
}

/// What is being read.
struct Batch {
    webhook: WebhookId,
    bytes: usize,
    size: usize,
    deliveries: Vec<HeldDelivery>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.size >= self.bytes && !self.deliveries.is_empty()
    }

    /// Reads the lowest rows that pass a filter, at most so many; returns whether there are more of them.
    async fn read(&mut self, conn: &mut Conn, filter: &str, of: &[i64], limit: usize) -> Result<bool, Fault> {
        let sql = format!(
            "SELECT {MESSAGE_COLUMNS}, b.sequence, b.attempts, b.sent, b.space \
             FROM backlog b JOIN events e ON e.id = b.event \
             WHERE b.webhook = $1 {filter} ORDER BY b.sequence, b.event LIMIT $2"
        );
        let mut statement = sqlx::query(AssertSqlSafe(sql)).bind(self.webhook.to_string());
        statement = statement.bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        for value in of {
            statement = statement.bind(*value);
        }
        let mut rows = statement.fetch(conn);
        let mut read = 0;
        while let Some(row) = rows.try_next().await? {
            if read >= limit || self.is_full() {
                return Ok(true);
            }
            let message = message(&row)?;
            self.size += message.body.len();
            read += 1;
            self.deliveries.push(HeldDelivery {
                sequence: Sequence(row.int(9)?),
                attempts: row.small(10)?,
                sent: row.flag(11)?,
                space: Space(row.int(12)?),
                message,
            });
        }
        Ok(false)
    }
}

/// The spaces with rows that are asked for, lowest first, and whether there may be more. Each step of the recursion is
/// one look into the index, however many rows a space has; those that are left out cost a step too.
async fn spaces(conn: &mut Conn, webhook: WebhookId, reading: &Reading) -> Result<(Vec<i64>, bool), Fault> {
    let sql = "WITH RECURSIVE spaces (space, n) AS ( \
                   SELECT (SELECT min(space) FROM backlog WHERE webhook = $1 AND space > $2 AND space <= $3), 1 \
                   UNION ALL \
                   SELECT (SELECT min(b.space) FROM backlog b \
                           WHERE b.webhook = $1 AND b.space > s.space AND b.space <= $3), s.n + 1 \
                   FROM spaces s WHERE s.space IS NOT NULL AND s.n < $4) \
               SELECT space FROM spaces WHERE space IS NOT NULL ORDER BY space";
    let most = reading.except.len() + reading.rows.max(1) as usize;
    let statement = sqlx::query(sql)
        .bind(webhook.to_string())
        // No hash is negative.
        .bind(reading.after.map_or(-1, |after| after.0))
        .bind(reading.up_to.map_or(i64::MAX, |up_to| up_to.0))
        .bind(i64::try_from(most).unwrap_or(i64::MAX));
    let rows = statement.fetch_all(conn).await?;
    let more = rows.len() >= most;
    let spaces = rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
    Ok((spaces.into_iter().filter(|space| !reading.except.contains(&OrderKey(*space))).collect(), more))
}

/// The message of one delivery in the backlog.
pub(super) async fn held_message(conn: &mut Conn, key: DeliveryKey) -> Result<Option<Message>, Fault> {
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS} FROM backlog b JOIN events e ON e.id = b.event WHERE b.event = $1 AND b.webhook = $2"
    );
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(key.event.to_string()).bind(key.webhook.to_string());
    statement.fetch_optional(conn).await?.as_ref().map(message).transpose()
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

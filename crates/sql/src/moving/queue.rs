//! What the embedded queue holds for the target's: messages in their order, the marks of deliveries that are settled
//! already, and the records by which repeated posts are recognised.

use spectrum_webhook_core::delivery::{DeliveryKey, Message};
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::{IdempotencyKey, Unreadable};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::journal::{Journal, Stage};
use super::{Move, MoveError};
use crate::embedded::queue_rows;
use crate::error::Fault;
use crate::sql::{Columns as _, Conn, run};

/// Messages of one piece.
const MESSAGES: usize = 256;
/// Bytes of bodies after which a piece ends.
const BYTES: usize = 4 << 20;
/// Marks, or records, of one piece.
const PIECE: i64 = 1_000;

/// A piece of the queue, in its order.
#[derive(Debug, Default)]
pub struct Queued {
    /// The messages, each with the target's partition.
    pub messages: Vec<(PartitionId, Message)>,
    unreadable: Vec<Unreadable>,
    position: i64,
}

impl Queued {
    /// Whether the queue has nothing more.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.unreadable.is_empty()
    }
}

/// A post that is recognised when it is repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The target's partition.
    pub partition: PartitionId,
    /// Who posted it.
    pub project: ProjectId,
    /// The event that it became.
    pub event: EventId,
    /// What it is recognised by.
    pub key: IdempotencyKey,
}

impl Move {
    /// The next messages that the target's queue does not have; all of them that were published before a kill come again.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub async fn next_queued(&self) -> Result<Queued, MoveError> {
        let Stage::Queue { position } = self.journal.stage else { return Ok(Queued::default()) };
        if !self.source.is_embedded() {
            return Ok(Queued::default());
        }
        let rows =
            self.source.read(move |conn| Box::pin(queue_rows::read_all(conn, position, MESSAGES, BYTES))).await?;
        let mut queued = Queued { position, ..Queued::default() };
        for row in rows {
            queued.position = row.position;
            match row.message {
                Ok(message) => {
                    let partition = PartitionId::of(message.project, self.passage.partitions);
                    queued.messages.push((partition, message));
                }
                Err(unreadable) => queued.unreadable.push(*unreadable),
            }
        }
        Ok(queued)
    }

    /// The target's queue has the messages of this piece now, so many; what cannot be read goes to quarantine.
    ///
    /// # Errors
    /// When the target fails: the same messages come again.
    pub async fn passed(&mut self, queued: Queued, published: u64, now: Millis) -> Result<(), MoveError> {
        let next = Journal {
            stage: Stage::Queue { position: queued.position },
            queued: self.journal.queued + published,
            unreadable: self.journal.unreadable + queued.unreadable.len() as u64,
            ..self.journal.clone()
        };
        self.advance(next, move |conn| {
            Box::pin(async move {
                for message in &queued.unreadable {
                    quarantine(conn, message, now).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// How many messages the source's queue has.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub async fn in_queue(source: &crate::Database) -> Result<u64, MoveError> {
        if !source.is_embedded() {
            return Ok(0);
        }
        const COUNT: &str = "SELECT count(*) FROM queue";
        let read = source.read(|conn| Box::pin(async { sqlx::query(COUNT).fetch_one(conn).await?.count(0) })).await;
        Ok(read?)
    }

    /// Deliveries that are settled although their event is still in the queue, with the target's partition, behind one of
    /// them.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub async fn settled(&self, after: Option<DeliveryKey>) -> Result<Vec<(PartitionId, DeliveryKey)>, MoveError> {
        if !self.source.is_embedded() {
            return Ok(Vec::new());
        }
        let partitions = self.passage.partitions;
        Ok(self.source.read(move |conn| Box::pin(marks(conn, after, partitions))).await?)
    }

    /// What repeated posts are recognised by and has not expired, behind one of them.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub async fn records(&self, after: Option<&Record>, now: Millis) -> Result<Vec<Record>, MoveError> {
        if !self.source.is_embedded() {
            return Ok(Vec::new());
        }
        let after = after.map(|record| (record.project.to_string(), record.key.key.to_vec()));
        let partitions = self.passage.partitions;
        Ok(self.source.read(move |conn| Box::pin(records(conn, after, now, partitions))).await?)
    }
}

async fn quarantine(conn: &mut Conn, message: &Unreadable, now: Millis) -> Result<(), Fault> {
    // Which partition it was in tells nothing of where its project is now.
    let sql = "INSERT INTO quarantine (id, partition_id, bytes, detail, quarantined_at) VALUES ($1, 0, $2, $3, $4)";
    let detail = message.detail.replace('\0', "\u{fffd}");
    let statement =
        sqlx::query(sql).bind(Uuid::now_v7().to_string()).bind(message.bytes.clone()).bind(detail).bind(now.0);
    run(conn, statement).await?;
    Ok(())
}

async fn marks(
    conn: &mut Conn,
    after: Option<DeliveryKey>,
    partitions: u16,
) -> Result<Vec<(PartitionId, DeliveryKey)>, Fault> {
    let sql = "SELECT d.event, d.webhook, w.project FROM done d JOIN webhooks w ON w.id = d.webhook \
               WHERE (d.event, d.webhook) > ($1, $2) ORDER BY d.event, d.webhook LIMIT $3";
    let (event, webhook) = after.map_or_else(Default::default, |key| (key.event.to_string(), key.webhook.to_string()));
    let rows = sqlx::query(sql).bind(event).bind(webhook).bind(PIECE).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let key = DeliveryKey { event: EventId(row.uuid(0)?), webhook: WebhookId(row.uuid(1)?) };
            Ok((PartitionId::of(ProjectId(row.uuid(2)?), partitions), key))
        })
        .collect()
}

async fn records(
    conn: &mut Conn,
    after: Option<(String, Vec<u8>)>,
    now: Millis,
    partitions: u16,
) -> Result<Vec<Record>, Fault> {
    let sql = "SELECT project, key, event, body, expires_at FROM idempotency \
               WHERE (project, key) > ($1, $2) AND expires_at > $3 ORDER BY project, key LIMIT $4";
    let (project, key) = after.unwrap_or_default();
    let rows = sqlx::query(sql).bind(project).bind(key).bind(now.0).bind(PIECE).fetch_all(conn).await?;
    let digest = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes);
    rows.iter()
        .map(|row| {
            let corrupt = |_| Fault::Corrupt("an idempotency record".to_owned());
            let project = ProjectId(row.uuid(0)?);
            let key = IdempotencyKey {
                key: digest(row.blob(1)?).map_err(corrupt)?,
                body: digest(row.blob(3)?).map_err(corrupt)?,
                expires_at: Millis(row.int(4)?),
            };
            let partition = PartitionId::of(project, partitions);
            Ok(Record { partition, project, event: EventId(row.uuid(2)?), key })
        })
        .collect()
}

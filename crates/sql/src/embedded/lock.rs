//! The sequence lock of the embedded mode. Marks live beside the queue, and go with the event's row.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::ids::{Epoch, EventId, OwnerId, PartitionId, WebhookId};
use spectrum_webhook_core::ports::{Lease, Mark, PortError, SequenceLock};

use super::leases::Leases;
use crate::database::Database;
use crate::error::Fault;
use crate::folder_lock::FolderLock;
use crate::sql::{Columns as _, Conn};

const PORT: &str = "sequence lock";

/// The sequence lock over the leases of this process, which the folder's lock makes the only one.
pub struct EmbeddedLock {
    database: Database,
    leases: Arc<Leases>,
    folder: Mutex<Option<FolderLock>>,
}

impl EmbeddedLock {
    /// The lock over a folder that this process has for itself.
    pub fn new(database: Database, folder: FolderLock) -> Self {
        Self { database, leases: Arc::new(Leases::new()), folder: Mutex::new(Some(folder)) }
    }

    pub(super) fn leases(&self) -> Arc<Leases> {
        Arc::clone(&self.leases)
    }

    pub(super) fn release_folder(&self) {
        drop(self.folder.lock().take());
    }

    fn check(&self, lease: &Lease, operation: &'static str) -> Result<(), PortError> {
        if self.leases.is_held(lease) { Ok(()) } else { Err(Fault::Fenced.at(PORT, operation)) }
    }
}

#[async_trait]
impl SequenceLock for EmbeddedLock {
    async fn acquire(&self, partition: PartitionId, owner: OwnerId, floor: Epoch) -> Result<Option<Lease>, PortError> {
        if self.folder.lock().is_none() {
            return Err(Fault::closed().at(PORT, "acquire"));
        }
        Ok(self.leases.acquire(partition, owner, floor))
    }

    async fn renew(&self, lease: &Lease) -> Result<bool, PortError> {
        Ok(self.leases.is_held(lease))
    }

    async fn release(&self, lease: &Lease) -> Result<(), PortError> {
        self.leases.release(lease);
        Ok(())
    }

    async fn settle(&self, lease: &Lease, marks: &[Mark]) -> Result<(), PortError> {
        self.check(lease, "settle")?;
        // The event of a last one is acknowledged next: it needs no mark.
        let pairs: Vec<[String; 2]> = marks
            .iter()
            .filter(|mark| !mark.last)
            .map(|mark| [mark.key.event.to_string(), mark.key.webhook.to_string()])
            .collect();
        if pairs.is_empty() {
            return Ok(());
        }
        let done = self.database.write_directly(move |conn| mark(conn, &pairs)).await;
        done.map_err(|fault| fault.at(PORT, "settle"))
    }

    async fn look_up(&self, lease: &Lease, keys: &[DeliveryKey]) -> Result<Vec<DeliveryKey>, PortError> {
        self.check(lease, "look up")?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let events: HashSet<String> = keys.iter().map(|key| key.event.to_string()).collect();
        let list = serde_json::json!(events).to_string();
        let marked = self.database.read(move |conn| Box::pin(marked(conn, list))).await;
        let marked = marked.map_err(|fault| fault.at(PORT, "look up"))?;
        Ok(keys.iter().filter(|key| marked.contains(key)).copied().collect())
    }

    async fn heartbeat(&self, _owner: OwnerId) -> Result<usize, PortError> {
        Ok(1)
    }

    async fn leave(&self, _owner: OwnerId) -> Result<(), PortError> {
        Ok(())
    }
}

/// A mark of an event that is no longer in the queue would stay for ever, so it is not made.
fn mark(conn: &rusqlite::Connection, pairs: &[[String; 2]]) -> Result<(), Fault> {
    let sql = "INSERT INTO done (event, webhook) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM queue WHERE event = ?1) \
               ON CONFLICT (event, webhook) DO NOTHING";
    let mut mark = conn.prepare_cached(sql)?;
    for pair in pairs {
        mark.execute([&pair[0], &pair[1]])?;
    }
    Ok(())
}

async fn marked(conn: &mut Conn, events: String) -> Result<HashSet<DeliveryKey>, Fault> {
    let sql = "SELECT event, webhook FROM done WHERE event IN (SELECT value FROM json_each($1))";
    let rows = sqlx::query(sql).bind(events).fetch_all(conn).await?;
    rows.iter().map(|row| Ok(DeliveryKey { event: EventId(row.uuid(0)?), webhook: WebhookId(row.uuid(1)?) })).collect()
}

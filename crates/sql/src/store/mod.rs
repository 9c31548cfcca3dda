//! The store: what rests on its way, and the delivery log.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `commit` | an owner's changes, fenced |
//! | `archive` | events that are kept for a while, and bodies that nothing needs any more |
//! | `takeover` | what a new owner finds |
//! | `read` | backlog and look-ups |
//! | `registry` | webhooks with their keys |
//! | `steer` | what people want of a lane, done to its rows |
//! | `notes` | notices of what an owner's changes do |
//! | `direct` | the rows of each attempt and event, as SQLite gets them |
//! | `log` | attempts, quarantine, pruning, totals |

mod archive;
mod commit;
mod direct;
mod log;
mod notes;
mod read;
mod registry;
mod steer;
mod takeover;

use async_trait::async_trait;
use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::delivery::{DeliveryKey, Message};
use spectrum_webhook_core::ids::{Epoch, PartitionId, ProjectId, WebhookId};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::ports::{
    Archived, Backlog, Change, Committed, Lease, PortError, Pruning, Store, Takeover, Totals, Unreadable,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Registry;

use crate::database::Database;
use crate::error::Fault;
use crate::sql::{Conn, run};

pub(crate) use read::{MESSAGE_COLUMNS, message};
pub(crate) use registry::{WEBHOOK_COLUMNS, webhook_of};
pub(crate) use takeover::{LANE_COLUMNS, lane_record_of};

const PORT: &str = "store";

/// The store and the directory, in SQL.
#[derive(Clone)]
pub struct SqlStore {
    pub(crate) database: Database,
}

impl SqlStore {
    /// The store in an open database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// To be called once of each store that was restored from a backup, before it is served: sequence numbers that were
    /// given since the backup are not given again. Whoever owns a partition all the same is fenced, and takes it over anew.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn restored(&self, partitions: u16) -> Result<(), PortError> {
        let done = self.database.write(move |conn| Box::pin(takeover::raise_epochs(conn, partitions))).await;
        done.map_err(|fault| fault.at(PORT, "raise epochs"))
    }
}

/// The first statement of whatever an owner writes: it touches one row, or the owner is fenced. In PostgreSQL it also
/// locks the row until the commit, so that nothing of an old owner is committed after a takeover has read.
async fn fence(conn: &mut Conn, lease: &Lease, highest: i64) -> Result<(), Fault> {
    let sql = "UPDATE partitions SET epoch = epoch, highest = CASE WHEN highest < $3 THEN $3 ELSE highest END \
               WHERE id = $1 AND epoch = $2";
    let statement = sqlx::query(sql).bind(i64::from(lease.partition.0)).bind(lease.epoch.0).bind(highest);
    if run(conn, statement).await? == 1 { Ok(()) } else { Err(Fault::Fenced) }
}

#[async_trait]
impl Store for SqlStore {
    async fn epoch(&self, partition: PartitionId) -> Result<Epoch, PortError> {
        let read = self.database.read(move |conn| Box::pin(takeover::epoch(conn, partition))).await;
        read.map_err(|fault| fault.at(PORT, "read an epoch"))
    }

    async fn take_over(&self, lease: &Lease) -> Result<Takeover, PortError> {
        let lease = *lease;
        let taken = self.database.write(move |conn| Box::pin(takeover::take_over(conn, lease))).await;
        taken.map_err(|fault| fault.at(PORT, "take over"))
    }

    async fn commit(&self, lease: &Lease, changes: &[Change]) -> Result<Committed, PortError> {
        let (lease, changes) = (*lease, changes.to_vec());
        let done = self.database.write(move |conn| Box::pin(commit::commit(conn, lease, changes))).await;
        done.map_err(|fault| fault.at(PORT, "commit"))
    }

    async fn read_backlog(&self, webhook: WebhookId, reading: &Reading, bytes: usize) -> Result<Backlog, PortError> {
        let reading = reading.clone();
        let read = self.database.read(move |conn| Box::pin(read::backlog(conn, webhook, reading, bytes))).await;
        read.map_err(|fault| fault.at(PORT, "read a backlog"))
    }

    async fn read_message(&self, key: DeliveryKey) -> Result<Option<Message>, PortError> {
        let read = self.database.read(move |conn| Box::pin(read::held_message(conn, key))).await;
        read.map_err(|fault| fault.at(PORT, "read a message"))
    }

    async fn find(&self, keys: &[DeliveryKey]) -> Result<Vec<DeliveryKey>, PortError> {
        let found = self.database.read(|conn| Box::pin(read::find(conn, keys.to_vec()))).await;
        found.map_err(|fault| fault.at(PORT, "find deliveries"))
    }

    async fn registry(&self, project: ProjectId) -> Result<Registry, PortError> {
        let keys = self.database.keys().clone();
        let read = self.database.read(move |conn| Box::pin(registry::registry(conn, keys, project))).await;
        read.map_err(|fault| fault.at(PORT, "read a registry"))
    }

    async fn record(&self, attempts: &[AttemptRecord]) -> Result<(), PortError> {
        if attempts.is_empty() {
            return Ok(());
        }
        let done = if self.database.is_embedded() {
            direct::record(&self.database, attempts).await
        } else {
            let attempts = attempts.to_vec();
            self.database.write_plainly(move |conn| Box::pin(log::record(conn, attempts))).await
        };
        done.map_err(|fault| fault.at(PORT, "record attempts"))
    }

    async fn archive(&self, events: &[Archived]) -> Result<(), PortError> {
        let done = if self.database.is_embedded() {
            direct::keep(&self.database, events).await
        } else {
            let events = events.to_vec();
            self.database.write_plainly(move |conn| Box::pin(archive::keep(conn, events))).await
        };
        done.map_err(|fault| fault.at(PORT, "archive events"))
    }

    async fn quarantine(&self, lease: &Lease, message: &Unreadable, at: Millis) -> Result<(), PortError> {
        let (lease, message) = (*lease, message.clone());
        let done = self.database.write(move |conn| Box::pin(log::quarantine(conn, lease, message, at))).await;
        done.map_err(|fault| fault.at(PORT, "quarantine a message"))
    }

    async fn prune(&self, pruning: Pruning) -> Result<bool, PortError> {
        let embedded = self.database.is_embedded();
        let done = self.database.write(move |conn| Box::pin(log::prune(conn, pruning, embedded))).await;
        done.map_err(|fault| fault.at(PORT, "prune"))
    }

    async fn totals(&self) -> Result<Totals, PortError> {
        let read = self.database.read(|conn| Box::pin(log::totals(conn))).await;
        read.map_err(|fault| fault.at(PORT, "count"))
    }
}

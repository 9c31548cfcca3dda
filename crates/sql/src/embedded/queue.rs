//! The embedded queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use parking_lot::Mutex;
use spectrum_webhook_core::ids::PartitionId;
use spectrum_webhook_core::ports::{Lease, PortError, Publication, Queue, Subscription};
use tokio::sync::{oneshot, watch};

use super::fresh::Fresh;
use super::queue_rows;
use super::subscription::EmbeddedSubscription;
use crate::database::{Database, Insert};
use crate::error::Fault;

pub(super) const PORT: &str = "queue";

/// The queue of every partition, in the SQLite file. A partition has one consumer at a time: a second subscription
/// gets nothing until the first one ends.
pub struct EmbeddedQueue {
    database: Database,
    partitions: Mutex<HashMap<PartitionId, Arc<Partition>>>,
    /// The newest position when this process opened the file: what is not beyond it may have been taken before.
    opened_at: i64,
    subscriptions: AtomicU64,
}

/// What is known of a partition's queue beside its rows.
pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) signal: watch::Sender<Signal>,
    pub(super) consumer: Mutex<Consumer>,
    pub(super) fresh: Mutex<Fresh>,
}

/// What consumers wait for.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Signal {
    /// Messages published by this process.
    pub(super) published: u64,
    /// Anything else that may let a consumer go on: room, or the end of another subscription.
    pub(super) other: u64,
}

pub(super) struct Consumer {
    /// The subscription that consumes.
    pub(super) active: Option<u64>,
    /// The newest position that any subscription has taken.
    pub(super) taken: i64,
}

impl EmbeddedQueue {
    pub(super) async fn new(database: Database) -> Result<Self, Fault> {
        let opened_at = database.read(|conn| Box::pin(queue_rows::newest(conn))).await?;
        Ok(Self { database, partitions: Mutex::default(), opened_at, subscriptions: AtomicU64::new(1) })
    }

    fn partition(&self, id: PartitionId) -> Arc<Partition> {
        let make = || {
            let consumer = Consumer { active: None, taken: self.opened_at };
            let signal = watch::Sender::new(Signal::default());
            let fresh = Mutex::new(Fresh::behind(self.opened_at));
            Arc::new(Partition { id, signal, consumer: Mutex::new(consumer), fresh })
        };
        Arc::clone(self.partitions.lock().entry(id).or_insert_with(make))
    }
}

type Committed = oneshot::Receiver<Result<(), Fault>>;

impl EmbeddedQueue {
    /// Hands a message to the next transaction. What is handed over later is not before it.
    async fn insert(&self, partition: PartitionId, publication: Publication) -> Result<Committed, Fault> {
        let target = self.partition(partition);
        let (reply, committed) = oneshot::channel();
        let answer = Box::new(move |outcome: Result<(i64, Publication), Fault>| {
            // Also when the publisher has gone: its message is there.
            let outcome = outcome.map(|(position, publication)| {
                target.fresh.lock().push(position, publication);
                target.signal.send_modify(|signal| signal.published += 1);
            });
            let _ = reply.send(outcome);
        });
        self.database.insert(Insert { partition, publication, answer }).await?;
        Ok(committed)
    }
}

async fn outcome(inserted: Result<Committed, Fault>) -> Result<(), PortError> {
    let done = match inserted {
        Ok(committed) => committed.await.unwrap_or_else(|_| Err(Fault::closed())),
        Err(fault) => Err(fault),
    };
    done.map_err(|fault| fault.at(PORT, "publish"))
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn publish(&self, partition: PartitionId, publication: Publication) -> Result<(), PortError> {
        outcome(self.insert(partition, publication).await).await
    }

    async fn publish_all(&self, partition: PartitionId, publications: Vec<Publication>) -> Vec<Result<(), PortError>> {
        let mut inserted = Vec::with_capacity(publications.len());
        for publication in publications {
            inserted.push(self.insert(partition, publication).await);
        }
        join_all(inserted.into_iter().map(outcome)).await
    }

    async fn subscribe(&self, lease: &Lease, prefetch: usize) -> Result<Box<dyn Subscription>, PortError> {
        let id = self.subscriptions.fetch_add(1, Ordering::Relaxed);
        let partition = self.partition(lease.partition);
        Ok(Box::new(EmbeddedSubscription::new(self.database.clone(), partition, id, prefetch)))
    }

    async fn check(&self) -> Result<(), PortError> {
        self.database.check().await.map_err(|fault| fault.at(PORT, "check"))
    }
}

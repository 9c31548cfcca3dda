//! One consumer of a partition of the embedded queue: a cursor over its rows, and what is not acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use spectrum_webhook_core::ports::{Acks, PortError, Subscription, Tag, Taken};
use tokio::sync::{oneshot, watch};

use super::queue::{PORT, Partition, Signal};
use super::queue_rows::{self, QueueRow, Range};
use crate::database::{Database, Delete};
use crate::error::Fault;

/// A subscription. It consumes from the moment that no other one of the partition does.
pub(super) struct EmbeddedSubscription {
    shared: Arc<Shared>,
    signals: watch::Receiver<Signal>,
    prefetch: usize,
    /// The position of the last row taken.
    cursor: i64,
    /// Rows up to this position may have been taken by an earlier subscription.
    redelivered_up_to: i64,
    /// There may be rows behind the cursor, whatever was published since.
    more: bool,
    /// The messages published when the queue was read last.
    seen: u64,
}

/// What the acknowledging side shares with the taking one.
struct Shared {
    id: u64,
    database: Database,
    partition: Arc<Partition>,
    /// `None` once the subscription has ended.
    unacknowledged: Mutex<Option<BTreeSet<i64>>>,
}

impl Shared {
    fn ended(operation: &'static str) -> PortError {
        Fault::Fenced.at(PORT, operation)
    }

    /// Ends the subscription and lets the next one of the partition begin.
    fn end(&self) {
        drop(self.unacknowledged.lock().take());
        let mut consumer = self.partition.consumer.lock();
        if consumer.active == Some(self.id) {
            consumer.active = None;
        }
        drop(consumer);
        self.partition.signal.send_modify(|signal| signal.other += 1);
    }

    /// How many are not acknowledged; `None` once the subscription has ended.
    fn count(&self) -> Option<usize> {
        self.unacknowledged.lock().as_ref().map(BTreeSet::len)
    }
}

impl EmbeddedSubscription {
    pub(super) fn new(database: Database, partition: Arc<Partition>, id: u64, prefetch: usize) -> Self {
        let signals = partition.signal.subscribe();
        let unacknowledged = Mutex::new(Some(BTreeSet::new()));
        let shared = Arc::new(Shared { id, database, partition, unacknowledged });
        let mut subscription =
            Self { shared, signals, prefetch: prefetch.max(1), cursor: 0, redelivered_up_to: 0, more: true, seen: 0 };
        subscription.activate();
        subscription
    }

    /// Whether this is the partition's consumer; it becomes so when there is none.
    fn activate(&mut self) -> bool {
        let mut consumer = self.shared.partition.consumer.lock();
        if consumer.active.is_none() {
            consumer.active = Some(self.shared.id);
            self.redelivered_up_to = consumer.taken;
        }
        consumer.active == Some(self.shared.id)
    }

    /// Rows were read behind the cursor; the flag says that there may be more, and the number what was published by
    /// then.
    fn took(&mut self, rows: Vec<QueueRow>, more: bool, published: u64) -> Vec<Taken> {
        self.more = more;
        self.seen = published;
        if let Some(last) = rows.last() {
            self.cursor = last.position;
            let mut consumer = self.shared.partition.consumer.lock();
            consumer.taken = consumer.taken.max(last.position);
        }
        if let Some(unacknowledged) = self.shared.unacknowledged.lock().as_mut() {
            unacknowledged.extend(rows.iter().map(|row| row.position));
        }
        let taken = rows.into_iter().map(|row| Taken {
            tag: Tag(row.position.unsigned_abs()),
            redelivered: row.again || row.position <= self.redelivered_up_to,
            message: row.message,
        });
        taken.collect()
    }
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn take(&mut self, messages: usize, bytes: usize) -> Result<Vec<Taken>, PortError> {
        let unacknowledged = self.shared.count().ok_or_else(|| Shared::ended("take"))?;
        let rows = messages.min(self.prefetch.saturating_sub(unacknowledged));
        if rows == 0 || !self.activate() {
            return Ok(Vec::new());
        }
        let published = self.signals.borrow().published;
        let fresh = self.shared.partition.fresh.lock().take(self.cursor, rows, bytes);
        if let Some((fresh, more)) = fresh {
            let fresh = fresh.into_iter().map(|(position, publication)| QueueRow {
                position,
                again: publication.again,
                size: publication.message.body.len(),
                message: Ok(publication.message),
            });
            return Ok(self.took(fresh.collect(), more, published));
        }
        let range = Range { partition: self.shared.partition.id, behind: self.cursor, rows, bytes };
        let read = self.shared.database.read(move |conn| Box::pin(queue_rows::read(conn, range))).await;
        let (rows, more) = read.map_err(|fault| {
            self.shared.end();
            fault.at(PORT, "take")
        })?;
        // Nothing has changed until here, so that a cancelled take takes nothing.
        Ok(self.took(rows, more, published))
    }

    async fn ready(&mut self) -> Result<(), PortError> {
        loop {
            let signal = *self.signals.borrow_and_update();
            let unacknowledged = self.shared.count().ok_or_else(|| Shared::ended("wait"))?;
            let may_have_more = self.more || signal.published != self.seen;
            if may_have_more && unacknowledged < self.prefetch && self.activate() {
                return Ok(());
            }
            // The sender lives as long as this subscription.
            self.signals.changed().await.map_err(|_| Fault::closed().at(PORT, "wait"))?;
        }
    }

    fn buffered(&self) -> usize {
        self.shared.partition.fresh.lock().bytes()
    }

    fn acks(&self) -> Arc<dyn Acks> {
        Arc::new(EmbeddedAcks { shared: Arc::clone(&self.shared) })
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        // No acknowledgement begins any more, and those before are committed before the next subscription reads.
        drop(self.shared.unacknowledged.lock().take());
        let settled = self.shared.database.write_plainly(|_| Box::pin(async { Ok(()) })).await;
        self.shared.end();
        settled.map_err(|fault| fault.at(PORT, "close a subscription"))
    }
}

impl Drop for EmbeddedSubscription {
    fn drop(&mut self) {
        self.shared.end();
    }
}

struct EmbeddedAcks {
    shared: Arc<Shared>,
}

#[async_trait]
impl Acks for EmbeddedAcks {
    async fn ack(&self, tags: &[Tag]) -> Result<(), PortError> {
        let positions: Vec<i64> = {
            let unacknowledged = self.shared.unacknowledged.lock();
            let unacknowledged = unacknowledged.as_ref().ok_or_else(|| Shared::ended("acknowledge"))?;
            // What this subscription did not take, or has acknowledged already, is none of its business.
            let positions = tags.iter().filter_map(|tag| i64::try_from(tag.0).ok());
            positions.filter(|position| unacknowledged.contains(position)).collect()
        };
        if positions.is_empty() {
            return Ok(());
        }
        let (reply, committed) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let deleted = positions.clone();
        let answer = Box::new(move |outcome: Result<(), Fault>| {
            if outcome.is_ok() {
                if let Some(unacknowledged) = shared.unacknowledged.lock().as_mut() {
                    for position in &deleted {
                        unacknowledged.remove(position);
                    }
                }
                shared.partition.signal.send_modify(|signal| signal.other += 1);
            }
            // Whoever asked may have gone.
            let _ = reply.send(outcome);
        });
        let done = match self.shared.database.delete(Delete { positions, answer }).await {
            Ok(()) => committed.await.unwrap_or_else(|_| Err(Fault::closed())),
            Err(fault) => Err(fault),
        };
        done.map_err(|fault| fault.at(PORT, "acknowledge"))
    }
}

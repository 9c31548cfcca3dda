//! The queue carries events from ingest to the owner of their partition, durably and in order.

use std::sync::Arc;

use async_trait::async_trait;

use super::{IdempotencyKey, Lease, PortError};
use crate::delivery::Message;
use crate::ids::PartitionId;

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The event.
    pub message: Message,
    /// It may have been published before: its consumer looks it up like a redelivered one.
    pub again: bool,
    /// For a queue that can keep the idempotency record in the same transaction; others ignore it.
    pub idempotency: Option<IdempotencyKey>,
}

/// What a message is acknowledged by; good only on the subscription that it came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag(pub u64);

/// A message that cannot be read: it goes to quarantine as it stands.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What is wrong with it.
    pub detail: String,
}

/// A message that has been taken and is not acknowledged.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its tag.
    pub tag: Tag,
    /// It may have been taken before, or published before: look it up.
    pub redelivered: bool,
    /// The message.
    pub message: Result<Message, Box<Unreadable>>,
}

/// The queue of every partition.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Appends a message to its partition's queue. `Ok` means durable: it survives the loss of any one process.
    /// After an error it may or may not be there.
    async fn publish(&self, partition: PartitionId, publication: Publication) -> Result<(), PortError>;

    /// Appends many, in their order, as [`publish`](Self::publish) appends one: with an outcome for each. One that fails
    /// stops none behind it. A queue that can, waits for all of them at once.
    async fn publish_all(&self, partition: PartitionId, publications: Vec<Publication>) -> Vec<Result<(), PortError>> {
        let mut outcomes = Vec::with_capacity(publications.len());
        for publication in publications {
            outcomes.push(self.publish(partition, publication).await);
        }
        outcomes
    }

    /// Starts to consume the partition's queue, from its head, with at most `prefetch` messages unacknowledged.
    /// What was taken on an earlier subscription and not acknowledged comes first, in order, as redelivered.
    async fn subscribe(&self, lease: &Lease, prefetch: usize) -> Result<Box<dyn Subscription>, PortError>;

    /// Whether messages can be published at this moment: what readiness reports.
    async fn check(&self) -> Result<(), PortError>;
}

/// One consumer of one partition's queue. Dropping it, or closing it, returns what is not acknowledged to the head
/// of the queue, in order.
#[async_trait]
pub trait Subscription: Send {
    /// The next messages that are there now, in order: at most `messages`, and no more after `bytes` of bodies are
    /// reached. Does not wait for new ones. An error ends the subscription.
    async fn take(&mut self, messages: usize, bytes: usize) -> Result<Vec<Taken>, PortError>;

    /// Returns when there may be something to take. Safe to cancel.
    async fn ready(&mut self) -> Result<(), PortError>;

    /// Bytes of bodies that the queue has sent and that are not taken yet: they are in memory already.
    fn buffered(&self) -> usize {
        0
    }

    /// Where its messages are acknowledged.
    fn acks(&self) -> Arc<dyn Acks>;

    /// Ends the subscription and waits until the queue knows.
    async fn close(self: Box<Self>) -> Result<(), PortError>;
}

/// The acknowledging side of a subscription.
#[async_trait]
pub trait Acks: Send + Sync {
    /// Takes these messages off the queue for good.
    async fn ack(&self, tags: &[Tag]) -> Result<(), PortError>;
}

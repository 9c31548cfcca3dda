//! The sequence lock says who delivers a partition, and so in which order.

use async_trait::async_trait;

use super::PortError;
use crate::delivery::DeliveryKey;
use crate::ids::{Epoch, OwnerId, PartitionId};

/// The right to deliver a partition. Every use of it names owner *and* epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The partition.
    pub partition: PartitionId,
    /// Who holds it.
    pub owner: OwnerId,
    /// Greater than that of every lease of this partition before it.
    pub epoch: Epoch,
}

/// A delivery that is settled while its event still waits for other ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The delivery.
    pub key: DeliveryKey,
    /// It was the event's last one: the event will be acknowledged next. A lock whose marks live beside the queue
    /// needs no mark for it.
    pub last: bool,
}

/// The lock of every partition.
#[async_trait]
pub trait SequenceLock: Send + Sync {
    /// Takes the partition if nobody holds it. The epoch is above `floor`, the store's, by at least
    /// [`Epoch::STEP`]. `None`: someone else holds it.
    async fn acquire(&self, partition: PartitionId, owner: OwnerId, floor: Epoch) -> Result<Option<Lease>, PortError>;

    /// Holds it for another lease time. `false`: it is lost.
    async fn renew(&self, lease: &Lease) -> Result<bool, PortError>;

    /// Gives it back, if it is still held.
    async fn release(&self, lease: &Lease) -> Result<(), PortError>;

    /// Remembers settled deliveries.
    async fn settle(&self, lease: &Lease, marks: &[Mark]) -> Result<(), PortError>;

    /// Which of these were remembered as settled.
    async fn look_up(&self, lease: &Lease, keys: &[DeliveryKey]) -> Result<Vec<DeliveryKey>, PortError>;

    /// Says that this process lives, and counts those that do, itself included: how many share the partitions.
    async fn heartbeat(&self, owner: OwnerId) -> Result<usize, PortError>;

    /// Takes the heartbeat back, before the leases are released.
    async fn leave(&self, owner: OwnerId) -> Result<(), PortError>;
}

//! Who holds which partition. There is one process, so memory is enough: the folder's lock keeps others out.

use std::collections::HashMap;

use parking_lot::Mutex;
use spectrum_webhook_core::ids::{Epoch, OwnerId, PartitionId};
use spectrum_webhook_core::ports::Lease;
use tokio::sync::watch;

#[derive(Default)]
struct Slot {
    held: Option<Lease>,
    /// The last epoch given.
    last: i64,
}

/// The leases of this process.
pub(super) struct Leases {
    slots: Mutex<HashMap<PartitionId, Slot>>,
    /// Rises with each change.
    changes: watch::Sender<u64>,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self { slots: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Gives the partition to `owner`, unless another one holds it. Its own older lease ends with that.
    pub(super) fn acquire(&self, partition: PartitionId, owner: OwnerId, floor: Epoch) -> Option<Lease> {
        let lease = {
            let mut slots = self.slots.lock();
            let slot = slots.entry(partition).or_default();
            if slot.held.is_some_and(|held| held.owner != owner) {
                return None;
            }
            slot.last = slot.last.max(floor.0) + Epoch::STEP;
            let lease = Lease { partition, owner, epoch: Epoch(slot.last) };
            slot.held = Some(lease);
            lease
        };
        self.changed();
        Some(lease)
    }

    pub(super) fn release(&self, lease: &Lease) {
        if let Some(slot) = self.slots.lock().get_mut(&lease.partition)
            && slot.held == Some(*lease)
        {
            slot.held = None;
        }
        self.changed();
    }

    pub(super) fn is_held(&self, lease: &Lease) -> bool {
        self.holder(lease.partition) == Some(*lease)
    }

    pub(super) fn holder(&self, partition: PartitionId) -> Option<Lease> {
        self.slots.lock().get(&partition).and_then(|slot| slot.held)
    }

    /// Wakes when a lease is taken or given back.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

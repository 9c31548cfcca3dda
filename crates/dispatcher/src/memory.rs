//! The process's budget for the bodies of messages that are not acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Bytes in use by all partitions of the process, and their limit.
#[derive(Debug)]
pub struct MemoryBudget {
    used: AtomicUsize,
    limit: usize,
    /// What each partition uses.
    shares: Mutex<Vec<Arc<AtomicUsize>>>,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit, shares: Mutex::default() }
    }

    /// Whether more may be taken from the queue.
    pub fn has_room(&self) -> bool {
        self.used() < self.limit
    }

    /// Whether lanes should be held to make room.
    pub fn is_scarce(&self) -> bool {
        self.used() >= self.limit - self.limit / 4
    }

    /// Whether a queue that sends ahead has used the budget up twice.
    pub(crate) fn is_overrun(&self) -> bool {
        self.used() / 2 >= self.limit
    }

    /// Bytes that may be in use.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// The part of one partition; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<MemoryBudget>,
    bytes: Arc<AtomicUsize>,
}

impl Share {
    pub(crate) fn new(budget: Arc<MemoryBudget>) -> Self {
        let bytes = Arc::new(AtomicUsize::new(0));
        budget.shares.lock().push(Arc::clone(&bytes));
        Self { budget, bytes }
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Says how much the partition uses now; `true` when that is less than before.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        if bytes > before {
            self.budget.used.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(before - bytes, Ordering::Relaxed);
        }
        bytes < before
    }

    /// Whether this partition is one of those that should make room: it has an even part of what is used, or more. So
    /// there always is one, also when many partitions use a little each.
    pub(crate) fn should_relieve(&self) -> bool {
        let bytes = self.bytes();
        bytes > 0 && self.budget.is_scarce() && bytes >= self.budget.used() / self.budget.shares.lock().len().max(1)
    }

    /// Whether the budget is used up and no partition uses more than this one.
    pub(crate) fn is_largest_without_room(&self) -> bool {
        let bytes = self.bytes();
        bytes > 0
            && !self.budget.has_room()
            && self.budget.shares.lock().iter().all(|other| other.load(Ordering::Relaxed) <= bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
        self.budget.shares.lock().retain(|share| !Arc::ptr_eq(share, &self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_partitions_that_use_a_little_each_make_room_too() {
        let budget = Arc::new(MemoryBudget::new(6_400));
        let mut shares: Vec<Share> = (0..64).map(|_| Share::new(Arc::clone(&budget))).collect();
        shares.iter_mut().for_each(|share| assert!(!share.set(100)));
        assert!(!budget.has_room());
        assert!(shares.iter().any(Share::should_relieve));
        assert!(shares[0].set(0));
        assert!(!shares[0].should_relieve(), "it has nothing to give");
    }

    #[test]
    fn when_nothing_is_left_the_largest_partition_gives_way() {
        let budget = Arc::new(MemoryBudget::new(1_000));
        let mut shares: Vec<Share> = (0..3).map(|_| Share::new(Arc::clone(&budget))).collect();
        for (share, bytes) in shares.iter_mut().zip([300, 400, 200]) {
            share.set(bytes);
        }
        assert!(!shares.iter().any(Share::is_largest_without_room), "there is room");
        shares[2].set(300);
        let largest: Vec<bool> = shares.iter().map(Share::is_largest_without_room).collect();
        assert_eq!(largest, [false, true, false]);
        shares.remove(1);
        assert!(!shares.iter().any(Share::is_largest_without_room), "it gave way");
    }
}

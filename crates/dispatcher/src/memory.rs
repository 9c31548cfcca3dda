//! The process's budget for the bodies of messages that are not acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use by all partitions of the process, and their limit.
#[derive(Debug)]
pub struct MemoryBudget {
    used: AtomicUsize,
    limit: usize,
    /// Partitions that have a part.
    shares: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit, shares: AtomicUsize::new(0) }
    }

    /// Whether more may be taken from the queue.
    pub fn has_room(&self) -> bool {
        self.used() < self.limit
    }

    /// Whether lanes should be held to make room.
    pub fn is_scarce(&self) -> bool {
        self.used() >= self.limit - self.limit / 4
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// The part of one partition; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: std::sync::Arc<MemoryBudget>,
    bytes: usize,
}

impl Share {
    pub(crate) fn new(budget: std::sync::Arc<MemoryBudget>) -> Self {
        budget.shares.fetch_add(1, Ordering::Relaxed);
        Self { budget, bytes: 0 }
    }

    /// Says how much the partition uses now; `true` when that is less than before.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        let less = bytes < self.bytes;
        if bytes > self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        less
    }

    /// Whether this partition is one of those that should make room: it has an even part of what is used, or more. So
    /// there always is one, also when many partitions use a little each.
    pub(crate) fn should_relieve(&self) -> bool {
        let shares = self.budget.shares.load(Ordering::Relaxed).max(1);
        self.bytes > 0 && self.budget.is_scarce() && self.bytes >= self.budget.used() / shares
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
        self.budget.shares.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
}

//! The process's budget for the bodies of messages that are not acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use by all partitions of the process, and their limit.
#[derive(Debug)]
pub struct MemoryBudget {
    used: AtomicUsize,
    limit: usize,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
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
        Self { budget, bytes: 0 }
    }

    /// Says how much the partition uses now.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Whether this partition is one of those that should make room: it has an eighth of what is used, or more.
    pub(crate) fn should_relieve(&self) -> bool {
        self.bytes > 0 && self.budget.is_scarce() && self.bytes >= self.budget.used() / 8
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

//! What is to happen, and when.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// An event and when it happens; events of one moment happen in the order in which they were asked for.
struct Planned<E> {
    at: u64,
    order: u64,
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The events of a run, earliest first.
pub(crate) struct Timeline<E> {
    order: u64,
    events: BinaryHeap<Reverse<Planned<E>>>,
}

impl<E> Timeline<E> {
    pub(crate) fn new() -> Self {
        Self { order: 0, events: BinaryHeap::new() }
    }

    pub(crate) fn plan(&mut self, at: u64, event: E) {
        self.order += 1;
        self.events.push(Reverse(Planned { at, order: self.order, event }));
    }

    /// The next event, and when it was to happen.
    pub(crate) fn next(&mut self) -> Option<(u64, E)> {
        self.events.pop().map(|Reverse(planned)| (planned.at, planned.event))
    }
}

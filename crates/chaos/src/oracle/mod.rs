//! The oracle: what must be true of a [`History`], whatever faults there were. It is pure, and shares no code with the
//! product: it has its own reading of the wire contract.
//!
//! | room | what it judges |
//! | --- | --- |
//! | `index` | which event a request is, and which requests a webhook got |
//! | `delivery` | what is lost, made up, rebuilt; dead letters and their reasons |
//! | `order` | first arrivals, their order and their numbers |
//! | `stops` | requests that began after a webhook was deleted or disabled |
//! | `sign` | both signatures, by the key that was valid |
//! | `duplicates` | repeats, against what was in flight at a fault |
//! | `reach` | what that is, for each kind of fault |
//! | `books` | conservation |
//! | `violation` | what it says |

mod books;
mod delivery;
mod duplicates;
mod index;
mod order;
mod reach;
mod sign;
mod stops;
#[cfg(test)]
mod tests;
mod violation;

use serde::Serialize;

use crate::history::History;
use index::Index;
pub use sign::{spectrum_signature, standard_signature};
pub use violation::Violation;

/// What is taken for a fault's consequence, and what for the machine's own slowness. All in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bounds {
    /// How long before a fault a delivery may have been taken and not yet be settled for good: an attempt, which lasts 2 s
    /// at most, and what settles it.
    pub before: u64,
    /// How long an event may wait for the slowest of its webhooks, which is held after half a second; until then only marks
    /// tell which others took it.
    pub marks: u64,
    /// How long it may take that an owner learns of its end, and that what it sent until then arrives.
    pub after: u64,
    /// A lease.
    pub lease: u64,
    /// How long after PostgreSQL is back a row may still wait: the longest time between two tries.
    pub rows: u64,
    /// How late a request may be read that was sent before its webhook was stopped.
    pub flight: u64,
    /// How old a time stamp may be when its request arrives: an attempt, which lasts 2 s at most, the second that is cut
    /// off, and a machine that is busy.
    pub freshness: u64,
    /// How long an owner may sign by what it knew before a rotation.
    pub stale_key: u64,
    /// An answer that took so long may have come too late for its attempt.
    pub late_answer: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            before: 3_000_000,
            marks: 8_000_000,
            after: 2_000_000,
            lease: 3_000_000,
            rows: 1_000_000,
            flight: 500_000,
            freshness: 10_000_000,
            stale_key: 5_000_000,
            late_answer: 1_000_000,
        }
    }
}

/// What was counted on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// Posts that got a `202`.
    pub events: usize,
    /// Deliveries that had to be made of them.
    pub due: usize,
    /// Of these, taken by their endpoint.
    pub taken: usize,
    /// Of these, dead letters with a true reason.
    pub letters: usize,
    /// Requests.
    pub requests: usize,
    /// Requests whose signatures were judged.
    pub verified: usize,
    /// Requests of a delivery that had been taken before.
    pub duplicates: usize,
    /// Requests of events whose answer was lost, and which were posted again under the same key.
    pub copies: usize,
    /// Resends.
    pub resends: usize,
    /// First arrivals whose order was judged.
    pub ordered: usize,
}

/// The judgement.
#[derive(Debug, Default)]
pub struct Judgement {
    /// What was counted.
    pub counts: Counts,
    /// What must not be.
    pub violations: Vec<Violation>,
}

/// Judges a history.
pub fn judge(history: &History, bounds: &Bounds) -> Judgement {
    let index = Index::of(history);
    let mut judgement = Judgement::default();
    judgement.counts.requests = history.arrivals.len();
    judgement.counts.resends = history.arrivals.iter().filter(|arrival| arrival.resend).count();
    delivery::judge(history, &index, bounds, &mut judgement);
    order::judge(history, &index, &mut judgement);
    stops::judge(history, &index, bounds, &mut judgement);
    sign::judge(history, &index, bounds, &mut judgement);
    duplicates::judge(history, &index, bounds, &mut judgement);
    books::judge(history, &mut judgement);
    judgement
}

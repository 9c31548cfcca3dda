//! What must hold, judged from outside: by what clients were answered, what arrived at endpoints, and what the store
//! holds at the end. It shares no code with the lane and the partition, and knows nothing of how they work.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `facts` | what is known of events and webhooks |
//! | `attempts` | one at a time, in order, to the byte, and only where it may go |
//! | `people` | what was promised to those who change webhooks |
//! | `cluster` | one owner, no repeat of what was marked, one id for a key |
//! | `end` | nothing lost, nothing left over, every dead letter true |

mod attempts;
mod cluster;
mod end;
mod facts;
mod people;

use std::collections::BTreeMap;

use bytes::Bytes;
use spectrum_webhook_core::ids::{EventId, ProjectId, WebhookId};

pub use attempts::Started;
pub use end::{DeadLetter, Leftovers};
pub use facts::Target;
use facts::{EventFact, WebhookFact};

/// The judge of one run. The first violation stays.
#[derive(Debug)]
pub struct Checker {
    events: BTreeMap<EventId, EventFact>,
    webhooks: BTreeMap<WebhookId, WebhookFact>,
    positions: u64,
    /// Attempts of an event before it counts as exhausted.
    attempts: u64,
    /// How old the events of a disabled webhook may become.
    keep: i64,
    /// Attempts that a webhook may have under way at once, when not all its events wait for one another.
    parallel: usize,
    calm: Calm,
    known: cluster::Known,
    violation: Option<String>,
}

/// What goes wrong but endpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Calm {
    /// Anything may.
    No,
    /// Processes stop in good order, and others start: nothing arrives twice without reason.
    Orderly,
    /// Nothing: healthy endpoints wait for nobody either.
    Still,
}

/// How long an event may take to a healthy endpoint in a run without faults of our own, in milliseconds.
const PROMPT: u64 = 20_000;

impl Checker {
    /// A judge who has seen nothing yet.
    pub fn new(limits: crate::plan::Limits, calm: Calm) -> Self {
        Self {
            events: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            positions: 0,
            attempts: limits.attempts,
            keep: limits.keep,
            parallel: limits.parallel,
            calm,
            known: cluster::Known::default(),
            violation: None,
        }
    }

    /// What did not hold.
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// Notes that something does not hold.
    pub fn cry(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(what());
        }
    }

    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.cry(what);
        }
    }

    /// The queue is about to take an event, for the first time or once more.
    pub fn published(&mut self, now: u64, project: ProjectId, event: EventId, body: &Bytes, begun: u64) {
        if let Some(known) = self.events.get_mut(&event) {
            known.copies += 1;
            known.last_published = now;
            let same = known.body == body;
            return self.must(same, || format!("event {event} was published again with another body"));
        }
        let position = self.positions;
        self.positions += 1;
        let (published, last_published) = (now, now);
        let body = body.clone();
        let fact = EventFact { project, position, body, begun, published, last_published, copies: 1, only: None };
        self.events.insert(event, fact);
    }

    /// A client was answered 202.
    pub fn accepted(&mut self, event: EventId, body: &Bytes) {
        match self.events.get(&event).map(|known| known.body == body) {
            None => self.cry(|| format!("202 for event {event}, which the queue never took")),
            Some(same) => self.must(same, || format!("202 for event {event}, which has another body")),
        }
    }

    /// A partition keeps so much in memory.
    pub fn keeps(&mut self, unacknowledged: usize, window: usize, lanes: usize, most_lanes: usize) {
        self.must(unacknowledged <= window, || format!("{unacknowledged} messages unacknowledged, more than {window}"));
        self.must(lanes <= most_lanes, || format!("{lanes} lanes for {most_lanes} webhooks"));
    }

    /// What a partition counts as pending, and where it is.
    pub fn conserves(&mut self, pending: u64, resting: u64, in_memory: u64) {
        self.must(pending == resting + in_memory, || {
            format!("{pending} deliveries pending by the counts, {resting} at rest and {in_memory} in memory")
        });
    }
}

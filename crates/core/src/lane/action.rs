//! What a lane asks for.

use std::sync::Arc;

use super::{AttemptId, Ticket};
use crate::delivery::Message;
use crate::ids::{EventId, Sequence};
use crate::ordering::Reading;
use crate::ports::Change;

/// Which share of the attempt slots an attempt is made from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// The lane's last attempt succeeded.
    Healthy,
    /// It failed.
    Failing,
    /// The lane is in an outage: a probe.
    Outage,
}

/// Where a delivery's way can end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The endpoint took it.
    Delivered,
    /// It is a dead letter.
    Dead,
    /// Its webhook is deleted.
    Dropped,
}

/// One action.
#[derive(Clone, Debug)]
pub enum Action {
    /// Make an attempt, and say how it ended.
    Attempt {
        /// Its name.
        attempt: AttemptId,
        /// 1, 2, …
        number: u32,
        /// The event.
        event: EventId,
        /// Its place.
        sequence: Sequence,
        /// Which slots it is made from.
        class: Class,
        /// It has rested in the backlog.
        held: bool,
        /// The event; `None`: read it from the store (a lane that waits keeps no body).
        message: Option<Arc<Message>>,
    },
    /// Commit these changes in one transaction, and say when it is done. Try again until it is, or ownership ends.
    Write {
        /// Its name.
        ticket: Ticket,
        /// The changes.
        changes: Vec<Change>,
    },
    /// Read rows of the backlog.
    Fetch {
        /// Its name.
        ticket: Ticket,
        /// Which.
        reading: Box<Reading>,
    },
    /// This delivery of the queue is settled.
    Settle {
        /// The event.
        event: EventId,
    },
    /// So many deliveries came to their end.
    Count {
        /// Which end.
        fate: Fate,
        /// How many.
        deliveries: u64,
    },
}

/// Where a step puts its actions, in the order in which they are to be performed.
pub type Actions = Vec<Action>;

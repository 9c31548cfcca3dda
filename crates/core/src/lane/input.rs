//! What a lane is told.

use std::sync::Arc;

use crate::attempt::Ended;
use crate::delivery::{HeldDelivery, Message};
use crate::ids::Sequence;
use crate::ordering::Ordering;
use crate::time::Millis;

/// Names one attempt of a lane, so that the end of an older one is not taken for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttemptId(pub u64);

/// Names one write or read of a lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// A delivery that comes from the queue.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its place.
    pub sequence: Sequence,
    /// The event.
    pub message: Arc<Message>,
}

/// What became of an attempt that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempted {
    /// It took place, and ended so.
    Ended(Ended),
    /// It did not take place (the webhook changed, the body could not be read): it does not count.
    NotStarted,
}

/// Whether the webhook takes deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It does.
    Enabled,
    /// It does not: its events wait in the backlog.
    Disabled,
    /// It is deleted: what waits is dropped.
    Deleted,
}

/// What a lane knows of its webhook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Whether it takes deliveries.
    pub status: Status,
    /// Which of its events wait for one another.
    pub ordering: Ordering,
    /// Its `updated_at`. Who tries it does so by these terms or by newer ones.
    pub changed: Millis,
}

/// One input.
#[derive(Clone, Debug)]
pub enum Input {
    /// An event for this webhook came from the queue.
    Deliver(Arrival),
    /// An attempt ended.
    Attempted {
        /// Which.
        attempt: AttemptId,
        /// How.
        result: Attempted,
    },
    /// Time has passed: see [`super::Lane::deadline`].
    Wake,
    /// A read that was asked for.
    Rows {
        /// Which.
        ticket: Ticket,
        /// The rows.
        rows: Vec<HeldDelivery>,
        /// There are more behind them.
        more: bool,
    },
    /// A write that was asked for is committed.
    Written {
        /// Which.
        ticket: Ticket,
        /// Rows that became dead letters by a rule, not by name.
        buried: u64,
        /// Rows dropped.
        dropped: u64,
        /// The step reached its limit: there may be more to do.
        more: bool,
    },
    /// A person wants something of the lane: a [`crate::delivery::Purpose::Steering`], which is settled by the write
    /// that does it.
    Steer(Arc<Message>),
    /// The webhook changed, or may have.
    Webhook(Terms),
    /// Memory is scarce: hold everything now.
    Relieve,
}

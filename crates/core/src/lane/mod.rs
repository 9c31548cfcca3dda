//! The lane: the deliveries of one webhook, one at a time and in order. A state machine without IO.
//!
//! Inputs and time go in, actions come out; whoever drives it performs the actions and feeds back what came of them.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `input` | what a lane is told |
//! | `action` | what it asks for |
//! | `state` | what it knows |
//! | `step` | what it does about it |
//! | `verdicts` | what it makes of an attempt's end: next, retry, set aside, outage, dead letter |
//! | `invariants` | what must hold after every step |
//!
//! A delivery is in one of four places, and they are delivered in this order: `current` (the one being tried), `head`
//! (rows that were read from the backlog), the rows of the backlog beyond the head, `tail` (arrivals of the queue that
//! are not settled).

mod action;
mod input;
mod invariants;
mod settings;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod verdicts;

pub use action::{Action, Actions, Class, Fate};
pub use input::{Arrival, AttemptId, Attempted, Input, Status, Ticket};
pub use invariants::Broken;
pub use settings::LaneSettings;
pub use state::{Health, Lane};

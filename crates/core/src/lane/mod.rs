//! The lane: the deliveries of one webhook, one at a time and in order, within each order key
//! ([`Ordering`](crate::ordering::Ordering)). A state machine without IO.
//!
//! Inputs and time go in, actions come out; whoever drives it performs the actions and feeds back what came of them.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `input` | what a lane is told |
//! | `action` | what it asks for |
//! | `state` | what it knows |
//! | `step` | what it does about it |
//! | `reading`, `beyond` | what comes next, and which rows it may have that were not read |
//! | `verdicts` | what it makes of an attempt's end: next, retry, set aside, outage, dead letter |
//! | `invariants` | what must hold after every step |
//!
//! A delivery is in one of four places, and those of one key are delivered in this order: `current` (the one being tried),
//! `head` (rows that were read from the backlog), the rows of the backlog beyond the head, `tail` (arrivals of the queue
//! that are not settled). A webhook whose events all wait for one another has one key; otherwise a few keys are tried
//! beside one another. What is thought of the URL, and what is set aside, is the webhook's.

mod action;
mod beyond;
mod input;
mod invariants;
mod reading;
mod settings;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod verdicts;

pub use action::{Action, Actions, Class, Fate};
pub use input::{Arrival, AttemptId, Attempted, Input, Status, Terms, Ticket};
pub use invariants::Broken;
pub use settings::LaneSettings;
pub use state::{Health, Lane, Standing};

//! What became of an event at each webhook, and how a webhook is: a code for programs, and a sentence for people that
//! says what happens next, when, and what to do. Decided from plain facts ([`crate::ports::Insight`]).
//!
//! | room | what is in it |
//! | --- | --- |
//! | `delivery` | where one delivery stands |
//! | `webhook` | how a webhook is |
//! | `words` | times, numbers and causes in words |

mod delivery;
#[cfg(test)]
mod tests;
mod webhook;
mod words;

pub use delivery::{Code, Standing, event};
pub use webhook::{State, StateCode, webhook};
pub use words::cause;

use crate::ids::EventId;
use crate::time::Millis;

/// For so long an event may be on its way without a trace in the store: in the queue, in memory, or waiting for its
/// line in the delivery log to be written. In milliseconds.
const FRESH: i64 = 60_000;

/// Why nothing is known of an event with this id, and what to do.
pub fn absent(id: EventId, now: Millis) -> &'static str {
    match id.given_at() {
        Some(given) if given.0 > now.0.saturating_sub(FRESH) => {
            "nothing is known of this event yet: if its post was answered with 202, it was accepted moments ago and is \
             not taken from the queue yet; ask again in a few seconds"
        }
        _ => {
            "nothing is known of this event: this project has none with this id, or it is older than the delivery log \
             and the archive keep, or it still waits in the queue because no dispatcher delivers; check the id, and \
             the service's health"
        }
    }
}

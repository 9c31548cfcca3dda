//! Replays: many events once more to one webhook, as a job that survives restarts.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `calls` | making, watching, pausing, cancelling one |
//! | `fields`, `answer` | what is read from a body, what is shown |
//! | `runner` | sends the events, in their order, as messages of their own |

mod answer;
pub(crate) mod calls;
mod fields;
mod runner;

pub(crate) use runner::run;

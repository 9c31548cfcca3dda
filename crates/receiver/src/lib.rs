//! An HTTP endpoint that remembers every request, and an independent opinion on what it got.
//!
//! It shares no code with the sender: the signatures are computed with another library and the headers are read by
//! other code, so that a mistake in the core cannot hide in its own mirror.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`recorded`], [`memory`] | one request as it came; all of them, counted |
//! | [`behaviour`] | what the endpoint answers: a status, late, never, a reset |
//! | [`server`] | [`Receiver`]: listens, goes down, comes back on the same port |
//! | [`mod@verify`], `diagnose` | whether a delivery is genuine, and what is wrong if it is not |
//! | [`mod@check`] | what was accepted, against what arrived |

pub mod behaviour;
pub mod check;
mod diagnose;
pub mod memory;
mod peer;
pub mod recorded;
pub mod server;
pub mod verify;

pub use behaviour::{Always, Behaviour, End, FailFirst, Reply};
pub use check::{Accepted, Report, check};
pub use memory::Memory;
pub use recorded::{Headers, Recorded};
pub use server::{Options, Receiver, TimedOut};
pub use verify::{Diagnosis, Key, MalformedSecret, Problem, TOLERANCE, verify};

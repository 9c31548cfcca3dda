//! The wire contract, end to end.

mod deliveries;
mod guard;
mod management;
mod posts;
pub(crate) mod stops;
mod verdicts;

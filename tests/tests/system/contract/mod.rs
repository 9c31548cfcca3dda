//! The wire contract, end to end.

mod deliveries;
mod guard;
mod management;
mod ordering;
mod posts;
mod shape;
pub(crate) mod stops;
mod verdicts;

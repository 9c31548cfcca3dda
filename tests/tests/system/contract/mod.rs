//! The wire contract, end to end.

mod deliveries;
mod guard;
mod management;
mod posts;
mod stops;
mod verdicts;

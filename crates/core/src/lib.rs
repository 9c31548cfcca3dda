//! The pure core: what a webhook delivery is and what is to be done with it. No async runtime, no IO, no clock, no
//! globals; time and chance come in as arguments.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`ids`], [`time`], [`chance`] | identities, moments, dice |
//! | [`event`] | what is checked of an event's bytes |
//! | [`webhook`], [`delivery`], [`attempt`] | the nouns |
//! | [`check`] | what a check of a webhook tells |
//! | [`sign`], [`address`], [`classify`], [`retry`], [`retry_after`] | the contract's rules |
//! | [`lane`] | the deliveries of one webhook, in order: a state machine without IO |
//! | [`partition`] | the events of a partition's projects: numbered, fanned out into lanes, settled |
//! | [`explain`] | what became of an event, and how a webhook is, in words |
//! | [`ports`] | what the core needs from the world |

pub mod address;
pub mod attempt;
pub mod chance;
pub mod check;
pub mod classify;
pub mod delivery;
pub mod event;
pub mod explain;
pub mod ids;
pub mod lane;
pub mod partition;
pub mod ports;
pub mod retry;
pub mod retry_after;
pub mod sign;
pub mod time;
pub mod webhook;

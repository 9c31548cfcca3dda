//! The pure core: what a webhook delivery is and what is to be done with it. No async runtime, no IO, no clock, no
//! globals; time and chance come in as arguments.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`ids`], [`time`], [`chance`] | identities, moments, dice |
//! | [`event`], [`pattern`] | what is checked of an event's bytes, and which names a pattern stands for |
//! | [`webhook`], [`delivery`], [`attempt`] | the nouns |
//! | [`check`] | what a check of a webhook tells |
//! | [`shape`], [`headers`], [`ordering`] | how a webhook wants its deliveries |
//! | [`credentials`], [`cursor`], [`traceparent`], [`webhook_url`] | what callers of the API send, as it is read |
//! | [`sign`], [`address`], [`classify`], [`retry`], [`retry_after`] | the contract's rules |
//! | [`lane`] | the deliveries of one webhook, in order: a state machine without IO |
//! | [`partition`] | the events of a partition's projects: numbered, fanned out into lanes, settled |
//! | [`explain`] | what became of an event, and how a webhook is, in words |
//! | [`rates`] | how attempts went over a span of time, in numbers |
//! | [`ports`] | what the core needs from the world |

pub mod address;
pub mod attempt;
pub mod chance;
pub mod check;
pub mod classify;
pub mod credentials;
pub mod cursor;
pub mod delivery;
pub mod event;
pub mod explain;
pub mod headers;
pub mod ids;
pub mod lane;
pub mod ordering;
pub mod partition;
pub mod pattern;
pub mod ports;
pub mod rates;
pub mod retry;
pub mod retry_after;
pub mod shape;
pub mod sign;
pub mod time;
pub mod traceparent;
pub mod webhook;
pub mod webhook_url;

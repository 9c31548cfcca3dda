//! The pure core: what a webhook delivery is and what is to be done with it. No async runtime, no IO, no clock, no
//! globals; time and chance come in as arguments.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`ids`], [`time`], [`chance`] | identities, moments, dice |
//! | [`event`] | what is checked of an event's bytes |
//! | [`webhook`], [`delivery`], [`attempt`] | the nouns |
//! | [`sign`], [`address`], [`classify`], [`retry`] | the contract's rules |
//! | [`ports`] | what the core needs from the world |

pub mod address;
pub mod attempt;
pub mod chance;
pub mod classify;
pub mod delivery;
pub mod event;
pub mod ids;
pub mod ports;
pub mod retry;
pub mod sign;
pub mod time;
pub mod webhook;

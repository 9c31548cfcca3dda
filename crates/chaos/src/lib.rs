//! Chaos on the real services: a load, a nemesis that breaks one or two things at a time, receivers that remember every
//! request, and an oracle that judges what happened without the product's code.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`plan`], `dice` | the whole schedule, from a seed; pure |
//! | `stage` | services and processes |
//! | `proxy` | the ways between them, which can be cut, slow, or half open |
//! | `receivers` | one server for all URLs |
//! | `load` | events, and changes of webhooks |
//! | `nemesis` | faults |
//! | [`history`] | what happened, as this side saw it |
//! | [`oracle`] | what must be true of it; pure |
//! | [`mod@run`] | from beginning to end |
//! | [`trial`] | the same with another program, small, to try the oracle |
//! | [`report`] | what is told of it |

mod clock;
mod dice;
pub mod history;
mod load;
mod nemesis;
pub mod oracle;
pub mod plan;
mod proxy;
mod receivers;
pub mod report;
pub mod run;
mod stage;
pub mod trial;

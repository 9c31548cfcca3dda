//! Chaos on the real services: a load, a nemesis that breaks one or two things at a time, receivers that remember every
//! request, and an oracle that judges what happened without the product's code.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`history`] | what happened, as this side saw it |
//! | [`oracle`] | what must be true of it; pure |

pub mod history;
pub mod oracle;

//! What tests need and no program does: a dev-dependency.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`conformance`] | one suite for each port, which every backend passes |
//! | [`documented`] | what documents say that a test compares with |
//! | [`process`] | the real program as a process: started, killed, started again; its API, its log, its disk |
//! | [`raw`] | an endpoint that does with each connection what it is told |
//! | [`services`] | private RabbitMQ, Redis and PostgreSQL |

pub mod conformance;
pub mod documented;
pub mod process;
pub mod raw;
pub mod services;

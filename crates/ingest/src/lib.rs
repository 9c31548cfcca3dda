//! Ingest: the HTTP door. It takes events for projects, and manages the webhooks that they go to.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`settings`] | what can be set, with its defaults |
//! | [`state`] | what every request shares; the drain |
//! | [`router`](mod@router) | which path is served by what |
//! | `auth` | who calls: a project by HTTP Basic, or an operator by a bearer token |
//! | `body` | reading a body: bounded in bytes, in time and in memory |
//! | `leftover` | reading on when the answer is decided before the body's end |
//! | `accept` | one event: admission, publish, answer |
//! | `identity` | the event's id, and what makes two posts the same event |
//! | `batch`, `lines` | many events, one a line |
//! | `manage` | projects and webhooks: fields, URLs, changes, answers |
//! | `steer` | what people do about deliveries: dead letters, lanes, test events |
//! | `see` | the delivery log, where events stand, how webhooks are |
//! | `replay` | many events once more to one webhook, as a job |
//! | `notices` | what happened to webhooks, as events for operations |
//! | `background` | what is done beside requests |
//! | `trace` | the spans of posts, where traces are recorded |
//! | `page` | lists that come in pages: what a query may say |
//! | `openapi` | the description of the API, and its page |
//! | [`problem`] | every error, as status and body |
//! | [`metrics`] | what is counted |
//!
//! Ingest knows its backends by their ports only. It depends on their promise that each call ends in bounded time.

mod accept;
mod auth;
mod background;
mod batch;
mod body;
mod identity;
mod leftover;
mod lines;
mod manage;
pub mod metrics;
mod notices;
mod openapi;
mod page;
pub mod problem;
mod replay;
pub mod router;
mod see;
pub mod settings;
pub mod state;
mod steer;
mod trace;

pub use background::Background;
pub use metrics::Metrics;
pub use router::{description, router};
pub use settings::{OperatorToken, Settings};
pub use state::{Clock, Ingest, Ports};

//! What became of events: the delivery log, where an event stands, how a webhook is.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `attempts` | the delivery log, page by page |
//! | `explain` | one event at each webhook of its project |
//! | `webhook` | one webhook, and how it is |

pub(crate) mod attempts;
pub(crate) mod explain;
pub(crate) mod webhook;

//! `event`: posting events, where one stands, and one once more.

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::Send;
use super::access::Common;

/// `event`.
#[derive(Subcommand)]
pub(crate) enum Event {
    /// Post events from NDJSON, in order; the same as `send`.
    Send(Send),
    /// Say where an event stands at each webhook, and why.
    #[command(alias = "explain")]
    Show(Show),
    /// Send an event once more to one webhook, behind what waits for it; as long as the archive keeps its body.
    Resend(Resend),
}

/// `event show`.
#[derive(Args)]
pub(crate) struct Show {
    /// The event, as its `202` named it.
    #[arg(value_name = "ID")]
    pub(crate) event: Uuid,
    /// The server, and how the answer is printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `event resend`.
#[derive(Args)]
pub(crate) struct Resend {
    /// The event, as its `202` named it.
    #[arg(value_name = "ID")]
    pub(crate) event: Uuid,
    /// The webhook that gets it.
    #[arg(long, value_name = "ID")]
    pub(crate) webhook: Uuid,
    /// The server, and how the answer is printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

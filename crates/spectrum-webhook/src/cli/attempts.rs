//! `attempts` and `tail`: the delivery log, as it stands and as it grows.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use uuid::Uuid;

use super::access::Common;
use super::moment;
use super::paging::Paging;

/// `attempts`.
#[derive(Args)]
pub(crate) struct Attempts {
    /// Of this webhook only.
    #[arg(long, value_name = "ID")]
    pub(crate) webhook: Option<Uuid>,
    /// Of this event only.
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<Uuid>,
    /// Those that ended so only.
    #[arg(long)]
    pub(crate) outcome: Option<Outcome>,
    /// Those with this status only, or with one of this class, like `503` or `5xx`.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Those without a status for this reason only, like `timeout`.
    #[arg(long, value_name = "CODE")]
    pub(crate) failure: Option<String>,
    /// Of events of this type only.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// From this moment on, like `2026-01-02T03:04:05Z`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) from: Option<Timestamp>,
    /// Until this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) to: Option<Timestamp>,
    /// How many.
    #[command(flatten)]
    pub(crate) paging: Paging,
    /// The server, and how the answer is printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How an attempt ended.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Outcome {
    /// With a 2xx.
    Delivered,
    /// Otherwise.
    Failed,
}

impl Outcome {
    /// The API's word.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// `tail`.
#[derive(Args)]
pub(crate) struct Tail {
    /// Of this webhook only.
    #[arg(long, value_name = "ID")]
    pub(crate) webhook: Option<Uuid>,
    /// Those that failed only.
    #[arg(long)]
    pub(crate) failed: bool,
    /// End after this many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// The server, and how the lines are printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

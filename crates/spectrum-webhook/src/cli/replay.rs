//! `replay`: many events once more.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use uuid::Uuid;

use super::access::Common;
use super::moment;
use super::paging::Paging;

/// `replay`.
#[derive(Subcommand)]
pub(crate) enum Replay {
    /// Send many events again to a webhook, in their order, behind what is waiting.
    Start(Start),
    /// Print a webhook's replays, newest first.
    List {
        /// The webhook.
        #[arg(value_name = "WEBHOOK")]
        webhook: Uuid,
        /// How many.
        #[command(flatten)]
        paging: Paging,
        /// The server, and how the answer is printed.
        #[command(flatten)]
        common: Common,
    },
    /// Print one, and how far it is.
    Show(One),
    /// Send nothing more of it until it is resumed.
    Pause(One),
    /// Go on with one that was paused.
    Resume(One),
    /// Send nothing more of it.
    Cancel(One),
}

/// `replay start`.
#[derive(Args)]
pub(crate) struct Start {
    /// The webhook.
    #[arg(value_name = "WEBHOOK")]
    pub(crate) webhook: Uuid,
    /// Which events.
    #[arg(long)]
    pub(crate) what: What,
    /// Those that were accepted from this moment on, like `2026-01-02T03:04:05Z`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) from: Option<Timestamp>,
    /// Those that were accepted before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) to: Option<Timestamp>,
    /// Events a second, 1 to 1000; as many as the queue takes if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rate: Option<u32>,
    /// Why, for those who look later.
    #[arg(long, required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
    /// Only print how many it would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The server, and how the answer is printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Which events are sent again.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum What {
    /// Open dead letters.
    Dead,
    /// Everything in the archive that the webhook takes.
    All,
}

impl What {
    /// The API's word.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::All => "all",
        }
    }
}

/// A command about one replay.
#[derive(Args)]
pub(crate) struct One {
    /// The webhook.
    #[arg(value_name = "WEBHOOK")]
    pub(crate) webhook: Uuid,
    /// The replay.
    #[arg(value_name = "ID")]
    pub(crate) replay: Uuid,
    /// The server, and how the answer is printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

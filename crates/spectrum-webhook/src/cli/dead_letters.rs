//! `dead-letters`: what was given up.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use uuid::Uuid;

use super::access::Common;
use super::moment;
use super::paging::Paging;

/// The most that one call of the API names.
const MOST: usize = 100;

/// `dead-letters`.
#[derive(Subcommand)]
pub(crate) enum DeadLetters {
    /// Print dead letters, newest first.
    List(List),
    /// Print one with its body.
    Show {
        /// The webhook.
        #[arg(value_name = "WEBHOOK")]
        webhook: Uuid,
        /// The dead letter.
        #[arg(value_name = "ID")]
        letter: Uuid,
        /// The server, and how the answer is printed.
        #[command(flatten)]
        common: Common,
    },
    /// Send dead letters again, behind what is waiting for their webhook.
    Resend {
        /// The webhook.
        #[arg(value_name = "WEBHOOK")]
        webhook: Uuid,
        /// The dead letters, 100 at most.
        #[arg(value_name = "ID", required = true, num_args = 1..=MOST)]
        letters: Vec<Uuid>,
        /// The server, and how the answer is printed.
        #[command(flatten)]
        common: Common,
    },
    /// Discard dead letters: nobody wants them any more.
    Discard {
        /// The webhook.
        #[arg(value_name = "WEBHOOK")]
        webhook: Uuid,
        /// The dead letters, 100 at most.
        #[arg(value_name = "ID", num_args = 1..=MOST, required_unless_present = "all", conflicts_with = "all")]
        letters: Vec<Uuid>,
        /// All that are open.
        #[arg(long)]
        all: bool,
        /// Do not ask whether all are meant.
        #[arg(long, requires = "all")]
        yes: bool,
        /// Why, for those who look later.
        #[arg(long)]
        reason: String,
        /// The server, and how the answer is printed.
        #[command(flatten)]
        common: Common,
    },
}

/// `dead-letters list`.
#[derive(Args)]
pub(crate) struct List {
    /// Of this webhook only.
    #[arg(long, value_name = "ID")]
    pub(crate) webhook: Option<Uuid>,
    /// Those that nobody has looked after yet, the others, or both.
    #[arg(long, default_value = "open")]
    pub(crate) state: State,
    /// Those that died for this reason only: `fatal`, `poison`, `expired`, `skipped` or `dropped`.
    #[arg(long, value_name = "CODE")]
    pub(crate) reason: Option<String>,
    /// Those by this one's fault only: `receiver` or `platform`.
    #[arg(long)]
    pub(crate) fault: Option<String>,
    /// Those that died from this moment on, like `2026-01-02T03:04:05Z`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) from: Option<Timestamp>,
    /// Those that died until this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) to: Option<Timestamp>,
    /// How many.
    #[command(flatten)]
    pub(crate) paging: Paging,
    /// The server, and how the answer is printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Which dead letters are listed.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum State {
    /// Those that nobody has looked after yet.
    Open,
    /// Those that were sent again, discarded or dropped.
    Closed,
    /// Both.
    All,
}

impl State {
    /// The API's word.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::All => "all",
        }
    }
}

//! The commands and their arguments; the clients of the API have a file for each noun.

pub(crate) mod access;
pub(crate) mod attempts;
pub(crate) mod dead_letters;
pub(crate) mod event;
pub(crate) mod paging;
pub(crate) mod replay;
pub(crate) mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::config::Hidden;
use crate::config::sources::Flags;

/// The end of the year 9999, in UNIX seconds: later times are mistakes.
pub(crate) const LATEST: u64 = 253_402_300_799;

/// Signed, ordered, durable webhooks.
#[derive(Parser)]
#[command(version = crate::build::version(), about, max_term_width = 120)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Take events and deliver them, in one process.
    Serve(Flags),
    /// Take events and manage webhooks: a part of a cluster, of which there can be any number.
    Ingest(Flags),
    /// Deliver events: a part of a cluster, of which there can be any number.
    Dispatcher(Flags),
    /// Bring the database up to this version, and end; every start does the same.
    Migrate(Flags),
    /// Carry a deployment into the empty cluster that the settings name: from a data folder, or from another cluster.
    Move(Move),
    /// Copy the database of an embedded deployment into a file, also beside a running server.
    Backup(Backup),
    /// Say that the database was restored from a backup, before its first start: no sequence number is given again.
    Restored(Flags),
    /// Encrypt anew, under `SPECTRUM_MASTER_KEY`, what rests under another key; works beside running servers.
    RotateMasterKey(RotateMasterKey),
    /// Check the settings and print what is in effect, secrets masked.
    CheckConfig(CheckConfig),
    /// Ask the server of this machine whether it is ready; ends with 0 if it is, else with 1.
    Health(Health),
    /// Look after projects; works beside a running server.
    #[command(subcommand)]
    Project(Project),
    /// Register, change and steer webhooks.
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Post events, and see where one stands.
    #[command(subcommand)]
    Event(event::Event),
    /// Print the delivery log, newest first.
    Attempts(attempts::Attempts),
    /// Print each attempt as it ends, until interrupted.
    Tail(attempts::Tail),
    /// Look after what was given up.
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Send many events again to one webhook, as a job.
    #[command(subcommand)]
    Replay(replay::Replay),
    /// Receive deliveries locally: verify and print each, and fail on request.
    Listen(Listen),
    /// Post events from NDJSON, in order.
    Send(Send),
    /// Check a captured delivery, and say what is wrong with it.
    Verify(Verify),
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the description of the HTTP API, in OpenAPI 3.1: what a server has at `/openapi.json`.
    Openapi,
    /// Show it all: events through failing URLs and a `kill -9`, checked by an independent verifier.
    Demo(Demo),
}

/// `move`.
#[derive(Args)]
pub(crate) struct Move {
    /// The deployment to move, which nobody may serve: its data folder, or a file of the settings of its cluster.
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(crate) from: PathBuf,
    /// Only look whether it can be moved, and count what there is.
    #[arg(long, conflicts_with = "undo")]
    pub(crate) check: bool,
    /// Take back that it was moved: it may be served again, and whatever target it was moved into may not.
    #[arg(long)]
    pub(crate) undo: bool,
    /// The master key of the data folder, if that is neither in it nor the one of the target.
    #[arg(long, env = "SPECTRUM_FROM_MASTER_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) from_master_key: Option<Hidden>,
    /// The settings of the target.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `backup`.
#[derive(Args)]
pub(crate) struct Backup {
    /// The file; there must be none of that name.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// The settings.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `rotate-master-key`.
#[derive(Args)]
pub(crate) struct RotateMasterKey {
    /// Print which keys are in use, what does not rest under this one, and which keys each process knows; change nothing.
    #[arg(long)]
    pub(crate) status: bool,
    /// How long to wait until all running processes encrypt under this key.
    #[arg(long, default_value = "45s", value_parser = wait)]
    pub(crate) wait: Duration,
    /// The settings.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `check-config`.
#[derive(Args)]
pub(crate) struct CheckConfig {
    /// Print the table of all settings, as Markdown, instead.
    #[arg(long)]
    pub(crate) table: bool,
    /// The settings.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `health`.
#[derive(Args)]
pub(crate) struct Health {
    /// Ask only whether it is alive.
    #[arg(long)]
    pub(crate) alive: bool,
    /// The settings; `SPECTRUM_OPS_LISTEN` says where it is.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `project`.
#[derive(Subcommand)]
pub(crate) enum Project {
    /// Make a project; prints its id and, this one time, its secret.
    Create {
        /// What people call it.
        #[arg(long, default_value = "project")]
        name: String,
        /// The settings.
        #[command(flatten)]
        flags: Flags,
    },
    /// Print all projects, one JSON object a line.
    List {
        /// The settings.
        #[command(flatten)]
        flags: Flags,
    },
    /// Replace a project's secret; prints the new one, this one time.
    RotateSecret {
        /// The project.
        project: uuid::Uuid,
        /// The settings.
        #[command(flatten)]
        flags: Flags,
    },
    /// Name the project whose webhooks are told of outages, disabled webhooks and dead letters.
    Operations {
        /// The project.
        #[arg(required_unless_present = "off")]
        project: Option<uuid::Uuid>,
        /// Tell nobody any more.
        #[arg(long, conflicts_with = "project")]
        off: bool,
        /// The settings.
        #[command(flatten)]
        flags: Flags,
    },
    /// Delete a project and its webhooks.
    Delete {
        /// The project.
        project: uuid::Uuid,
        /// The settings.
        #[command(flatten)]
        flags: Flags,
    },
}

/// `listen`.
#[derive(Args)]
pub(crate) struct Listen {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The webhook's signing secret, in either form; without it nothing is verified.
    #[arg(long, env = "SPECTRUM_SIGNING_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// The status to answer with.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub(crate) status: u16,
    /// How long to wait before each answer, like `500ms`.
    #[arg(long, default_value = "0s", value_parser = wait)]
    pub(crate) delay: Duration,
    /// Never answer.
    #[arg(long)]
    pub(crate) hang: bool,
    /// Answer `500` to the first N requests of each event.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) fail_first: u64,
    /// Print the bodies too, 2,000 characters each at most.
    #[arg(long)]
    pub(crate) body: bool,
    /// End after this many deliveries.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// `send`.
#[derive(Args)]
pub(crate) struct Send {
    /// NDJSON, one event a line; `-` is the standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// Post up to N events in one request.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) batch: Option<u16>,
    /// How long to go on trying an event that the server does not take for the moment.
    #[arg(long, default_value = "60s", value_parser = wait)]
    pub(crate) patience: Duration,
    /// Print what became of each line as JSON for scripts: its event's id, or why it was not taken.
    #[arg(long)]
    pub(crate) json: bool,
    /// The server and who posts.
    #[command(flatten)]
    pub(crate) access: access::Access,
}

/// The shells that completions can be printed for.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Shell {
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// `verify`.
#[derive(Args)]
pub(crate) struct Verify {
    /// The webhook's signing secret, in either form.
    #[arg(long, env = "SPECTRUM_SIGNING_SECRET", hide_env_values = true)]
    pub(crate) secret: String,
    /// The whole request as it was captured: head, empty line, body. `-` is the standard input.
    #[arg(conflicts_with_all = ["headers", "body"], required_unless_present = "body")]
    pub(crate) request: Option<PathBuf>,
    /// The headers alone, one a line.
    #[arg(long, requires = "body")]
    pub(crate) headers: Option<PathBuf>,
    /// The body alone, to the byte.
    #[arg(long, requires = "headers")]
    pub(crate) body: Option<PathBuf>,
    /// When it came in, in UNIX seconds; now, if not given.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=LATEST))]
    pub(crate) at: Option<u64>,
    /// Do not mind how old it is.
    #[arg(long)]
    pub(crate) ignore_age: bool,
}

/// `demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// Events in all, half of them for each of the two projects.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub(crate) events: u32,
    /// Show it on a cluster: two processes that take events, three that deliver. The environment says where its
    /// services are, as for them; `make demo-cluster` starts private ones.
    #[arg(long)]
    pub(crate) cluster: bool,
}

/// A wait with its unit; none is one too. Longer ones than a year are mistakes, and would overflow the clock.
fn wait(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(wait) if wait <= Duration::from_secs(366 * 86_400) => Ok(wait),
        Ok(_) => Err("expected 366 days or less".to_owned()),
        Err(_) => Err("expected a time with its unit, like `500ms` or `30s`".to_owned()),
    }
}

/// A moment in ISO 8601 with its offset.
fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "expected a time with its offset, like `2026-01-02T03:04:05Z`".to_owned())
}

#[cfg(test)]
mod documented_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_all_commands_fit_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn waits_have_a_unit_and_an_end() {
        assert_eq!(wait("0s"), Ok(Duration::ZERO));
        assert_eq!(wait("500ms"), Ok(Duration::from_millis(500)));
        for text in ["5", "-1s", "soon", "400days", "500000000000years"] {
            assert!(wait(text).is_err(), "{text}");
        }
    }
}

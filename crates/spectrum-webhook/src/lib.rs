//! The program: the server, the commands that look after it, and the tools of someone who builds a receiver. A library,
//! so that a test build can be the same program over backends that are wrong on purpose.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `cli` | the commands and their arguments |
//! | `config` | the settings: flags, environment, defaults, checks |
//! | `wire` | which backend is in use, and how the parts are put together |
//! | `api_client` | a client of the HTTP API |
//! | `access`, `profiles` | which server a client command is for, and who asks |
//! | `exit` | the exit codes |
//! | `build` | what this program was built from |
//! | `http` | an HTTP server with bounds and a clean stop |
//! | `log` | the log, and what a line of it may be |
//! | `telemetry`, `gauges` | metrics, health and readiness |
//! | `traces` | spans on their way to a collector |
//! | `fleet` | what this process says of itself to those who are on call |
//! | `commands` | one file for each command |

mod access;
mod api_client;
mod build;
mod cli;
mod commands;
mod config;
mod exit;
mod fleet;
mod gauges;
mod http;
mod log;
mod profiles;
mod telemetry;
mod traces;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use config::sources::{Flags, Sources};
use config::{Mistakes, Settings};

pub use wire::{Between, Ports};

/// The program.
pub fn main() -> ExitCode {
    main_with(|ports| ports)
}

/// The same with something between its dispatcher and the backends.
pub fn main_with(between: Between) -> ExitCode {
    let command = Cli::parse().command;
    match commands::run(command, between) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::from(exit::code(&error))
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command line program")]
fn complain(error: &anyhow::Error) {
    eprintln!("spectrum-webhook: {error:#}");
}

/// The settings of this process.
fn settings(flags: Flags) -> Result<Settings, Mistakes> {
    config::read(&Sources::of_process(flags))
}

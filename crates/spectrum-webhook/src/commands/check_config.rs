//! `check-config`: what is in effect and who set it, or everything that is wrong.

use std::process::ExitCode;

use super::say;
use crate::cli::CheckConfig;
use crate::config::sources::{Origin, Sources};
use crate::config::{self, table};

/// Checks the settings and prints them as a file of variables, secrets masked; or prints the table of all.
///
/// # Errors
/// All mistakes.
pub(super) fn check_config(arguments: CheckConfig) -> anyhow::Result<ExitCode> {
    if arguments.table {
        say(table::markdown().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let sources = Sources::of_process(arguments.flags);
    config::read(&sources)?;
    for entry in table::entries() {
        let (value, origin) = sources.value(entry);
        let shown = match value {
            Some(_) if entry.secret => "(hidden)",
            Some(value) => value,
            None => "",
        };
        let from = if origin == Origin::Default { String::new() } else { format!("  # by {}", origin.name()) };
        say(format_args!("{}={}{from}", entry.name, shown.escape_debug()));
    }
    Ok(ExitCode::SUCCESS)
}

//! `completions`: what a shell needs to complete commands and flags.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::say;
use crate::cli::{self, Cli};

/// Prints a shell's completions.
///
/// # Errors
/// None in practice: they are text.
pub(super) fn completions(shell: cli::Shell) -> anyhow::Result<ExitCode> {
    let shell = match shell {
        cli::Shell::Bash => Shell::Bash,
        cli::Shell::Zsh => Shell::Zsh,
        cli::Shell::Fish => Shell::Fish,
    };
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    say(String::from_utf8(script)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

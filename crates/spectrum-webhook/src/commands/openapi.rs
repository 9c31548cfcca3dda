//! `openapi`: the description of the HTTP API.

use std::process::ExitCode;

use super::say;

/// Prints the description that a server of this version has at `/openapi.json`.
///
/// # Errors
/// None: it is made here.
pub(super) fn openapi() -> anyhow::Result<ExitCode> {
    say(spectrum_webhook_ingest::description().trim_end());
    Ok(ExitCode::SUCCESS)
}

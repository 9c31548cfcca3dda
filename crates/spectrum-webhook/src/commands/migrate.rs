//! `migrate`: brings the database up to this version.

use std::process::ExitCode;

use super::{say, small_runtime};
use crate::config::Settings;
use crate::wire::ProjectRegistry;

/// Applies the migrations that are missing; the server does the same when it starts.
///
/// # Errors
/// When the database cannot be opened.
pub(super) fn migrate(settings: &Settings) -> anyhow::Result<ExitCode> {
    small_runtime()?.block_on(async {
        let registry = ProjectRegistry::open(settings).await?;
        let newer = registry.newer_migration().await?;
        registry.close().await?;
        match newer {
            None => say("the database is up to date"),
            Some(found) => say(format!(
                "the database was migrated by a newer release (migration {found}), beside which this one works"
            )),
        }
        Ok(ExitCode::SUCCESS)
    })
}

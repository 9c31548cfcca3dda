//! `backup`: copies the file of an embedded deployment, also beside a running server.

use std::process::ExitCode;

use anyhow::bail;
use spectrum_webhook_sql::{Database, MasterKey};

use super::say;
use crate::cli;

/// Runs it.
///
/// # Errors
/// When there is no file to copy, or it cannot be copied.
pub(super) fn backup(arguments: cli::Backup) -> anyhow::Result<ExitCode> {
    let settings = crate::settings(arguments.flags)?;
    if settings.cluster.is_some() {
        bail!(
            "a cluster remembers in PostgreSQL, which is backed up by its own tools, like `pg_dump --format=custom`: see \
             docs/operating.md"
        );
    }
    let bytes = Database::back_up(&settings.data_dir, &arguments.to)?;
    say(format_args!("{} has {bytes} bytes", arguments.to.display()));
    let key = settings.data_dir.join(MasterKey::FILE_NAME);
    if settings.master_key.is_none() && key.exists() {
        say(format_args!(
            "it is of no use without the master key: keep a copy of {} too, somewhere else",
            key.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

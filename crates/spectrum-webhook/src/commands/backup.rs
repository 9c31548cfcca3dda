//! `backup` copies the file of an embedded deployment, also beside a running server; `restored` makes a database that was
//! restored from a backup, of either kind, ready to be served.

use std::process::ExitCode;

use anyhow::bail;
use spectrum_webhook_core::ports::Directory as _;
use spectrum_webhook_sql::{Database, KeyFile};

use super::{say, small_runtime};
use crate::cli;
use crate::config::Settings;
use crate::wire::ProjectRegistry;

/// Raises the numbers of a restored database above those that were given since its backup, and deletes what Redis
/// remembers of what came since.
///
/// # Errors
/// When the database cannot be opened, Redis does not do it, or a dispatcher runs.
pub(super) fn restored(settings: &Settings) -> anyhow::Result<ExitCode> {
    ProjectRegistry::must_exist(settings)?;
    small_runtime()?.block_on(async {
        let registry = ProjectRegistry::open(settings).await?;
        let done = async {
            let partitions = registry.store.partitions(settings.partitions).await?;
            // It changes nothing when it fails, and can be done again.
            let keys = registry.forget().await?;
            registry.store.restored(partitions).await?;
            anyhow::Ok(keys)
        };
        let done = done.await;
        registry.close().await?;
        if let Some(keys) = done? {
            say(format_args!("{keys} keys of Redis are deleted"));
        }
        say("it may be served: what comes now is numbered above all that came before");
        Ok(ExitCode::SUCCESS)
    })
}

/// Copies the file.
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
    let key = settings.data_dir.join(KeyFile::NAME);
    if settings.master_key.is_none() && key.exists() {
        say(format_args!(
            "it is of no use without the master key: keep a copy of {} too, somewhere else",
            key.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

//! `project`: makes, lists and deletes projects and exchanges their secrets; works on the store, also beside a running
//! server.

use std::process::ExitCode;

use anyhow::bail;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde_json::json;
use spectrum_webhook_core::ids::{ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{self, Directory, DirectoryError, Notices as _};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_sql::SqlStore;
use uuid::Uuid;

use super::{say, small_runtime};
use crate::cli::Project;
use crate::config::Settings;
use crate::config::sources::Flags;
use crate::wire::ProjectRegistry;

/// Names are for people; longer ones are mistakes.
const LONGEST_NAME: usize = 200;

/// Runs one of them.
///
/// # Errors
/// When the store cannot be opened, or there is no such project.
pub(super) fn project(command: Project) -> anyhow::Result<ExitCode> {
    match command {
        Project::Create { name, flags } => {
            with_registry(crate::settings(flags)?, async |registry| create(&registry.store, &name).await)
        }
        Project::List { flags } => with_registry(existing(flags)?, async |registry| list(&registry.store).await),
        Project::RotateSecret { project, flags } => {
            with_registry(existing(flags)?, async |registry| rotate(&registry.store, ProjectId(project)).await)
        }
        Project::Operations { project, off: _, flags } => {
            with_registry(existing(flags)?, async |registry| operations(&registry.store, project.map(ProjectId)).await)
        }
        Project::Delete { project, flags } => {
            with_registry(existing(flags)?, async |registry| delete(registry, ProjectId(project)).await)
        }
    }
}

/// The settings, if there is something to look after.
fn existing(flags: Flags) -> anyhow::Result<Settings> {
    let settings = crate::settings(flags)?;
    ProjectRegistry::must_exist(&settings)?;
    Ok(settings)
}

fn with_registry(
    settings: Settings,
    work: impl AsyncFnOnce(&ProjectRegistry) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    small_runtime()?.block_on(async {
        let registry = ProjectRegistry::open(&settings).await?;
        let done = work(&registry).await;
        registry.close().await?;
        done.map(|()| ExitCode::SUCCESS)
    })
}

async fn create(store: &SqlStore, name: &str) -> anyhow::Result<()> {
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        bail!("a project's name is 1 to {LONGEST_NAME} characters, none of them a control character");
    }
    let (secret, secret_hash) = new_secret()?;
    let id = ProjectId(Uuid::now_v7());
    let created_at = Millis(jiff::Timestamp::now().as_millisecond());
    let project = ports::Project { id, name: name.to_owned(), secret_hash, registry: RegistryVersion(0), created_at };
    store.create_project(&project).await?;
    say(json!({ "projectId": id, "projectSecret": secret }));
    Ok(())
}

async fn list(store: &SqlStore) -> anyhow::Result<()> {
    for project in store.list_projects().await? {
        let created = jiff::Timestamp::from_millisecond(project.created_at.0)?;
        say(json!({ "projectId": project.id, "name": project.name, "createdAt": format!("{created:.3}") }));
    }
    Ok(())
}

async fn rotate(store: &SqlStore, id: ProjectId) -> anyhow::Result<()> {
    let (secret, secret_hash) = new_secret()?;
    found(id, store.rotate_project_secret(id, secret_hash).await)?;
    say(json!({ "projectId": id, "projectSecret": secret }));
    Ok(())
}

async fn operations(store: &SqlStore, project: Option<ProjectId>) -> anyhow::Result<()> {
    if let Some(id) = project {
        found(id, store.project(id).await)?;
    }
    store.tell(project).await?;
    say(json!({ "operationsProjectId": project }));
    Ok(())
}

async fn delete(registry: &ProjectRegistry, id: ProjectId) -> anyhow::Result<()> {
    let now = Millis(jiff::Timestamp::now().as_millisecond());
    found(id, registry.store.project(id).await)?;
    registry.delete_project(id, now).await?;
    say(json!({ "projectId": id, "deleted": true }));
    Ok(())
}

fn found<T>(id: ProjectId, outcome: Result<T, DirectoryError>) -> anyhow::Result<T> {
    match outcome {
        Err(DirectoryError::NotFound) => bail!("there is no project {id}"),
        other => Ok(other?),
    }
}

/// A secret of 256 random bits as 64 hex characters, and what is stored of it: its SHA-256.
fn new_secret() -> anyhow::Result<(String, [u8; 32])> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes)?;
    let secret = hex::encode(bytes);
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    Ok((secret, digest.as_ref().try_into()?))
}

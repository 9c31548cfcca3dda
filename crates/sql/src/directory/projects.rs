//! Projects, their registry versions, and the number of partitions.

use spectrum_webhook_core::ids::{ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::Project;
use spectrum_webhook_core::time::Millis;
use sqlx::any::AnyRow;

use super::{Changed, Refusal};
use crate::error::Fault;
use crate::sql::{Columns as _, Conn, number, run};

/// The number of partitions, once it is fixed.
pub(crate) async fn partitions(conn: &mut Conn) -> Result<Option<u16>, Fault> {
    let sql = "SELECT value FROM settings WHERE name = 'partitions'";
    let Some(row) = sqlx::query(sql).fetch_optional(conn).await? else { return Ok(None) };
    let text = row.text(0)?;
    let count = text.parse().ok().filter(|count| *count > 0);
    count.map(Some).ok_or_else(|| Fault::Corrupt(format!("not a number of partitions: {text:?}")))
}

pub(super) async fn fix_partitions(conn: &mut Conn, wanted: u16) -> Result<u16, Fault> {
    let sql = "INSERT INTO settings (name, value) VALUES ('partitions', $1) ON CONFLICT (name) DO NOTHING";
    run(conn, sqlx::query(sql).bind(wanted.to_string())).await?;
    Ok(partitions(conn).await?.unwrap_or(wanted))
}

/// The first statement of every change of a project's webhooks: in PostgreSQL it locks the project's row, so that
/// changes of one project come one after the other, and always in the same order of locks.
pub(crate) async fn lock(conn: &mut Conn, project: ProjectId) -> Result<(), Fault> {
    let sql = "UPDATE projects SET registry = registry WHERE id = $1";
    run(conn, sqlx::query(sql).bind(project.to_string())).await?;
    Ok(())
}

/// Counts a change of the project's webhooks; call it last in the change's transaction.
pub(crate) async fn raise_version(conn: &mut Conn, project: ProjectId) -> Result<RegistryVersion, Fault> {
    let raise = "UPDATE projects SET registry = registry + 1, changed = (SELECT max(changed) + 1 FROM projects) \
                 WHERE id = $1";
    run(conn, sqlx::query(raise).bind(project.to_string())).await?;
    let read = "SELECT registry FROM projects WHERE id = $1";
    Ok(RegistryVersion(sqlx::query(read).bind(project.to_string()).fetch_one(conn).await?.int(0)?))
}

pub(super) async fn create(conn: &mut Conn, project: Project) -> Result<(), Fault> {
    let sql = "INSERT INTO projects (id, name, secret_hash, registry, changed, created_at) \
               VALUES ($1, $2, $3, 0, 0, $4)";
    let statement = sqlx::query(sql)
        .bind(project.id.to_string())
        .bind(project.name)
        .bind(&project.secret_hash[..])
        .bind(project.created_at.0);
    run(conn, statement).await?;
    Ok(())
}

fn project_of(row: &AnyRow) -> Result<Project, Fault> {
    let hash = row.blob(2)?;
    Ok(Project {
        id: ProjectId(row.uuid(0)?),
        name: row.text(1)?,
        secret_hash: hash.try_into().map_err(|_| Fault::Corrupt("a project's secret hash".to_owned()))?,
        registry: RegistryVersion(number(row.int(3)?)?),
        created_at: Millis(row.int(4)?),
    })
}

pub(super) async fn list(conn: &mut Conn) -> Result<Vec<Project>, Fault> {
    let sql = "SELECT id, name, secret_hash, registry, created_at FROM projects WHERE deleted_at IS NULL \
               ORDER BY created_at, id";
    sqlx::query(sql).fetch_all(conn).await?.iter().map(project_of).collect()
}

pub(super) async fn one(conn: &mut Conn, id: ProjectId) -> Changed<Project> {
    let sql = "SELECT id, name, secret_hash, registry, created_at FROM projects WHERE id = $1 AND deleted_at IS NULL";
    match sqlx::query(sql).bind(id.to_string()).fetch_optional(conn).await? {
        Some(row) => Ok(Ok(project_of(&row)?)),
        None => Ok(Err(Refusal::NotFound)),
    }
}

pub(super) async fn rotate(conn: &mut Conn, id: ProjectId, secret_hash: [u8; 32]) -> Changed<()> {
    let sql = "UPDATE projects SET secret_hash = $2 WHERE id = $1 AND deleted_at IS NULL";
    let changed = run(conn, sqlx::query(sql).bind(id.to_string()).bind(&secret_hash[..])).await?;
    Ok(if changed == 1 { Ok(()) } else { Err(Refusal::NotFound) })
}

pub(super) async fn delete(conn: &mut Conn, id: ProjectId, now: Millis) -> Changed<RegistryVersion> {
    let sql = "UPDATE projects SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL";
    if run(conn, sqlx::query(sql).bind(id.to_string()).bind(now.0)).await? == 0 {
        return Ok(Err(Refusal::NotFound));
    }
    let webhooks = "UPDATE webhooks SET deleted_at = $2, updated_at = $2 WHERE project = $1 AND deleted_at IS NULL";
    run(conn, sqlx::query(webhooks).bind(id.to_string()).bind(now.0)).await?;
    Ok(Ok(raise_version(conn, id).await?))
}

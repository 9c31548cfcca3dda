//! Webhooks: registering, changing, deleting them. Each change raises the project's registry version with it.

use std::time::Duration;

use spectrum_webhook_core::ids::{ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{NewWebhook, WebhookPatch};
use spectrum_webhook_core::shape::RateLimit;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{DisabledReason, SigningSecret, Webhook};
use sqlx::AssertSqlSafe;

use super::projects::{lock, one as project, raise_version};
use super::{Changed, Refusal};
use crate::database::keys::sealer;
use crate::error::Fault;
use crate::secrets::Keyring;
use crate::sql::{Columns as _, Conn, run};
use crate::store::{WEBHOOK_COLUMNS, webhook_of};

pub(super) async fn register(
    conn: &mut Conn,
    keys: Keyring,
    new: NewWebhook,
    now: Millis,
) -> Changed<(Webhook, RegistryVersion)> {
    lock(conn, new.project).await?;
    if project(conn, new.project).await?.is_err() {
        return Ok(Err(Refusal::NotFound));
    }
    if is_taken(conn, new.project, &new.url, None).await? {
        return Ok(Err(Refusal::UrlTaken));
    }
    let version = raise_version(conn, new.project).await?;
    let sealer = sealer(conn, &keys).await?;
    let sql = "INSERT INTO webhooks (id, project, url, secret, event_types, added, created_at, updated_at, headers, \
               rate_limit, attempt_timeout_ms, ordering) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11)";
    let statement = sqlx::query(sql)
        .bind(new.id.to_string())
        .bind(new.project.to_string())
        .bind(new.url)
        .bind(sealer.seal_secret(new.id, &new.secret)?)
        .bind(new.event_types.as_deref().map(types_text))
        .bind(version.0)
        .bind(now.0)
        .bind(sealer.seal_headers(new.id, &new.shape.headers)?)
        .bind(new.shape.rate_limit.map(limit_of))
        .bind(new.shape.attempt_timeout.map(millis_of))
        .bind(new.shape.ordering.code());
    run(conn, statement).await?;
    Ok(find(conn, &keys, new.project, new.id).await?.map(|webhook| (webhook, version)))
}

/// Whether another undeleted webhook of the project has this URL, to the byte.
async fn is_taken(conn: &mut Conn, project: ProjectId, url: &str, except: Option<WebhookId>) -> Result<bool, Fault> {
    let sql = "SELECT id FROM webhooks WHERE project = $1 AND url = $2 AND deleted_at IS NULL";
    let row = sqlx::query(sql).bind(project.to_string()).bind(url).fetch_optional(conn).await?;
    let holder = row.map(|row| row.uuid(0)).transpose()?;
    Ok(holder.is_some_and(|id| Some(WebhookId(id)) != except))
}

fn types_text(types: &[String]) -> String {
    serde_json::Value::from(types).to_string()
}

fn limit_of(limit: RateLimit) -> i64 {
    i64::from(limit.per_second())
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

async fn find(conn: &mut Conn, keys: &Keyring, project: ProjectId, id: WebhookId) -> Changed<Webhook> {
    let sql =
        format!("SELECT {WEBHOOK_COLUMNS} FROM webhooks w WHERE w.id = $1 AND w.project = $2 AND w.deleted_at IS NULL");
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).bind(project.to_string());
    match statement.fetch_optional(conn).await? {
        Some(row) => Ok(Ok(webhook_of(&row, keys)?)),
        None => Ok(Err(Refusal::NotFound)),
    }
}

pub(super) async fn list(conn: &mut Conn, keys: Keyring, id: ProjectId) -> Changed<Vec<Webhook>> {
    if project(conn, id).await?.is_err() {
        return Ok(Err(Refusal::NotFound));
    }
    let sql = format!(
        "SELECT {WEBHOOK_COLUMNS} FROM webhooks w WHERE w.project = $1 AND w.deleted_at IS NULL ORDER BY w.added"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).fetch_all(conn).await?;
    Ok(Ok(rows.iter().map(|row| webhook_of(row, &keys)).collect::<Result<_, _>>()?))
}

pub(super) async fn patch(
    conn: &mut Conn,
    keys: Keyring,
    project: ProjectId,
    id: WebhookId,
    patch: WebhookPatch,
    now: Millis,
) -> Changed<(Webhook, RegistryVersion)> {
    lock(conn, project).await?;
    let mut webhook = match find(conn, &keys, project, id).await? {
        Ok(webhook) => webhook,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(url) = patch.url {
        if is_taken(conn, project, &url, Some(id)).await? {
            return Ok(Err(Refusal::UrlTaken));
        }
        webhook.url = url;
    }
    match patch.enabled {
        Some(true) => webhook.disabled = None,
        // One that is off already keeps its reason.
        Some(false) => webhook.disabled = webhook.disabled.or(Some((now, DisabledReason::Manual))),
        None => {}
    }
    if let Some(types) = patch.event_types {
        webhook.event_types = types;
    }
    if let Some(headers) = patch.headers {
        webhook.shape.headers = headers;
    }
    webhook.shape.rate_limit = patch.rate_limit.unwrap_or(webhook.shape.rate_limit);
    webhook.shape.attempt_timeout = patch.attempt_timeout.unwrap_or(webhook.shape.attempt_timeout);
    webhook.shape.ordering = patch.ordering.unwrap_or(webhook.shape.ordering);
    webhook.updated_at = now;
    let sealer = sealer(conn, &keys).await?;
    let sql = "UPDATE webhooks SET url = $2, event_types = $3, disabled_at = $4, disabled_reason = $5, \
               updated_at = $6, headers = $7, rate_limit = $8, attempt_timeout_ms = $9, ordering = $10 WHERE id = $1";
    let statement = sqlx::query(sql)
        .bind(id.to_string())
        .bind(webhook.url.as_str())
        .bind(webhook.event_types.as_deref().map(types_text))
        .bind(webhook.disabled.map(|(at, _)| at.0))
        .bind(webhook.disabled.map(|(_, reason)| reason.code()))
        .bind(now.0)
        .bind(sealer.seal_headers(id, &webhook.shape.headers)?)
        .bind(webhook.shape.rate_limit.map(limit_of))
        .bind(webhook.shape.attempt_timeout.map(millis_of))
        .bind(webhook.shape.ordering.code());
    run(conn, statement).await?;
    let version = raise_version(conn, project).await?;
    Ok(Ok((webhook, version)))
}

pub(super) async fn delete(
    conn: &mut Conn,
    project: ProjectId,
    id: WebhookId,
    now: Millis,
) -> Changed<RegistryVersion> {
    lock(conn, project).await?;
    let sql = "UPDATE webhooks SET deleted_at = $3, updated_at = $3 \
               WHERE id = $1 AND project = $2 AND deleted_at IS NULL";
    let statement = sqlx::query(sql).bind(id.to_string()).bind(project.to_string()).bind(now.0);
    if run(conn, statement).await? == 0 {
        return Ok(Err(Refusal::NotFound));
    }
    Ok(Ok(raise_version(conn, project).await?))
}

/// A new key, and how long the one before it stays valid.
pub(super) struct Rotation {
    pub(super) keys: Keyring,
    pub(super) secret: SigningSecret,
    pub(super) overlap_until: Millis,
}

pub(super) async fn rotate(
    conn: &mut Conn,
    project: ProjectId,
    id: WebhookId,
    rotation: Rotation,
    now: Millis,
) -> Changed<(Webhook, RegistryVersion)> {
    lock(conn, project).await?;
    let sealed = sealer(conn, &rotation.keys).await?.seal_secret(id, &rotation.secret)?;
    // Without an overlap the old key is not kept at all.
    let sql = if rotation.overlap_until > now {
        "UPDATE webhooks SET previous_secret = secret, previous_until = $5, secret = $3, updated_at = $4 \
         WHERE id = $1 AND project = $2 AND deleted_at IS NULL"
    } else {
        "UPDATE webhooks SET previous_secret = NULL, previous_until = NULL, secret = $3, updated_at = $4 \
         WHERE id = $1 AND project = $2 AND deleted_at IS NULL"
    };
    let statement = sqlx::query(sql).bind(id.to_string()).bind(project.to_string()).bind(sealed).bind(now.0);
    let statement = if rotation.overlap_until > now { statement.bind(rotation.overlap_until.0) } else { statement };
    if run(conn, statement).await? == 0 {
        return Ok(Err(Refusal::NotFound));
    }
    let version = raise_version(conn, project).await?;
    Ok(find(conn, &rotation.keys, project, id).await?.map(|webhook| (webhook, version)))
}

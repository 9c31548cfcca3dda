//! A project's webhooks, with the keys that their deliveries are signed with.

use std::time::Duration;

use spectrum_webhook_core::ids::{ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ordering::Ordering;
use spectrum_webhook_core::shape::{RateLimit, Shape};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{DisabledReason, Registry, SigningKeys, Webhook};
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::secrets::Keyring;
use crate::sql::{Columns as _, Conn};

/// The columns that [`webhook_of`] reads, of `webhooks w`.
pub(crate) const WEBHOOK_COLUMNS: &str = "w.id, w.project, w.url, w.event_types, w.disabled_at, w.disabled_reason, \
                                          w.added, w.created_at, w.updated_at, w.headers, w.rate_limit, \
                                          w.attempt_timeout_ms, w.ordering";

/// A webhook from [`WEBHOOK_COLUMNS`].
pub(crate) fn webhook_of(row: &AnyRow, keys: &Keyring) -> Result<Webhook, Fault> {
    let id = WebhookId(row.uuid(0)?);
    let disabled = match (row.maybe_int(4)?, row.maybe_text(5)?) {
        (Some(at), Some(code)) => {
            let reason = DisabledReason::from_code(&code)
                .ok_or_else(|| Fault::Corrupt(format!("not a reason to be disabled: {code:?}")))?;
            Some((Millis(at), reason))
        }
        _ => None,
    };
    let event_types = row.maybe_text(3)?.map(|json| {
        serde_json::from_str(&json).map_err(|error| Fault::Corrupt(format!("a webhook's event types: {error}")))
    });
    let rate_limit = row.maybe_int(10)?.map(|limit| {
        let limit = u64::try_from(limit).ok().and_then(RateLimit::new);
        limit.ok_or_else(|| Fault::Corrupt(format!("the rate limit of webhook {id} is none")))
    });
    let attempt_timeout = row.maybe_int(11)?.map(|millis| {
        let millis = u64::try_from(millis).map_err(|_| Fault::Corrupt(format!("a negative time-out: {millis} ms")))?;
        Ok::<_, Fault>(Duration::from_millis(millis))
    });
    let ordering = row.text(12)?;
    let ordering = Ordering::from_code(&ordering)
        .ok_or_else(|| Fault::Corrupt(format!("not an ordering of events: {ordering:?}")))?;
    Ok(Webhook {
        id,
        project: ProjectId(row.uuid(1)?),
        url: row.text(2)?,
        disabled,
        event_types: event_types.transpose()?,
        shape: Shape {
            headers: keys.open_headers(id, row.maybe_blob(9)?.as_deref())?,
            rate_limit: rate_limit.transpose()?,
            attempt_timeout: attempt_timeout.transpose()?,
            ordering,
        },
        added: RegistryVersion(row.int(6)?),
        created_at: Millis(row.int(7)?),
        updated_at: Millis(row.int(8)?),
    })
}

/// One statement, so that version and webhooks are of one moment. A deleted project keeps its version and has no
/// webhooks: its owner has to learn that.
pub(super) async fn registry(conn: &mut Conn, keys: Keyring, project: ProjectId) -> Result<Registry, Fault> {
    let sql = format!(
        "SELECT {WEBHOOK_COLUMNS}, w.secret, w.previous_secret, w.previous_until, p.registry \
         FROM projects p LEFT JOIN webhooks w ON w.project = p.id AND w.deleted_at IS NULL \
         WHERE p.id = $1 ORDER BY w.added"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(project.to_string()).fetch_all(conn).await?;
    let version = RegistryVersion(rows.first().map_or(Ok(0), |row| row.int(16))?);
    let mut webhooks = Vec::with_capacity(rows.len());
    for row in rows {
        // The one row of a project without webhooks.
        if row.maybe_text(0)?.is_none() {
            continue;
        }
        let webhook = webhook_of(&row, &keys)?;
        let current = keys.open_secret(webhook.id, &row.blob(13)?)?;
        let previous = match (row.maybe_blob(14)?, row.maybe_int(15)?) {
            (Some(sealed), Some(until)) => Some((keys.open_secret(webhook.id, &sealed)?, Millis(until))),
            _ => None,
        };
        webhooks.push((webhook, SigningKeys { current, previous }));
    }
    Ok(Registry { version, webhooks })
}

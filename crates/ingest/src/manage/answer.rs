//! What is shown. The order of the fields is the contract's.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::ports::Project;
use spectrum_webhook_core::shape::RateLimit;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{SigningSecret, Webhook};
use utoipa::ToSchema;

use crate::openapi::words;
use crate::steer::SteeredView;

/// A moment in ISO 8601, UTC, with milliseconds: `2026-01-02T03:04:05.678Z`.
#[derive(ToSchema)]
#[schema(as = Time, value_type = String, format = DateTime, examples("2026-01-02T03:04:05.678Z"))]
pub(crate) struct Iso(pub(crate) Millis);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What no calendar holds cannot come from a clock; it is shown as the first moment.
        write!(f, "{:.3}", Timestamp::from_millisecond(self.0.0).unwrap_or_default())
    }
}

impl Serialize for Iso {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Project)]
pub(crate) struct ProjectView<'a> {
    #[schema(value_type = Uuid)]
    id: ProjectId,
    /// What people call it.
    name: &'a str,
    created_at: Iso,
}

impl<'a> ProjectView<'a> {
    pub(crate) fn of(project: &'a Project) -> Self {
        Self { id: project.id, name: &project.name, created_at: Iso(project.created_at) }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
pub(crate) struct WebhookView<'a> {
    #[schema(value_type = Uuid)]
    id: WebhookId,
    /// As it was sent, to the byte.
    webhook_url: &'a str,
    /// 64 hex characters, the key as they stand. Only in the answer to its registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    signing_secret: Option<&'a str>,
    created_at: Iso,
    updated_at: Iso,
    /// Whether it takes events.
    enabled: bool,
    #[schema(value_type = words::WebhookStatus)]
    status: &'static str,
    /// Since when it is disabled.
    #[schema(required)]
    disabled_at: Option<Iso>,
    #[schema(value_type = Option<words::DisabledReason>, required)]
    disabled_reason: Option<&'static str>,
    /// `null` is all.
    #[schema(required)]
    event_types: Option<&'a [String]>,
    /// The same key for Standard Webhooks libraries. Only in the answer to its registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    standard_signing_secret: Option<String>,
    /// The values may be credentials: they are never shown.
    header_names: Vec<&'a str>,
    /// The most attempts a second; `null` is no limit.
    #[schema(required)]
    rate_limit: Option<u16>,
    /// How long one attempt may take; `null` is the deployment's own time.
    #[schema(required)]
    attempt_timeout_seconds: Option<u64>,
    #[schema(value_type = words::Ordering)]
    ordering: &'static str,
}

impl<'a> WebhookView<'a> {
    pub(crate) fn of(webhook: &'a Webhook) -> Self {
        let (disabled_at, disabled_reason) = webhook.disabled.unzip();
        let enabled = webhook.disabled.is_none();
        Self {
            id: webhook.id,
            webhook_url: &webhook.url,
            signing_secret: None,
            created_at: Iso(webhook.created_at),
            updated_at: Iso(webhook.updated_at),
            enabled,
            status: if enabled { "enabled" } else { "disabled" },
            disabled_at: disabled_at.map(Iso),
            disabled_reason: disabled_reason.map(|reason| reason.code()),
            event_types: webhook.event_types.as_deref(),
            standard_signing_secret: None,
            header_names: webhook.shape.headers.names().collect(),
            rate_limit: webhook.shape.rate_limit.map(RateLimit::per_second),
            attempt_timeout_seconds: webhook.shape.attempt_timeout.map(|timeout| timeout.as_secs()),
            ordering: webhook.shape.ordering.code(),
        }
    }

    /// The one time that the secret is shown.
    pub(crate) fn with_secret(webhook: &'a Webhook, secret: &'a SigningSecret) -> Self {
        Self {
            signing_secret: Some(secret.expose()),
            standard_signing_secret: Some(secret.expose_standard()),
            ..Self::of(webhook)
        }
    }
}

/// A registration with the check that was asked for; `null` when none could be made.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisteredWebhook)]
pub(crate) struct Checked<'a> {
    #[serde(flatten)]
    pub(crate) webhook: WebhookView<'a>,
    /// Only if it was asked for.
    #[schema(value_type = Option<SteeredView>)]
    pub(crate) check: Option<SteeredView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeletedWebhook)]
pub(crate) struct Deleted {
    #[schema(value_type = Uuid)]
    pub(crate) id: WebhookId,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RotatedSecret)]
pub(crate) struct Rotated<'a> {
    #[schema(value_type = Uuid)]
    id: WebhookId,
    /// 64 hex characters, the key as they stand.
    signing_secret: &'a str,
    /// The same key for Standard Webhooks libraries.
    standard_signing_secret: String,
    /// Until when the old secret signs too; `null`: it has ended.
    #[schema(required)]
    previous_secret_expires_at: Option<Iso>,
    updated_at: Iso,
}

impl<'a> Rotated<'a> {
    pub(crate) fn of(webhook: &Webhook, secret: &'a SigningSecret, previous_until: Option<Millis>) -> Self {
        Self {
            id: webhook.id,
            signing_secret: secret.expose(),
            standard_signing_secret: secret.expose_standard(),
            previous_secret_expires_at: previous_until.map(Iso),
            updated_at: Iso(webhook.updated_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_even_when_they_are_zero() {
        let shown = |millis| serde_json::to_string(&Iso(Millis(millis))).expect("JSON");
        assert_eq!(shown(1_767_323_045_678), r#""2026-01-02T03:04:05.678Z""#);
        assert_eq!(shown(1_767_323_045_000), r#""2026-01-02T03:04:05.000Z""#);
        assert_eq!(shown(0), r#""1970-01-01T00:00:00.000Z""#);
    }
}

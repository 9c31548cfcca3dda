//! The parameters of the calls, as they are described. They are read by [`Ids`](crate::auth::Ids) and
//! [`Query`](crate::page::Query). None has an example: the page would send it with every call that is tried.
#![expect(dead_code, reason = "these describe what is read elsewhere, and are never made")]

use utoipa::IntoParams;
use uuid::Uuid;

use super::words;

/// `/projects/{projectId}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
pub(crate) struct ProjectPath {
    /// The project's id.
    project_id: Uuid,
}

/// `/projects/{projectId}/webhooks/{webhookId}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
pub(crate) struct WebhookPath {
    /// The project's id.
    project_id: Uuid,
    /// The webhook's id.
    webhook_id: Uuid,
}

/// `/projects/{projectId}/events/{eventId}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
pub(crate) struct EventPath {
    /// The project's id.
    project_id: Uuid,
    /// The event's id.
    event_id: Uuid,
}

/// `/projects/{projectId}/webhooks/{webhookId}/dead-letters/{letterId}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
pub(crate) struct LetterPath {
    /// The project's id.
    project_id: Uuid,
    /// The webhook's id.
    webhook_id: Uuid,
    /// The dead letter's id: the event's, or that of the resend that died.
    letter_id: Uuid,
}

/// `/projects/{projectId}/webhooks/{webhookId}/replays/{replayId}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
pub(crate) struct ReplayPath {
    /// The project's id.
    project_id: Uuid,
    /// The webhook's id.
    webhook_id: Uuid,
    /// The replay's id.
    replay_id: Uuid,
}

/// What every list takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct Paging {
    /// How many rows are wanted.
    #[param(required = false, minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// The `nextCursor` of the page before, as it stands; none for the first page.
    #[param(required = false, max_length = 683, pattern = "^[A-Za-z0-9_-]*$")]
    cursor: String,
}

/// Which dead letters are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct LetterQuery {
    /// Of this webhook.
    #[param(required = false)]
    webhook: Uuid,
    /// Open ones, closed ones, or all; open ones if it is not said.
    #[param(required = false, inline)]
    state: words::LetterFilter,
    /// Given up for this reason.
    #[param(required = false, inline)]
    reason: words::DeadReason,
    /// Given up by this one's fault.
    #[param(required = false, inline)]
    fault: words::Fault,
    /// Given up at this time or later.
    #[param(required = false, format = DateTime)]
    from: String,
    /// Given up before this time.
    #[param(required = false, format = DateTime)]
    to: String,
}

/// Which attempts are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct AttemptQuery {
    /// Of this webhook.
    #[param(required = false)]
    webhook: Uuid,
    /// Of this event.
    #[param(required = false)]
    event: Uuid,
    /// With this outcome.
    #[param(required = false, inline)]
    outcome: words::AttemptOutcome,
    /// Answered with this status, or one of this class: `503`, `5xx`.
    #[param(required = false, pattern = "^[1-9]([0-9]{2}|xx)$")]
    status: String,
    /// Failed in this way.
    #[param(required = false, inline)]
    failure: words::AttemptFailure,
    /// Of events of this type.
    #[param(required = false, pattern = "^[!-~]{1,64}$")]
    r#type: String,
    /// Begun at this time or later.
    #[param(required = false, format = DateTime)]
    from: String,
    /// Begun before this time.
    #[param(required = false, format = DateTime)]
    to: String,
}

/// Headers of an event.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct EventHeaders {
    /// What makes two posts of the project the same: one value with one body. Of a batch, each line has the key and its
    /// own number.
    #[param(rename = "Idempotency-Key", required = false, pattern = "^[!-~]{1,255}$")]
    idempotency_key: String,
    /// The W3C trace context that the event belongs to; one that is not valid is ignored.
    #[param(required = false)]
    traceparent: String,
}

/// Headers of a test event.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct TraceHeaders {
    /// The W3C trace context that the event belongs to; one that is not valid is ignored.
    #[param(required = false)]
    traceparent: String,
}

//! A test event: to one webhook alone, whatever types that takes, behind what is waiting for it.

use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use spectrum_webhook_core::delivery::{Directed, Purpose};
use spectrum_webhook_core::ids::EventId;
use spectrum_webhook_core::time::Millis;

use super::answer::Sent;
use super::{Extra, must_be_enabled};
use crate::auth::Ids;
use crate::identity;
use crate::manage::{Answer, Iso};
use crate::openapi::parameters::{TraceHeaders, WebhookPath};
use crate::openapi::refusals;
use crate::problem::{self, Success};
use crate::state::Ingest;

/// The type of a test event.
pub(super) const EVENT_TYPE: &str = "messages";

/// A test event. It has all that the vendor's receiver library asks for, so that a good receiver takes it.
pub(super) fn body(id: EventId, now: Millis) -> Bytes {
    let space = json!({ "id": "spectrum-webhook-test", "platform": "imessage" });
    let event = json!({
        "event": EVENT_TYPE,
        "space": space,
        "message": {
            "id": format!("test-{id}"),
            "platform": "imessage",
            "direction": "inbound",
            "timestamp": Iso(now).to_string(),
            "sender": { "id": "spectrum-webhook-test", "platform": "imessage" },
            "space": space,
            "content": { "type": "text", "text": "A test of your webhook" },
        },
    });
    event.to_string().into()
}

/// `POST /projects/{project}/webhooks/{webhook}/test`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/test", operation_id = "testWebhook", tag = "Steering",
    summary = "Send a test event",
    description = "To this webhook alone, whatever types that takes, behind what is waiting for it.",
    params(WebhookPath, TraceHeaders),
    responses(
        (status = 202, description = "The queue has it", body = Success<Sent>),
        refusals::Try,
    ),
)]
pub(crate) async fn test(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let webhook = shared.webhook(project.id, ids.webhook).await?;
    must_be_enabled(&webhook)?;
    let now = shared.now();
    let id = identity::event_id(now);
    let extra = Extra {
        id,
        event_type: EVENT_TYPE.to_owned(),
        purpose: Purpose::Directed(Directed { webhook: webhook.id, event: id }),
        traceparent: identity::traceparent(&headers),
        body: body(id, now),
        again: false,
    };
    shared.publish_extra(&project, extra).await?;
    Ok(problem::answer(StatusCode::ACCEPTED, problem::success(&Sent { id, event_id: id })))
}

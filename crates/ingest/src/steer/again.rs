//! An event once more to one webhook, as long as its body is kept.

use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use spectrum_webhook_core::delivery::{Directed, Purpose};

use super::answer::Sent;
use super::{Extra, fields, must_be_enabled};
use crate::auth::Ids;
use crate::identity;
use crate::manage::{Answer, read};
use crate::openapi::bodies::To;
use crate::openapi::parameters::EventPath;
use crate::openapi::refusals;
use crate::problem::{self, NOT_FOUND, Problem, Success};
use crate::state::Ingest;

/// `POST /projects/{project}/events/{event}/resend`
#[utoipa::path(
    post, path = "/projects/{projectId}/events/{eventId}/resend", operation_id = "resendEvent", tag = "Steering",
    summary = "Send an event again",
    description = "To one webhook, behind what is waiting for it, with an id of its own; as long as the event's body is kept. A dead letter of it stays open: to close it, send that again.",
    params(EventPath),
    request_body = To,
    responses(
        (status = 202, description = "The queue has it", body = Success<Sent>),
        refusals::ResendEvent,
    ),
)]
pub(crate) async fn resend(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let unknown = "the body of this event is not kept any more, or this project has no such event: only what the archive \
                   has can be sent again";
    let unknown = || Problem::new(NOT_FOUND, unknown);
    let webhook = fields::to(&read(shared, &headers, body).await?)?;
    let webhook = shared.webhook(project.id, Some(webhook)).await?;
    must_be_enabled(&webhook)?;
    let event = ids.event.ok_or_else(unknown)?;
    let found = shared.ports.insight.message(project.id, event).await;
    let message = found.map_err(|error| Problem::unavailable(&error))?.ok_or_else(unknown)?;
    let (id, event_id) = (identity::event_id(shared.now()), message.event());
    let extra = Extra {
        id,
        event_type: message.event_type,
        purpose: Purpose::Directed(Directed { webhook: webhook.id, event: event_id }),
        traceparent: message.traceparent,
        body: message.body,
        again: false,
    };
    shared.publish_extra(&project, extra).await?;
    tracing::info!(project = %project.id, webhook = %webhook.id, event = %event_id, resend = %id, "an event was sent again");
    Ok(problem::answer(StatusCode::ACCEPTED, problem::success(&Sent { id, event_id })))
}

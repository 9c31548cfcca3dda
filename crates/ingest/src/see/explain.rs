//! Where an event stands at each webhook of its project.

use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use spectrum_webhook_core::explain::{self, Standing};
use spectrum_webhook_core::ids::{EventId, WebhookId};
use spectrum_webhook_core::ports::{EventFacts, Recipient};
use spectrum_webhook_core::time::Millis;
use utoipa::ToSchema;

use crate::auth::Ids;
use crate::manage::{Answer, Iso, ok};
use crate::openapi::parameters::EventPath;
use crate::openapi::refusals;
use crate::openapi::words;
use crate::problem::{NOT_FOUND, Problem, Success};
use crate::state::Ingest;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainedEvent)]
struct EventView<'a> {
    #[schema(value_type = Uuid)]
    id: EventId,
    event_type: &'a str,
    accepted_at: Iso,
    /// In bytes, where it is known.
    #[schema(required)]
    size: Option<u64>,
    webhooks: Vec<RecipientView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Recipient)]
struct RecipientView<'a> {
    #[schema(value_type = Uuid)]
    webhook_id: WebhookId,
    webhook_url: &'a str,
    #[serde(flatten)]
    standing: StandingView,
    resends: Vec<ResendView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Resend)]
struct ResendView {
    #[schema(value_type = Uuid)]
    resend_id: EventId,
    #[serde(flatten)]
    standing: StandingView,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Standing)]
struct StandingView {
    #[schema(value_type = words::StandingCode)]
    code: &'static str,
    /// For people: it may be worded better any day.
    sentence: String,
    /// Since when it is so, where that is known.
    #[schema(required)]
    since: Option<Iso>,
    /// How often it was tried.
    attempts: u32,
    #[schema(required)]
    last_attempt_at: Option<Iso>,
    /// When it is tried again.
    #[schema(required)]
    next_at: Option<Iso>,
    /// How many deliveries must end before it is tried; 10,000 means so many or more.
    #[schema(required)]
    ahead: Option<u64>,
    /// The event of the first of them.
    #[schema(value_type = Option<Uuid>, required)]
    blocked_by: Option<EventId>,
}

impl From<Standing> for StandingView {
    fn from(standing: Standing) -> Self {
        Self {
            code: standing.code.code(),
            sentence: standing.sentence,
            since: standing.since.map(Iso),
            attempts: standing.attempts,
            last_attempt_at: standing.last_attempt_at.map(Iso),
            next_at: standing.next_at.map(Iso),
            ahead: standing.ahead,
            blocked_by: standing.blocked_by,
        }
    }
}

impl<'a> RecipientView<'a> {
    fn of(facts: &EventFacts, recipient: &'a Recipient, now: Millis) -> Self {
        let (own, resends) = explain::event(facts, recipient, now);
        let resend = |(resend_id, standing): (EventId, Standing)| ResendView { resend_id, standing: standing.into() };
        Self {
            webhook_id: recipient.webhook.id,
            webhook_url: &recipient.webhook.url,
            standing: own.into(),
            resends: resends.into_iter().map(resend).collect(),
        }
    }
}

/// `GET /projects/{project}/events/{event}`
#[utoipa::path(
    get, path = "/projects/{projectId}/events/{eventId}", operation_id = "explainEvent", tag = "Events",
    summary = "Where an event stands",
    description = "At each webhook of the project: a code for programs, and a sentence for people.",
    params(EventPath),
    responses(
        (status = 200, description = "The event", body = Success<EventView>),
        refusals::ShowByWord,
    ),
)]
pub(crate) async fn explain(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let Some(event) = ids.event else {
        return Err(Problem::new(NOT_FOUND, "an event's id is a UUID of 36 characters: check the one in the path"));
    };
    let facts = shared.ports.insight.event(project.id, event).await.map_err(|error| Problem::unavailable(&error))?;
    let now = shared.now();
    let facts = facts.ok_or_else(|| Problem::new(NOT_FOUND, explain::absent(event, now)))?;
    ok(&EventView {
        id: facts.event,
        event_type: &facts.event_type,
        accepted_at: Iso(facts.accepted_at),
        size: facts.size,
        webhooks: facts.recipients.iter().map(|recipient| RecipientView::of(&facts, recipient, now)).collect(),
    })
}

//! One webhook, and how it is.

use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use spectrum_webhook_core::explain;
use spectrum_webhook_core::ports::WebhookFacts;
use spectrum_webhook_core::time::Millis;
use utoipa::ToSchema;

use crate::auth::Ids;
use crate::manage::{Answer, Iso, WebhookView, ok};
use crate::openapi::parameters::WebhookPath;
use crate::openapi::refusals;
use crate::openapi::words;
use crate::problem::{Problem, Success};
use crate::state::Ingest;

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookWithState)]
struct SeenWebhook<'a> {
    #[serde(flatten)]
    webhook: WebhookView<'a>,
    state: StateView,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookState)]
struct StateView {
    #[schema(value_type = words::StateCode)]
    code: &'static str,
    /// For people: it may be worded better any day.
    sentence: String,
    /// Since when it is so, where that is known.
    #[schema(required)]
    since: Option<Iso>,
    /// How many deliveries wait; 10,000 means so many or more.
    backlog: u64,
    /// How many are set aside: all their attempts failed, and the next events tell whether they or the URL is at fault.
    set_aside: u64,
    /// How many dead letters are open.
    dead_letters: u64,
    /// When the oldest event that waits was accepted.
    #[schema(required)]
    oldest_accepted_at: Option<Iso>,
    #[schema(required)]
    last_success_at: Option<Iso>,
    #[schema(required)]
    last_failure_at: Option<Iso>,
    /// How the last failure ended: `status_503`, `timeout`, …
    #[schema(required)]
    last_failure: Option<String>,
    /// When the URL is tried again while it is down.
    #[schema(required)]
    next_probe_at: Option<Iso>,
}

impl StateView {
    fn of(facts: &WebhookFacts, now: Millis) -> Self {
        let state = explain::webhook(facts, now);
        let (last_failure_at, last_failure) = facts.last_failure.unzip();
        Self {
            code: state.code.code(),
            sentence: state.sentence,
            since: state.since.map(Iso),
            backlog: facts.backlog.ahead,
            set_aside: facts.set_aside,
            dead_letters: facts.dead_letters,
            oldest_accepted_at: state.oldest.map(Iso),
            last_success_at: facts.last_success.map(Iso),
            last_failure_at: last_failure_at.map(Iso),
            last_failure: last_failure.map(|last| last.code()),
            next_probe_at: state.next_probe.map(Iso),
        }
    }
}

/// `GET /projects/{project}/webhooks/{webhook}`
#[utoipa::path(
    get, path = "/projects/{projectId}/webhooks/{webhookId}", operation_id = "showWebhook", tag = "Webhooks",
    summary = "A webhook and how it does",
    description = "Without secrets.",
    params(WebhookPath),
    responses(
        (status = 200, description = "The webhook", body = Success<SeenWebhook>),
        refusals::Show,
    ),
)]
pub(crate) async fn webhook(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let id = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let facts = shared.ports.insight.webhook(project.id, id).await.map_err(|error| Problem::unavailable(&error))?;
    let facts = facts.ok_or_else(Problem::no_webhook)?;
    ok(&SeenWebhook { webhook: WebhookView::of(&facts.webhook), state: StateView::of(&facts, shared.now()) })
}

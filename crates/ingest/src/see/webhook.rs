//! One webhook, and how it is.

use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use spectrum_webhook_core::explain;
use spectrum_webhook_core::ports::WebhookFacts;
use spectrum_webhook_core::time::Millis;

use crate::auth::Ids;
use crate::manage::{Answer, Iso, WebhookView, ok};
use crate::problem::Problem;
use crate::state::Ingest;

#[derive(Serialize)]
struct SeenWebhook<'a> {
    #[serde(flatten)]
    webhook: WebhookView<'a>,
    state: StateView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateView {
    code: &'static str,
    sentence: String,
    since: Option<Iso>,
    backlog: u64,
    set_aside: u64,
    dead_letters: u64,
    oldest_accepted_at: Option<Iso>,
    last_success_at: Option<Iso>,
    last_failure_at: Option<Iso>,
    last_failure: Option<String>,
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
pub(crate) async fn webhook(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let id = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let facts = shared.ports.insight.webhook(project.id, id).await.map_err(|error| Problem::unavailable(&error))?;
    let facts = facts.ok_or_else(Problem::no_webhook)?;
    ok(&SeenWebhook { webhook: WebhookView::of(&facts.webhook), state: StateView::of(&facts, shared.now()) })
}

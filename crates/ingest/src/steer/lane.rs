//! Steering a webhook's lane: resume, skip, drop. The wish goes through the queue to the lane's owner.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use spectrum_webhook_core::delivery::{Command, Purpose, Steering};
use spectrum_webhook_core::ids::{EventId, WebhookId};
use spectrum_webhook_core::ports::{Project, Steered};
use spectrum_webhook_core::time::Millis;
use tokio::time::{Instant, sleep};

use super::answer::SteeredView;
use super::{Extra, fields, must_be_enabled, test_event};
use crate::auth::Ids;
use crate::identity;
use crate::manage::{Answer, read};
use crate::openapi::bodies::{Because, Skip};
use crate::openapi::parameters::{Paging, WebhookPath};
use crate::openapi::refusals;
use crate::page::{Page, Query, page};
use crate::problem::{self, NOTHING_TO_SKIP, Problem, Success};
use crate::state::{Ingest, Shared};

/// The type of the messages; no receiver sees it.
const EVENT_TYPE: &str = "steering";
/// What a check is listed with.
const CHECK_REASON: &str = "check";
/// How often it is looked whether the owner has done it, at first and at last.
const POLLS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));

/// `POST /projects/{project}/webhooks/{webhook}/resume`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/resume", operation_id = "resumeWebhook", tag = "Steering",
    summary = "End an outage now",
    description = "Takes its turn in the queue and waits for the attempt in flight.",
    params(WebhookPath),
    request_body = Because,
    responses(
        (status = 200, description = "It is done", body = Success<SteeredView>),
        (status = 202, description = "It will be done: see the steerings", body = Success<SteeredView>),
        refusals::Steer,
    ),
)]
pub(crate) async fn resume(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let (reason, _) = fields::wish(&read(shared, &headers, body).await?)?;
    shared.steer(&project, &ids, Command::Resume, reason).await
}

/// `POST /projects/{project}/webhooks/{webhook}/drop`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/drop", operation_id = "dropWebhook", tag = "Steering",
    summary = "Drop all that waits",
    description = "Takes its turn in the queue and waits for the attempt in flight.",
    params(WebhookPath),
    request_body = Because,
    responses(
        (status = 200, description = "It is done", body = Success<SteeredView>),
        (status = 202, description = "It will be done: see the steerings", body = Success<SteeredView>),
        refusals::Steer,
    ),
)]
pub(crate) async fn drop(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let (reason, _) = fields::wish(&read(shared, &headers, body).await?)?;
    shared.steer(&project, &ids, Command::Drop(shared.now()), reason).await
}

/// `POST /projects/{project}/webhooks/{webhook}/skip`
///
/// The one that is skipped is named in the message, so that a copy of the message that comes again skips no other.
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/skip", operation_id = "skipWebhook", tag = "Steering",
    summary = "Give up one event",
    description = "Takes its turn in the queue and waits for the attempt in flight.",
    params(WebhookPath),
    request_body = Skip,
    responses(
        (status = 200, description = "It is done", body = Success<SteeredView>),
        (status = 202, description = "It will be done: see the steerings", body = Success<SteeredView>),
        refusals::Skip,
    ),
)]
pub(crate) async fn skip(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let (reason, event) = fields::wish(&read(shared, &headers, body).await?)?;
    let webhook = shared.webhook(project.id, ids.webhook).await?.id;
    let waiting = shared.ports.steerings.first_waiting(webhook, event).await;
    let waiting = waiting.map_err(|error| Problem::unavailable(&error))?;
    // One that has no row yet may be in memory: the owner knows.
    let Some(skipped) = waiting.or(event) else {
        let message = "nothing waits in this webhook's backlog: what came within the last seconds is being tried";
        return Err(Problem::new(NOTHING_TO_SKIP, message));
    };
    shared.steer(&project, &ids, Command::Skip(skipped), reason).await
}

/// `POST /projects/{project}/webhooks/{webhook}/check`
///
/// The request is made by whoever delivers, so that it goes the way that deliveries go.
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/check", operation_id = "checkWebhook", tag = "Steering",
    summary = "Make one signed request now",
    description = "Beside its lane; it is in no delivery log and is not repeated.",
    params(WebhookPath),
    responses(
        (status = 200, description = "How each step went", body = Success<SteeredView>),
        (status = 202, description = "It is being made: see the steerings", body = Success<SteeredView>),
        refusals::Try,
    ),
)]
pub(crate) async fn check(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let webhook = shared.webhook(project.id, ids.webhook).await?;
    must_be_enabled(&webhook)?;
    let done = shared.steer_now(&project, webhook.id, Command::Check, CHECK_REASON.to_owned()).await?;
    Ok(steered(&done))
}

/// `GET /projects/{project}/webhooks/{webhook}/steerings`
#[utoipa::path(
    get, path = "/projects/{projectId}/webhooks/{webhookId}/steerings", operation_id = "listSteerings", tag = "Steering",
    summary = "What was done so far",
    description = "Newest first.",
    params(WebhookPath, Paging),
    responses(
        (status = 200, description = "A page", body = Page<SteeredView>),
        refusals::List,
    ),
)]
pub(crate) async fn steerings(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, query: Query) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    let webhook = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let limit = query.limit()?;
    let after = query.cursor::<(Millis, EventId)>()?;
    let found = shared.ports.steerings.steerings(project, webhook, after, limit + 1).await;
    let mut found = found.map_err(|error| Problem::unavailable(&error))?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let last = found.last().filter(|_| more).map(|steered| (steered.asked_at, steered.id));
    Ok(page(&found.iter().map(SteeredView::of).collect::<Vec<_>>(), last.as_ref()))
}

impl Shared {
    /// Publishes a wish, and answers when it is done, or after a while.
    async fn steer(self: &Arc<Self>, project: &Project, ids: &Ids, command: Command, reason: String) -> Answer {
        let webhook = self.webhook(project.id, ids.webhook).await?.id;
        Ok(steered(&self.steer_now(project, webhook, command, reason).await?))
    }

    async fn steer_now(
        self: &Arc<Self>,
        project: &Project,
        webhook: WebhookId,
        command: Command,
        reason: String,
    ) -> Result<Steered, Problem> {
        let (id, asked_at) = (identity::event_id(self.now()), self.now());
        let event = if let Command::Skip(event) = command { Some(tracing::field::display(event)) } else { None };
        tracing::info!(
            project = %project.id,
            %webhook,
            %id,
            command = command.code(),
            event,
            reason,
            "a webhook is steered"
        );
        let wanted = Steered {
            id,
            command: command.code().to_owned(),
            event: None,
            reason: reason.clone(),
            asked_at,
            done_at: None,
            deliveries: 0,
            outcome: None,
        };
        let (event_type, body) = match command {
            Command::Check => (test_event::EVENT_TYPE, test_event::body(id, asked_at)),
            Command::Resume | Command::Skip(_) | Command::Drop(_) => (EVENT_TYPE, Bytes::new()),
        };
        let purpose = Purpose::Steering(Box::new(Steering { webhook, command, reason }));
        let event_type = event_type.to_owned();
        self.publish_extra(project, Extra { id, event_type, purpose, traceparent: None, body, again: false }).await?;
        Ok(self.until_done(project, id).await.unwrap_or(wanted))
    }

    /// A check of a webhook that was registered just now. Whatever comes of it, the webhook is registered.
    pub(crate) async fn check_registered(self: &Arc<Self>, project: &Project, webhook: WebhookId) -> Option<Steered> {
        let checked = self.steer_now(project, webhook, Command::Check, CHECK_REASON.to_owned()).await;
        checked.inspect_err(|problem| tracing::warn!(%webhook, code = problem.code(), "a check was not made")).ok()
    }

    /// What was done by the time that the caller is answered.
    async fn until_done(&self, project: &Project, id: EventId) -> Option<Steered> {
        let until = Instant::now() + self.settings.steer_patience;
        let mut wait = POLLS.0;
        loop {
            // A store that does not answer leaves the wish in the queue, where it waits for the store.
            let found = self.ports.steerings.steered(project.id, id).await.ok().flatten();
            if found.as_ref().is_some_and(|steered| steered.done_at.is_some()) || Instant::now() + wait > until {
                return found;
            }
            sleep(wait).await;
            wait = (wait * 2).min(POLLS.1);
        }
    }
}

fn steered(steered: &Steered) -> Response {
    let status = if steered.done_at.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    problem::answer(status, problem::success(&SteeredView::of(steered)))
}

//! Dead letters: listing, reading, sending again, discarding.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use spectrum_webhook_core::delivery::{DeadReason, Directed, Fault, Purpose};
use spectrum_webhook_core::ids::{EventId, WebhookId};
use spectrum_webhook_core::ports::{LetterQuery, Project, Resending};
use spectrum_webhook_core::time::Millis;

use super::answer::{Discarded, LetterView, Sent, SentOne};
use super::{Extra, fields, must_be_enabled};
use crate::auth::Ids;
use crate::identity;
use crate::manage::{Answer, ok, read};
use crate::openapi::bodies::{Discarding, Resends};
use crate::openapi::parameters::{self, LetterPath, Paging, ProjectPath, WebhookPath};
use crate::openapi::refusals;
use crate::page::{Page, Query, page};
use crate::problem::{self, LETTER_CLOSED, NOT_FOUND, Problem, Success};
use crate::state::{Ingest, Shared};

/// Dead letters that one transaction discards.
const STEP: u32 = 500;

/// `GET /projects/{project}/dead-letters`
#[utoipa::path(
    get, path = "/projects/{projectId}/dead-letters", operation_id = "listDeadLetters", tag = "Dead letters",
    summary = "All dead letters",
    description = "Those given up last first.",
    params(ProjectPath, parameters::LetterQuery, Paging),
    responses(
        (status = 200, description = "A page", body = Page<LetterView>),
        refusals::List,
    ),
)]
pub(crate) async fn letters(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, query: Query) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    let closed = query.parsed("state", "open, closed or all", |text| match text {
        "open" => Some(Some(false)),
        "closed" => Some(Some(true)),
        "all" => Some(None),
        _ => None,
    })?;
    let limit = query.limit()?;
    let wanted = LetterQuery {
        project,
        webhook: query.id("webhook")?,
        closed: closed.unwrap_or(Some(false)),
        reason: query.parsed("reason", "fatal, poison, expired, skipped or dropped", DeadReason::from_code)?,
        fault: query.parsed("fault", "receiver or platform", Fault::from_code)?,
        from: query.moment("from")?,
        to: query.moment("to")?,
        after: query.cursor::<(Millis, EventId, WebhookId)>()?,
        // One more, which tells whether there is another page.
        limit: limit + 1,
    };
    let mut found = shared.ports.dead_letters.letters(&wanted).await.map_err(|error| Problem::unavailable(&error))?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let last = found.last().filter(|_| more).map(|letter| (letter.died_at, letter.id, letter.webhook));
    Ok(page(&found.iter().map(LetterView::of).collect::<Vec<_>>(), last.as_ref()))
}

fn no_letter() -> Problem {
    Problem::new(NOT_FOUND, "this webhook has no such dead letter: list the project's dead letters for their ids")
}

/// `GET /projects/{project}/webhooks/{webhook}/dead-letters/{letter}`
#[utoipa::path(
    get, path = "/projects/{projectId}/webhooks/{webhookId}/dead-letters/{letterId}", operation_id = "showDeadLetter", tag = "Dead letters",
    summary = "A dead letter",
    description = "With its body as it was posted.",
    params(LetterPath),
    responses(
        (status = 200, description = "The dead letter", body = Success<LetterView>),
        refusals::ShowByWord,
    ),
)]
pub(crate) async fn letter(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    let webhook = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let id = ids.letter().ok_or_else(no_letter)?;
    let found = shared.ports.dead_letters.letter(project, webhook, id).await;
    let (letter, message) = found.map_err(|error| Problem::unavailable(&error))?.ok_or_else(no_letter)?;
    ok(&LetterView::with_body(&letter, &message.body))
}

/// `POST /projects/{project}/webhooks/{webhook}/dead-letters/{letter}/resend`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/dead-letters/{letterId}/resend", operation_id = "resendDeadLetter", tag = "Dead letters",
    summary = "Send a dead letter again",
    description = "Behind what is waiting, with an id of its own.",
    params(LetterPath),
    responses(
        (status = 202, description = "The queue has it", body = Success<Sent>),
        refusals::Resend,
    ),
)]
pub(crate) async fn resend(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let webhook = shared.webhook(project.id, ids.webhook).await?;
    let id = ids.letter().ok_or_else(no_letter)?;
    must_be_enabled(&webhook)?;
    let sent = shared.send_again(&project, webhook.id, id).await?;
    Ok(problem::answer(StatusCode::ACCEPTED, problem::success(&sent)))
}

/// `POST /projects/{project}/webhooks/{webhook}/dead-letters/resend`
///
/// In the order in which they are named. One that is refused stops none behind it; a queue that does not confirm does.
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/dead-letters/resend", operation_id = "resendDeadLetters", tag = "Dead letters",
    summary = "Send several dead letters again",
    description = "In the order in which they are named. One that is refused stops none behind it.",
    params(WebhookPath),
    request_body = Resends,
    responses(
        (status = 202, description = "For each the id of its resend, or why there is none", body = Success<Vec<SentOne>>),
        refusals::ResendMany,
    ),
)]
pub(crate) async fn resend_many(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let webhook = shared.webhook(project.id, ids.webhook).await?;
    must_be_enabled(&webhook)?;
    let mut outcomes = Vec::new();
    for letter in fields::ids(&read(shared, &headers, body).await?)? {
        let (id, code) = match shared.send_again(&project, webhook.id, letter).await {
            Ok(sent) => (Some(sent.id), None),
            Err(problem) if problem.is_passing() => return Err(problem),
            Err(problem) => (None, Some(problem.code())),
        };
        outcomes.push(SentOne { letter, id, code });
    }
    Ok(problem::answer(StatusCode::ACCEPTED, problem::success(&outcomes)))
}

/// `POST /projects/{project}/webhooks/{webhook}/dead-letters/discard`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/dead-letters/discard", operation_id = "discardDeadLetters", tag = "Dead letters",
    summary = "Discard dead letters",
    description = "Those named, or all open ones.",
    params(WebhookPath),
    request_body = Discarding,
    responses(
        (status = 200, description = "How many were discarded", body = Success<Discarded>),
        refusals::Discard,
    ),
)]
pub(crate) async fn discard(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    // A deleted webhook's letters can be discarded too.
    let webhook = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let (named, reason) = fields::discarding(&read(shared, &headers, body).await?)?;
    let (letters, at) = (&shared.ports.dead_letters, shared.now());
    let mut discarded = 0;
    loop {
        let step = letters.discard(project, webhook, named.as_deref(), &reason, at, STEP).await;
        let step = step.map_err(|error| Problem::unavailable(&error))?;
        discarded += step.letters;
        if !step.more {
            break;
        }
    }
    tracing::info!(%project, %webhook, discarded, reason, "dead letters were discarded");
    ok(&Discarded { discarded })
}

impl Shared {
    /// Sends a dead letter again, as a message of its own behind what is waiting. It is closed when the queue has taken
    /// that: a crash in between leaves it open, and the next try publishes the same message.
    pub(crate) async fn send_again(
        self: &Arc<Self>,
        project: &Project,
        webhook: WebhookId,
        letter: EventId,
    ) -> Result<Sent, Problem> {
        let letters = &self.ports.dead_letters;
        let proposed = identity::event_id(self.now());
        let begun = letters.begin_resend(project.id, webhook, letter, proposed).await;
        let Some(resending) = begun.map_err(|error| Problem::unavailable(&error))? else {
            let found = letters.letter(project.id, webhook, letter).await;
            return Err(match found.map_err(|error| Problem::unavailable(&error))? {
                None => no_letter(),
                Some(_) => Problem::new(
                    LETTER_CLOSED,
                    "this dead letter was sent again, discarded or dropped already: its state says which",
                ),
            });
        };
        let Resending { id, message } = resending;
        let event_id = message.event();
        let purpose = Purpose::Directed(Directed { webhook, event: event_id });
        let extra = Extra {
            id,
            event_type: message.event_type,
            purpose,
            traceparent: message.traceparent,
            body: message.body,
            // Whoever began it before, or at the same time, may have published it.
            again: true,
        };
        self.publish_extra(project, extra).await?;
        tracing::info!(project = %project.id, %webhook, event = %event_id, resend = %id, "a dead letter was sent again");
        if let Err(error) = letters.end_resend(webhook, letter, self.now()).await {
            tracing::warn!(%error, %letter, %webhook, "a dead letter that was sent again is still open");
        }
        Ok(Sent { id, event_id })
    }
}

//! Steering a webhook's lane: resume, skip, drop. The wish goes through the queue to the lane's owner.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use spectrum_webhook_core::delivery::{Command, Purpose, Steering};
use spectrum_webhook_core::ids::EventId;
use spectrum_webhook_core::ports::{Project, Steered};
use spectrum_webhook_core::time::Millis;
use tokio::time::{Instant, sleep};

use super::answer::SteeredView;
use super::{Extra, fields};
use crate::auth::Ids;
use crate::identity;
use crate::manage::{Answer, read};
use crate::page::{Query, page};
use crate::problem::{self, NOTHING_TO_SKIP, Problem};
use crate::state::{Ingest, Shared};

/// The type of the messages; no receiver sees it.
const EVENT_TYPE: &str = "steering";
/// How often it is looked whether the owner has done it, at first and at last.
const POLLS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));

/// `POST /projects/{project}/webhooks/{webhook}/resume`
pub(crate) async fn resume(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let (reason, _) = fields::wish(&read(shared, &headers, body).await?)?;
    shared.steer(&project, &ids, Command::Resume, reason).await
}

/// `POST /projects/{project}/webhooks/{webhook}/drop`
pub(crate) async fn drop(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let (reason, _) = fields::wish(&read(shared, &headers, body).await?)?;
    shared.steer(&project, &ids, Command::Drop(shared.now()), reason).await
}

/// `POST /projects/{project}/webhooks/{webhook}/skip`
///
/// The one that is skipped is named in the message, so that a copy of the message that comes again skips no other.
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

/// `GET /projects/{project}/webhooks/{webhook}/steerings`
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
    /// Publishes a wish, and waits for a while until it is done.
    async fn steer(self: &Arc<Self>, project: &Project, ids: &Ids, command: Command, reason: String) -> Answer {
        let webhook = self.webhook(project.id, ids.webhook).await?.id;
        let id = identity::event_id(self.now());
        tracing::info!(project = %project.id, %webhook, %id, command = command.code(), reason, "a webhook is steered");
        let wanted = Steered {
            id,
            command: command.code().to_owned(),
            event: None,
            reason: reason.clone(),
            asked_at: self.now(),
            done_at: None,
            deliveries: 0,
        };
        let purpose = Purpose::Steering(Box::new(Steering { webhook, command, reason }));
        let event_type = EVENT_TYPE.to_owned();
        let extra = Extra { id, event_type, purpose, traceparent: None, body: Bytes::new(), again: false };
        self.publish_extra(project, extra).await?;
        let done = self.until_done(project, id).await;
        Ok(steered(done.as_ref().unwrap_or(&wanted)))
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

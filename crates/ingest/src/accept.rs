//! One event: authenticate, read, check, admit, publish, answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::event::Envelope;
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Admitted, DirectoryError, IdempotencyKey, Publication, Verdict};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use crate::auth::Ids;
use crate::body::{self, Held};
use crate::identity::{self, ExplicitKey};
use crate::openapi::bodies::Event;
use crate::openapi::parameters::{EventHeaders, ProjectPath};
use crate::openapi::refusals;
use crate::problem::{self, IDEMPOTENCY_MISMATCH, NOT_CONFIRMED, Problem, Success};
use crate::state::{Ingest, Shared};

/// `POST /projects/{project}/events`
#[utoipa::path(
    post, path = "/projects/{projectId}/events", operation_id = "postEvent", tag = "Events",
    summary = "Post an event",
    description = "Answers when the queue has confirmed the event: from then on it is not lost. After `503` it may be delivered or not: repeat it, with the same `Idempotency-Key` if it has one.",
    params(ProjectPath, EventHeaders),
    request_body(content = Event, content_type = "application/json"),
    responses(
        (status = 202, description = "The event is durable", body = Success<Accepted>),
        refusals::PostEvent,
    ),
)]
pub(crate) async fn post(
    State(ingest): State<Ingest>,
    ids: Ids,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let shared = ingest.shared();
    let outcome = one(shared, &ids, &headers, body).await;
    shared.count(&outcome, started);
    outcome.map(|accepted| problem::answer(StatusCode::ACCEPTED, problem::success(&accepted)))
}

async fn one(shared: &Arc<Shared>, ids: &Ids, headers: &HeaderMap, body: Body) -> Result<Accepted, Problem> {
    let project = shared.poster(headers, ids).await?;
    let explicit = ExplicitKey::of(headers)?;
    let settings = &shared.settings;
    let body =
        body::read(headers, body, "the event", settings.max_event_size, settings.read_timeout, &shared.budget).await?;
    let envelope = Envelope::read(&body.bytes)?;
    let slot = Arc::clone(&shared.in_flight).try_acquire_owned().map_err(|_| Problem::overloaded())?;
    shared.accept(Post { project, body, envelope, explicit, traceparent: identity::traceparent(headers) }, slot).await
}

/// A checked event on its way to the queue.
pub(crate) struct Post {
    pub(crate) project: ProjectId,
    pub(crate) body: Held,
    pub(crate) envelope: Envelope,
    pub(crate) explicit: Option<ExplicitKey>,
    pub(crate) traceparent: Option<String>,
}

/// The answer to an accepted event.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedEvent)]
pub(crate) struct Accepted {
    /// The event's id: that of the first post of it.
    #[schema(value_type = Uuid)]
    id: EventId,
    /// Whether it was posted before, and so is not queued again.
    duplicate: bool,
}

fn not_confirmed() -> Problem {
    Problem::new(
        NOT_CONFIRMED,
        "the queue did not confirm the event, which may still be delivered: repeat it after Retry-After, with the same \
         Idempotency-Key if it has one",
    )
}

impl Shared {
    pub(crate) fn count(&self, outcome: &Result<Accepted, Problem>, started: Instant) {
        match outcome {
            Ok(accepted) => self.metrics.accepted(accepted.duplicate, started.elapsed()),
            Err(problem) => self.metrics.rejected(problem),
        }
    }

    /// Admits and publishes an event. It goes on to its end if the caller goes away, so that the record of a published
    /// event does not stay pending; the slot is held until then.
    pub(crate) async fn accept(self: &Arc<Self>, post: Post, slot: OwnedSemaphorePermit) -> Result<Accepted, Problem> {
        let shared = Arc::clone(self);
        let carried = async move {
            let _slot = slot;
            let project = post.project;
            let outcome = shared.carry(post).await;
            match &outcome {
                Ok(Accepted { id, duplicate }) => tracing::debug!(event = %id, %project, duplicate, "accepted"),
                Err(problem) => tracing::info!(%project, code = problem.code(), "refused"),
            }
            outcome
        };
        self.finish(carried).await.unwrap_or_else(|| Err(not_confirmed()))
    }

    async fn carry(&self, post: Post) -> Result<Accepted, Problem> {
        let Post { project, body: Held { bytes, share }, envelope, explicit, traceparent } = post;
        let now = self.now();
        let partition = self.partition(project);
        let window = self.settings.idempotency_window;
        let key = identity::idempotency(project, explicit.as_ref(), &envelope, &bytes, now, window);

        let proposed = identity::event_id(now);
        let admitted = self.admit(partition, project, proposed, key.as_ref()).await;
        let key = key.filter(|_| admitted.is_some());
        let known = admitted.map(|admitted| admitted.registry);
        let (id, again) = match admitted.map(|admitted| admitted.verdict) {
            None => (proposed, false),
            Some(Verdict::Publish { id, again }) => (id, again),
            Some(Verdict::Duplicate(id)) => return Ok(Accepted { id, duplicate: true }),
            Some(Verdict::Mismatch) => {
                return Err(Problem::new(
                    IDEMPOTENCY_MISMATCH,
                    "this Idempotency-Key was used with another body: give every event a key of its own",
                ));
            }
        };

        let published = async {
            let registry = self.registry(partition, project, known).await?;
            let Envelope { event_type, .. } = envelope;
            let purpose = Purpose::Event;
            let message =
                Message { id, project, event_type, accepted_at: now, registry, traceparent, purpose, body: bytes };
            self.publish(partition, Publication { message, again, idempotency: key.clone() }).await
        }
        .await;
        drop(share);
        if let Some(key) = &key {
            // The event's fate does not depend on it: an unnoted outcome costs a repeat its quick answer.
            if let Err(error) = self.ports.admission.end(partition, project, id, key, published.is_ok()).await {
                tracing::warn!(%error, event = %id, %project, "the outcome was not noted for repeats");
            }
        }
        published.map(|()| Accepted { id, duplicate: false })
    }

    /// Asks admission; `None` is no answer, and then the event goes on without duplicate detection.
    async fn admit(
        &self,
        partition: PartitionId,
        project: ProjectId,
        proposed: EventId,
        key: Option<&IdempotencyKey>,
    ) -> Option<Admitted> {
        let begin = self.ports.admission.begin(partition, project, proposed, key, self.now());
        // A repeat waits here for the outcome of the post before it, which may take a publish's time and more.
        let failure = match timeout(self.settings.publish_timeout * 2, begin).await {
            Ok(Ok(admitted)) => return Some(admitted),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.metrics.bypassed();
        tracing::warn!(failure, event = %proposed, %project, "admission is not available: no duplicate detection");
        None
    }

    /// The version that the event is accepted under: the one that admission knew, or the directory's. `None` is an
    /// admission that gave no answer.
    async fn registry(
        &self,
        partition: PartitionId,
        project: ProjectId,
        known: Option<Option<RegistryVersion>>,
    ) -> Result<RegistryVersion, Problem> {
        if let Some(Some(version)) = known {
            return Ok(version);
        }
        let version = match self.ports.directory.project(project).await {
            Ok(project) => project.registry,
            Err(DirectoryError::Port(error)) => return Err(Problem::unavailable(&error)),
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => return Err(Problem::no_project()),
        };
        if known.is_some()
            && let Err(error) = self.ports.admission.learn(partition, project, version).await
        {
            tracing::debug!(%error, %project, "a registry version was not kept: the next post reads it again");
        }
        Ok(version)
    }

    pub(crate) async fn publish(&self, partition: PartitionId, publication: Publication) -> Result<(), Problem> {
        let (event, project) = (publication.message.id, publication.message.project);
        let publish = self.ports.queue.publish(partition, publication);
        let failure = match timeout(self.settings.publish_timeout, publish).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no confirmation in time".to_owned(),
        };
        tracing::warn!(failure, %event, %project, "the queue did not confirm an event");
        Err(not_confirmed())
    }
}

//! From a post to the queue: authenticate, read, check, admit, publish, answer; one event, or some of one project together.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::event::Envelope;
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Admitted, DirectoryError, IdempotencyKey, Publication, Verdict};
use spectrum_webhook_core::time::Millis;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use crate::auth::Ids;
use crate::body::{self, Held, Share};
use crate::identity::{self, ExplicitKey};
use crate::openapi::bodies::Event;
use crate::openapi::parameters::{EventHeaders, ProjectPath};
use crate::openapi::refusals;
use crate::problem::{self, IDEMPOTENCY_MISMATCH, NOT_CONFIRMED, Problem, Success};
use crate::state::{Ingest, Shared};
use crate::trace::{self, PostTrace, PublishTrace, Published, RequestTrace};

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
    let mut trace = RequestTrace::begin(shared.ports.spans.as_ref(), &headers, trace::EVENT);
    let outcome = one(shared, &ids, &headers, body, &mut trace).await;
    shared.count(&outcome, started);
    match &outcome {
        Ok(Accepted { id, duplicate }) => trace.succeeded(StatusCode::ACCEPTED, || {
            vec![("spectrum.event.id", id.to_string().into()), ("spectrum.duplicate", (*duplicate).into())]
        }),
        Err(problem) => trace.failed(problem),
    }
    outcome.map(|accepted| problem::answer(StatusCode::ACCEPTED, problem::success(&accepted)))
}

async fn one(
    shared: &Arc<Shared>,
    ids: &Ids,
    headers: &HeaderMap,
    body: Body,
    trace: &mut RequestTrace,
) -> Result<Accepted, Problem> {
    let project = shared.poster(headers, ids).await?;
    trace.of(project);
    let explicit = ExplicitKey::of(headers)?;
    let settings = &shared.settings;
    let body =
        body::read(headers, body, "the event", settings.max_event_size, settings.read_timeout, &shared.budget).await?;
    let envelope = Envelope::read(&body.bytes)?;
    let slot = Arc::clone(&shared.in_flight).try_acquire_owned().map_err(|_| Problem::overloaded())?;
    let post = shared.checked(project, body, envelope, explicit.as_ref(), trace.post());
    let outcomes = shared.accept(project, vec![post], slot).await;
    outcomes.into_iter().next().unwrap_or_else(|| Err(not_confirmed()))
}

/// A checked event on its way to the queue.
pub(crate) struct Post {
    body: Held,
    event_type: String,
    trace: PostTrace,
    at: Millis,
    key: Option<IdempotencyKey>,
}

impl Post {
    pub(crate) fn size(&self) -> usize {
        self.body.bytes.len()
    }

    /// Whether the one is a repeat of the other, so that it has to wait for its outcome.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.key.as_ref().is_some_and(|key| other.key.as_ref().is_some_and(|other| key.key == other.key))
    }
}

/// An admitted event.
struct Ready {
    id: EventId,
    key: Option<IdempotencyKey>,
    publication: Publication,
    share: Share,
    publish: Option<PublishTrace>,
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

    /// A post of an event that has been read.
    pub(crate) fn checked(
        &self,
        project: ProjectId,
        body: Held,
        envelope: Envelope,
        explicit: Option<&ExplicitKey>,
        trace: PostTrace,
    ) -> Post {
        let (at, window) = (self.now(), self.settings.idempotency_window);
        let key = identity::idempotency(project, explicit, &envelope, &body.bytes, at, window);
        Post { body, event_type: envelope.event_type, trace, at, key }
    }

    /// Admits and publishes events of one project, in their order, none of which repeats another; returns an outcome for
    /// each. It goes on to its end if the caller goes away, so that the record of a published event does not stay
    /// pending; the slots are held until then.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        project: ProjectId,
        posts: Vec<Post>,
        slots: OwnedSemaphorePermit,
    ) -> Vec<Result<Accepted, Problem>> {
        let (shared, count) = (Arc::clone(self), posts.len());
        let carried = async move {
            let _slots = slots;
            let outcomes = shared.carry(project, posts).await;
            for outcome in &outcomes {
                match outcome {
                    Ok(Accepted { id, duplicate }) => tracing::debug!(event = %id, %project, duplicate, "accepted"),
                    Err(problem) => tracing::info!(%project, code = problem.code(), "refused"),
                }
            }
            outcomes
        };
        let lost = || (0..count).map(|_| Err(not_confirmed())).collect();
        self.finish(carried).await.unwrap_or_else(lost)
    }

    /// All are admitted at the same time, in their order, and published as soon as those before them are admitted: what
    /// waits for the outcome of a repeat elsewhere keeps none back that may be waited for itself.
    async fn carry(&self, project: ProjectId, posts: Vec<Post>) -> Vec<Result<Accepted, Problem>> {
        let partition = self.partition(project);
        let mut outcomes = Vec::with_capacity(posts.len());
        let (read, mut registry) = (OnceCell::new(), RegistryVersion(0));
        let mut admissions: FuturesOrdered<_> =
            posts.into_iter().map(|post| self.ready(partition, project, post, &read)).collect();
        while let Some(first) = admissions.next().await {
            let mut admitted = vec![first];
            while let Some(Some(next)) = admissions.next().now_or_never() {
                admitted.push(next);
            }
            // The copy that one saw may be newer than what was read for another: a webhook that gets the one gets what is
            // behind it.
            for ready in admitted.iter_mut().flatten() {
                let version = &mut ready.publication.message.registry;
                registry = registry.max(*version);
                *version = registry;
            }
            outcomes.extend(self.publish_ready(partition, project, admitted).await);
        }
        outcomes
    }

    /// Asks whether an event is to be published; the error is an outcome that is known already. `read` is the directory's
    /// version, which is read for all of them at once.
    async fn ready(
        &self,
        partition: PartitionId,
        project: ProjectId,
        post: Post,
        read: &OnceCell<RegistryVersion>,
    ) -> Result<Ready, Result<Accepted, Problem>> {
        let Post { body: Held { bytes, share }, event_type, trace: PostTrace { traceparent, publish }, at, key } = post;
        let proposed = identity::event_id(at);
        let admitted = self.admit(partition, project, proposed, key.as_ref(), at).await;
        let key = key.filter(|_| admitted.is_some());
        let known = admitted.map(|admitted| admitted.registry);
        let (id, again) = match admitted.map(|admitted| admitted.verdict) {
            None => (proposed, false),
            Some(Verdict::Publish { id, again }) => (id, again),
            Some(Verdict::Duplicate(id)) => return Err(Ok(Accepted { id, duplicate: true })),
            Some(Verdict::Mismatch) => {
                return Err(Err(Problem::new(
                    IDEMPOTENCY_MISMATCH,
                    "this Idempotency-Key was used with another body: give every event a key of its own",
                )));
            }
        };
        let registry = match known {
            Some(Some(version)) => Ok(version),
            _ => read.get_or_try_init(|| self.registry(partition, project, known.is_some())).await.copied(),
        };
        let registry = match registry {
            Ok(registry) => registry,
            Err(problem) => {
                self.note(partition, project, id, key.as_ref(), false).await;
                return Err(Err(problem));
            }
        };
        let purpose = Purpose::Event;
        let message = Message { id, project, event_type, accepted_at: at, registry, traceparent, purpose, body: bytes };
        Ok(Ready { id, publication: Publication { message, again, idempotency: key.clone() }, key, share, publish })
    }

    async fn publish_ready(
        &self,
        partition: PartitionId,
        project: ProjectId,
        admitted: Vec<Result<Ready, Result<Accepted, Problem>>>,
    ) -> Vec<Result<Accepted, Problem>> {
        let mut publications = Vec::with_capacity(admitted.len());
        let mut shares = Vec::with_capacity(admitted.len());
        let known: Vec<_> = admitted
            .into_iter()
            .map(|admitted| {
                let Ready { id, key, publication, share, publish } = admitted?;
                let traced = publish.map(|publish| (publish, publication.message.body.len(), SystemTime::now()));
                publications.push(publication);
                shares.push(share);
                Ok((id, key, traced))
            })
            .collect();
        let mut published = self.publish_all(partition, project, publications).await.into_iter();
        drop(shares);
        let mut outcomes = Vec::with_capacity(known.len());
        for known in known {
            outcomes.push(match known {
                Ok((id, key, traced)) => {
                    let durable = published.next().unwrap_or_else(|| Err(not_confirmed()));
                    if let (Some((publish, bytes, began)), Some(spans)) = (traced, &self.ports.spans) {
                        let error = durable.as_ref().err().map(Problem::code);
                        publish.end(&**spans, &Published { id, project, partition, bytes, began, error });
                    }
                    self.note(partition, project, id, key.as_ref(), durable.is_ok()).await;
                    durable.map(|()| Accepted { id, duplicate: false })
                }
                Err(outcome) => outcome,
            });
        }
        outcomes
    }

    /// Notes an outcome. The event's fate does not depend on it: one that is not noted costs a repeat its quick answer.
    async fn note(
        &self,
        partition: PartitionId,
        project: ProjectId,
        id: EventId,
        key: Option<&IdempotencyKey>,
        durable: bool,
    ) {
        let Some(key) = key else { return };
        if let Err(error) = self.ports.admission.end(partition, project, id, key, durable).await {
            tracing::warn!(%error, event = %id, %project, "the outcome was not noted for repeats");
        }
    }

    /// Asks admission; `None` is no answer, and then the event goes on without duplicate detection.
    async fn admit(
        &self,
        partition: PartitionId,
        project: ProjectId,
        proposed: EventId,
        key: Option<&IdempotencyKey>,
        now: Millis,
    ) -> Option<Admitted> {
        let begin = self.ports.admission.begin(partition, project, proposed, key, now);
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

    /// The directory's version of the project, for an event that is accepted while admission knows none; `learn` if
    /// admission answers, for the next ones.
    async fn registry(
        &self,
        partition: PartitionId,
        project: ProjectId,
        learn: bool,
    ) -> Result<RegistryVersion, Problem> {
        let version = match self.ports.directory.project(project).await {
            Ok(project) => project.registry,
            Err(DirectoryError::Port(error)) => return Err(Problem::unavailable(&error)),
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => return Err(Problem::no_project()),
        };
        if learn && let Err(error) = self.ports.admission.learn(partition, project, version).await {
            tracing::debug!(%error, %project, "a registry version was not kept: the next post reads it again");
        }
        Ok(version)
    }

    pub(crate) async fn publish(&self, partition: PartitionId, publication: Publication) -> Result<(), Problem> {
        let project = publication.message.project;
        let outcomes = self.publish_all(partition, project, vec![publication]).await;
        outcomes.into_iter().next().unwrap_or_else(|| Err(not_confirmed()))
    }

    /// Publishes in this order, and tells of each whether it is durable.
    async fn publish_all(
        &self,
        partition: PartitionId,
        project: ProjectId,
        publications: Vec<Publication>,
    ) -> Vec<Result<(), Problem>> {
        if publications.is_empty() {
            return Vec::new();
        }
        let events: Vec<EventId> = publications.iter().map(|publication| publication.message.id).collect();
        let publish = self.ports.queue.publish_all(partition, publications);
        let outcomes = match timeout(self.settings.publish_timeout, publish).await {
            Ok(outcomes) => outcomes.into_iter().map(|outcome| outcome.map_err(|error| error.to_string())).collect(),
            Err(_) => vec![Err("no confirmation in time".to_owned()); events.len()],
        };
        let told = |(event, outcome): (EventId, Result<(), String>)| {
            outcome.map_err(|failure| {
                tracing::warn!(failure, %event, %project, "the queue did not confirm an event");
                not_confirmed()
            })
        };
        events.into_iter().zip(outcomes).map(told).collect()
    }
}

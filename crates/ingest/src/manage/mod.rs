//! The management API: a project, and the webhooks that it owns.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `fields` | what is read from a body |
//! | `shape` | what a webhook may ask for of its deliveries |
//! | `change` | a change and its announcement |
//! | `answer` | what is shown |

mod answer;
mod change;
mod fields;
mod shape;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rand::TryRng as _;
use serde::Serialize;
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::ports::{NewWebhook, PortError, Project, WebhookPatch};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::SigningSecret;

use self::answer::{Checked, Deleted, ProjectView, Rotated};
pub(crate) use self::answer::{Iso, WebhookView};
use self::change::Refused;
pub(crate) use self::fields::json_object;
use crate::auth::Ids;
use crate::body;
use crate::identity::uuid_at;
use crate::openapi::bodies::{Change, Registration, Rotation};
use crate::openapi::parameters::{ProjectPath, WebhookPath};
use crate::openapi::refusals;
use crate::problem::{self, Problem, Success};
use crate::state::{Ingest, Shared};
use crate::steer::SteeredView;

/// The largest body, in bytes.
const MAX_BODY: usize = 64 << 10;

pub(crate) type Answer = Result<Response, Problem>;

pub(crate) fn ok<T: Serialize>(data: &T) -> Answer {
    Ok(problem::answer(StatusCode::OK, problem::success(data)))
}

pub(crate) async fn read(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let patience = shared.settings.read_timeout;
    Ok(body::read(headers, body, "the body", MAX_BODY, patience, &shared.budget).await?.bytes)
}

/// A new signing secret, from the operating system.
fn new_secret() -> Result<SigningSecret, Problem> {
    let mut bytes = [0; 32];
    match rand::rngs::SysRng.try_fill_bytes(&mut bytes) {
        Ok(()) => Ok(SigningSecret::from_random(bytes)),
        Err(error) => Err(Problem::unavailable(&PortError::Unavailable {
            port: "operating system",
            operation: "draw a signing secret",
            detail: error.to_string(),
        })),
    }
}

/// `GET /projects/{project}`
#[utoipa::path(
    get, path = "/projects/{projectId}", operation_id = "showProject", tag = "Webhooks",
    summary = "A project",
    description = "",
    params(ProjectPath),
    responses(
        (status = 200, description = "The project", body = Success<ProjectView>),
        refusals::Show,
    ),
)]
pub(crate) async fn project(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let project = ingest.shared().project(&headers, &ids).await?;
    ok(&ProjectView::of(&project))
}

/// `GET /projects/{project}/webhooks`
#[utoipa::path(
    get, path = "/projects/{projectId}/webhooks", operation_id = "listWebhooks", tag = "Webhooks",
    summary = "All webhooks",
    description = "Oldest first, without secrets.",
    params(ProjectPath),
    responses(
        (status = 200, description = "The webhooks", body = Success<Vec<WebhookView>>),
        refusals::Show,
    ),
)]
pub(crate) async fn list(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let webhooks = shared.ports.directory.list(project.id).await.map_err(|error| Refused::from(error).problem())?;
    ok(&webhooks.iter().map(WebhookView::of).collect::<Vec<_>>())
}

/// `POST /projects/{project}/webhooks`
///
/// It needs no confirmation of the partition's owner: an event posted after the answer carries the new version, and
/// the owner reads the webhooks of that version before it delivers.
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks", operation_id = "registerWebhook", tag = "Webhooks",
    summary = "Register a webhook",
    description = "The answer holds its secrets, this one time.",
    params(ProjectPath),
    request_body = Registration,
    responses(
        (status = 200, description = "The webhook", body = Success<Checked>),
        refusals::Register,
    ),
)]
pub(crate) async fn register(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let known = shared.project(&headers, &ids).await?;
    let project = known.id;
    let body = read(shared, &headers, body).await?;
    let wish = fields::registration(&body, shared.settings.attempt_timeout)?;
    let secret = new_secret()?;
    let now = shared.now();
    let webhook = NewWebhook {
        id: WebhookId(uuid_at(now)),
        project,
        url: wish.url,
        secret: secret.clone(),
        event_types: wish.event_types,
        shape: wish.shape,
    };
    let (webhook, version) = shared
        .change(project, move |directory| async move { directory.register(webhook, now).await })
        .await
        .map_err(Refused::registration)?;
    tracing::info!(%project, webhook = %webhook.id, "a webhook was registered");
    let shown = WebhookView::with_secret(&webhook, &secret);
    if !wish.check {
        return ok(&shown);
    }
    let checked = shared.check_registered(&Project { registry: version, ..known }, webhook.id).await;
    ok(&Checked { webhook: shown, check: checked.as_ref().map(SteeredView::of) })
}

/// `PATCH /projects/{project}/webhooks/{webhook}`
#[utoipa::path(
    patch, path = "/projects/{projectId}/webhooks/{webhookId}", operation_id = "changeWebhook", tag = "Webhooks",
    summary = "Change a webhook",
    description = "Where it is disabled or gets another URL, the answer comes when no new attempt by the old state starts; `503 not_confirmed`: the change is stored, repeat the request.",
    params(WebhookPath),
    request_body = Change,
    responses(
        (status = 200, description = "The webhook", body = Success<WebhookView>),
        refusals::Change,
    ),
)]
pub(crate) async fn change(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    let id = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let body = read(shared, &headers, body).await?;
    let patch: WebhookPatch = fields::patch(&body, shared.settings.attempt_timeout)?;
    let ends_the_old = patch.url.is_some() || patch.enabled == Some(false);
    let now = shared.now();
    let (webhook, version) = shared
        .change(project, move |directory| async move { directory.patch(project, id, patch, now).await })
        .await
        .map_err(Refused::problem)?;
    tracing::info!(%project, webhook = %id, "a webhook was changed");
    if ends_the_old {
        shared.confirmed(project, version).await?;
    }
    ok(&WebhookView::of(&webhook))
}

/// `DELETE /projects/{project}/webhooks/{webhook}`
///
/// A deletion that is stored but not confirmed answers 503, and its repeat finds no such webhook. So this 404 waits
/// for the confirmation as well: whichever answer but 503 comes, no new attempt starts after it.
#[utoipa::path(
    delete, path = "/projects/{projectId}/webhooks/{webhookId}", operation_id = "deleteWebhook", tag = "Webhooks",
    summary = "Delete a webhook",
    description = "Answers when no new attempt starts; one in flight may end.",
    params(WebhookPath),
    responses(
        (status = 200, description = "It is deleted", body = Success<Deleted>),
        refusals::Delete,
    ),
)]
pub(crate) async fn delete(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let known = shared.project(&headers, &ids).await?;
    let project = known.id;
    let id = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let now = shared.now();
    let deleted = shared
        .change(project, move |directory| async move {
            directory.delete(project, id, now).await.map(|version| ((), version))
        })
        .await;
    match deleted {
        Ok(((), version)) => {
            tracing::info!(%project, webhook = %id, "a webhook was deleted");
            shared.confirmed(project, version).await?;
            ok(&Deleted { id })
        }
        Err(Refused::NotFound) => {
            // The version as it is by now: whoever deleted it may have done so while this call was on its way.
            let now = shared.project(&headers, &ids).await?.registry.max(known.registry);
            shared.confirmed(project, now).await?;
            Err(Problem::no_webhook())
        }
        Err(refused) => Err(refused.problem()),
    }
}

/// `POST /projects/{project}/webhooks/{webhook}/secret/rotate`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/secret/rotate", operation_id = "rotateSecret", tag = "Webhooks",
    summary = "Replace the signing secret",
    description = "The answer holds the new secrets, this one time.",
    params(WebhookPath),
    request_body = Rotation,
    responses(
        (status = 200, description = "The new secrets", body = Success<Rotated>),
        refusals::Rotate,
    ),
)]
pub(crate) async fn rotate(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    let id = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let overlap = fields::overlap(&read(shared, &headers, body).await?)?;
    let secret = new_secret()?;
    let now = shared.now();
    let until = Millis(now.0.saturating_add(i64::from(overlap) * 1_000));
    let stored = secret.clone();
    let (webhook, version) = shared
        .change(project, move |directory| async move { directory.rotate(project, id, stored, until, now).await })
        .await
        .map_err(Refused::rotation)?;
    tracing::info!(%project, webhook = %id, overlap, "a webhook's secret was rotated");
    if overlap == 0 && shared.confirmed(project, version).await.is_err() {
        // The new secret is shown only here, so an answer that withheld it would lose it.
        tracing::warn!(%project, webhook = %id, "deliveries may be signed with the old secret for a little longer");
    }
    ok(&Rotated::of(&webhook, &secret, (overlap > 0).then_some(until)))
}

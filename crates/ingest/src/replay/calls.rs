//! Making, watching, pausing and cancelling replays.

use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use spectrum_webhook_core::ids::ReplayId;
use spectrum_webhook_core::ports::{Replay, ReplayState};
use spectrum_webhook_core::time::Millis;

use super::answer::{Counted, ReplayView};
use super::fields::{self, Wish};
use crate::auth::Ids;
use crate::identity::uuid_at;
use crate::manage::{Answer, ok, read};
use crate::openapi::bodies::NewReplay;
use crate::openapi::parameters::{Paging, ReplayPath, WebhookPath};
use crate::openapi::refusals;
use crate::page::{Page, Query, page};
use crate::problem::{self, NOT_FOUND, Problem, REPLAY_ENDED, Success};
use crate::state::Ingest;

/// `POST /projects/{project}/webhooks/{webhook}/replays`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/replays", operation_id = "createReplay", tag = "Replays",
    summary = "Make a replay",
    description = "With `dryRun` it is only counted, and nothing is sent.",
    params(WebhookPath),
    request_body = NewReplay,
    responses(
        (status = 202, description = "The replay, which goes on from here", body = Success<ReplayView>),
        (status = 200, description = "Of a dry run: how many it would be", body = Success<Counted>),
        refusals::CreateReplay,
    ),
)]
pub(crate) async fn create(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, body: Body) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    let webhook = shared.webhook(project, ids.webhook).await?;
    let now = shared.now();
    let Wish { selection, reason, rate, dry_run } = fields::wish(&read(shared, &headers, body).await?, now)?;
    let replays = &shared.ports.replays;
    let total = replays.count(&webhook, selection).await.map_err(|error| Problem::unavailable(&error))?;
    if dry_run {
        return ok(&Counted { dry_run, total });
    }
    let replay = Replay {
        id: ReplayId(uuid_at(now)),
        project,
        webhook: webhook.id,
        selection,
        reason,
        rate,
        state: ReplayState::Running,
        total,
        sent: 0,
        cursor: None,
        created_at: now,
        updated_at: now,
    };
    replays.create(&replay).await.map_err(|error| Problem::unavailable(&error))?;
    tracing::info!(%project, webhook = %webhook.id, replay = %replay.id, total, reason = replay.reason, "a replay begins");
    Ok(problem::answer(StatusCode::ACCEPTED, problem::success(&ReplayView::of(&replay))))
}

/// `GET /projects/{project}/webhooks/{webhook}/replays`
#[utoipa::path(
    get, path = "/projects/{projectId}/webhooks/{webhookId}/replays", operation_id = "listReplays", tag = "Replays",
    summary = "All replays of a webhook",
    description = "Newest first.",
    params(WebhookPath, Paging),
    responses(
        (status = 200, description = "A page", body = Page<ReplayView>),
        refusals::List,
    ),
)]
pub(crate) async fn list(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, query: Query) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    let webhook = ids.webhook.ok_or_else(Problem::no_webhook)?;
    let limit = query.limit()?;
    let after = query.cursor::<(Millis, ReplayId)>()?;
    let found = shared.ports.replays.replays(project, webhook, after, limit + 1).await;
    let mut found = found.map_err(|error| Problem::unavailable(&error))?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let last = found.last().filter(|_| more).map(|replay| (replay.created_at, replay.id));
    Ok(page(&found.iter().map(ReplayView::of).collect::<Vec<_>>(), last.as_ref()))
}

fn no_replay() -> Problem {
    Problem::new(NOT_FOUND, "this webhook has no such replay: list its replays for their ids")
}

/// `GET /projects/{project}/webhooks/{webhook}/replays/{replay}`
#[utoipa::path(
    get, path = "/projects/{projectId}/webhooks/{webhookId}/replays/{replayId}", operation_id = "showReplay", tag = "Replays",
    summary = "A replay",
    description = "",
    params(ReplayPath),
    responses(
        (status = 200, description = "The replay", body = Success<ReplayView>),
        refusals::Show,
    ),
)]
pub(crate) async fn show(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?.id;
    let id = ids.replay().ok_or_else(no_replay)?;
    let found = shared.ports.replays.replay(project, id).await.map_err(|error| Problem::unavailable(&error))?;
    let found = found.filter(|replay| Some(replay.webhook) == ids.webhook);
    ok(&ReplayView::of(&found.ok_or_else(no_replay)?))
}

/// `POST /projects/{project}/webhooks/{webhook}/replays/{replay}/pause`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/replays/{replayId}/pause", operation_id = "pauseReplay", tag = "Replays",
    summary = "Pause a replay",
    description = "A repeat of the call changes nothing.",
    params(ReplayPath),
    responses(
        (status = 200, description = "The replay", body = Success<ReplayView>),
        refusals::TurnReplay,
    ),
)]
pub(crate) async fn pause(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    turn(&ingest, &ids, &headers, ReplayState::Paused).await
}

/// `POST /projects/{project}/webhooks/{webhook}/replays/{replay}/resume`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/replays/{replayId}/resume", operation_id = "resumeReplay", tag = "Replays",
    summary = "Go on with a replay",
    description = "A repeat of the call changes nothing.",
    params(ReplayPath),
    responses(
        (status = 200, description = "The replay", body = Success<ReplayView>),
        refusals::TurnReplay,
    ),
)]
pub(crate) async fn resume(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    turn(&ingest, &ids, &headers, ReplayState::Running).await
}

/// `POST /projects/{project}/webhooks/{webhook}/replays/{replay}/cancel`
#[utoipa::path(
    post, path = "/projects/{projectId}/webhooks/{webhookId}/replays/{replayId}/cancel", operation_id = "cancelReplay", tag = "Replays",
    summary = "Cancel a replay",
    description = "A repeat of the call changes nothing.",
    params(ReplayPath),
    responses(
        (status = 200, description = "The replay", body = Success<ReplayView>),
        refusals::TurnReplay,
    ),
)]
pub(crate) async fn cancel(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap) -> Answer {
    turn(&ingest, &ids, &headers, ReplayState::Cancelled).await
}

/// To the state in which it may be already: a repeat of the call changes nothing.
async fn turn(ingest: &Ingest, ids: &Ids, headers: &HeaderMap, to: ReplayState) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(headers, ids).await?.id;
    let id = ids.replay().ok_or_else(no_replay)?;
    let replays = &shared.ports.replays;
    let found = replays.replay(project, id).await.map_err(|error| Problem::unavailable(&error))?;
    let found = found.filter(|replay| Some(replay.webhook) == ids.webhook).ok_or_else(no_replay)?;
    if found.state == to {
        return ok(&ReplayView::of(&found));
    }
    let from = [ReplayState::Running, ReplayState::Paused];
    let turned = replays.turn(project, id, &from, to, shared.now()).await;
    match turned.map_err(|error| Problem::unavailable(&error))? {
        Some(replay) => {
            tracing::info!(%project, replay = %id, state = to.code(), "a replay is turned");
            ok(&ReplayView::of(&replay))
        }
        None => Err(Problem::new(REPLAY_ENDED, "this replay is done or cancelled: make a new one")),
    }
}

//! Which path is served by what. Every path is served with and without the trailing slash.

use axum::routing::{MethodRouter, get, post};
use axum::{Router, middleware};

use crate::problem::{METHOD_NOT_ALLOWED, NOT_FOUND, Problem};
use crate::state::Ingest;
use crate::{accept, batch, leftover, manage, replay, see, steer};

/// The routes of the ingest and the management API.
pub fn router(state: Ingest) -> Router {
    let routes: [(&str, MethodRouter<Ingest>); 24] = [
        ("/projects/{project}", get(manage::project)),
        ("/projects/{project}/webhooks", get(manage::list).post(manage::register)),
        ("/projects/{project}/webhooks/{webhook}", get(see::webhook).patch(manage::change).delete(manage::delete)),
        ("/projects/{project}/webhooks/{webhook}/secret/rotate", post(manage::rotate)),
        ("/projects/{project}/webhooks/{webhook}/resume", post(steer::resume)),
        ("/projects/{project}/webhooks/{webhook}/skip", post(steer::skip)),
        ("/projects/{project}/webhooks/{webhook}/drop", post(steer::drop)),
        ("/projects/{project}/webhooks/{webhook}/check", post(steer::check)),
        ("/projects/{project}/webhooks/{webhook}/steerings", get(steer::steerings)),
        ("/projects/{project}/webhooks/{webhook}/test", post(steer::test)),
        ("/projects/{project}/webhooks/{webhook}/dead-letters/resend", post(steer::resend_many)),
        ("/projects/{project}/webhooks/{webhook}/dead-letters/discard", post(steer::discard)),
        ("/projects/{project}/webhooks/{webhook}/dead-letters/{letter}", get(steer::letter)),
        ("/projects/{project}/webhooks/{webhook}/dead-letters/{letter}/resend", post(steer::resend)),
        ("/projects/{project}/webhooks/{webhook}/replays", get(replay::list).post(replay::create)),
        ("/projects/{project}/webhooks/{webhook}/replays/{replay}", get(replay::show)),
        ("/projects/{project}/webhooks/{webhook}/replays/{replay}/pause", post(replay::pause)),
        ("/projects/{project}/webhooks/{webhook}/replays/{replay}/resume", post(replay::resume)),
        ("/projects/{project}/webhooks/{webhook}/replays/{replay}/cancel", post(replay::cancel)),
        ("/projects/{project}/dead-letters", get(steer::letters)),
        ("/projects/{project}/attempts", get(see::attempts)),
        ("/projects/{project}/events", post(accept::post)),
        ("/projects/{project}/events/{event}", get(see::explain)),
        ("/projects/{project}/events/batch", post(batch::post)),
    ];
    routes
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods.clone()).route(&format!("{path}/"), methods)
        })
        .fallback(async || Problem::new(NOT_FOUND, "there is nothing at this path: check it against the API reference"))
        .method_not_allowed_fallback(async || {
            Problem::new(METHOD_NOT_ALLOWED, "this path does not take this method: see the Allow header")
        })
        .layer(middleware::from_fn(leftover::forget))
        .with_state(state)
}

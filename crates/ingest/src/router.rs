//! Which path is served by what. Every path is served with and without the trailing slash, and every call that is
//! served is in the description: a handler without one has no route.

use axum::{Router, middleware};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::openapi::{self, site};
use crate::problem::{METHOD_NOT_ALLOWED, NOT_FOUND, Problem};
use crate::replay::calls as replay;
use crate::state::Ingest;
use crate::steer::{again, lane, letters, test_event};
use crate::{accept, batch, leftover, manage, see};

/// The routes of the ingest and the management API.
pub fn router(state: Ingest) -> Router {
    Router::from(routes())
        .fallback(async || Problem::new(NOT_FOUND, "there is nothing at this path: check it against the API reference"))
        .method_not_allowed_fallback(async || {
            Problem::new(METHOD_NOT_ALLOWED, "this path does not take this method: see the Allow header")
        })
        .layer(middleware::from_fn(leftover::forget))
        .with_state(state)
}

/// The description of the API in OpenAPI 3.1, as JSON in lines: what is served at `/openapi.json`.
pub fn description() -> String {
    openapi::text(routes().into_openapi())
}

fn routes() -> OpenApiRouter<Ingest> {
    let calls: [UtoipaMethodRouter<Ingest>; 28] = [
        routes!(accept::post),
        routes!(batch::post),
        routes!(see::explain::explain),
        routes!(again::resend),
        routes!(see::attempts::attempts),
        routes!(manage::project),
        routes!(manage::list, manage::register),
        routes!(see::webhook::webhook, manage::change, manage::delete),
        routes!(manage::rotate),
        routes!(test_event::test),
        routes!(lane::check),
        routes!(lane::resume),
        routes!(lane::skip),
        routes!(lane::drop),
        routes!(lane::steerings),
        routes!(letters::letters),
        routes!(letters::letter),
        routes!(letters::resend),
        routes!(letters::resend_many),
        routes!(letters::discard),
        routes!(replay::list, replay::create),
        routes!(replay::show),
        routes!(replay::pause),
        routes!(replay::resume),
        routes!(replay::cancel),
        routes!(site::describe),
        routes!(site::docs),
        routes!(site::asset),
    ];
    calls.into_iter().fold(OpenApiRouter::with_openapi(openapi::base()), |router, call| {
        let (_, paths, methods) = &call;
        let slashed = |router: OpenApiRouter<Ingest>, path: &String| router.route(&format!("{path}/"), methods.clone());
        paths.paths.keys().fold(router, slashed).routes(call)
    })
}

//! Which path is served by what, and the headers of every answer.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::HeaderName;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::pages::{
    act, add, attempt, event, letters, log, overview, projects, replays, sign_in, signature, webhook, webhooks,
};
use crate::state::Dashboard;
use crate::trouble::Trouble;
use crate::{assets, gate};

/// Scripts, styles, images, streams and forms are this server's own, and no page holds a script or a style.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The routes of the dashboard, all under `/dashboard`.
pub fn router(dashboard: Dashboard) -> Router {
    const PROJECT: &str = "/dashboard/projects/{project}";
    const WEBHOOK: &str = "/dashboard/projects/{project}/webhooks/{webhook}";
    let of_project = |behind: &str| format!("{PROJECT}{behind}");
    let of_webhook = |behind: &str| format!("{WEBHOOK}{behind}");
    let missing = || async { Trouble::not_found("page") };
    Router::new()
        .route("/dashboard", get(sign_in::home))
        .route("/dashboard/", get(sign_in::home))
        .route("/dashboard/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/dashboard/sign-out", post(sign_in::sign_out))
        .route("/dashboard/overview", get(overview::show))
        .route("/dashboard/overview/live", get(overview::live))
        .route("/dashboard/projects", get(projects::show))
        .route("/dashboard/signature", get(signature::show))
        .route(PROJECT, get(webhooks::show))
        .route(&of_project("/live"), get(webhooks::live))
        .route(&of_project("/add"), get(add::show).post(add::add))
        .route(&of_project("/log"), get(log::show))
        .route(&of_project("/log/live"), get(log::live))
        .route(&of_project("/find"), get(event::find))
        .route(&of_project("/signature"), get(signature::show))
        .route(&of_project("/dead-letters"), get(letters::show).post(letters::act))
        .route(&of_project("/dead-letters/{webhook}/{letter}"), get(letters::one))
        .route(&of_project("/events/{event}"), get(event::show))
        .route(&of_project("/events/{event}/live"), get(event::live))
        .route(&of_project("/events/{event}/again"), post(event::again))
        .route(WEBHOOK, get(webhook::show))
        .route(&of_webhook("/live"), get(webhook::live))
        .route(&of_webhook("/replays"), get(replays::show).post(replays::create))
        .route(&of_webhook("/replays/live"), get(replays::live))
        .route(&of_webhook("/replays/{replay}/{verb}"), post(replays::turn))
        .route(&of_webhook("/attempts/{event}/{started}/{number}"), get(attempt::show))
        .route(&of_webhook("/{verb}"), post(act::act))
        .route("/dashboard/{*rest}", get(missing))
        .method_not_allowed_fallback(missing)
        .layer(middleware::from_fn_with_state(dashboard.clone(), gate::renew))
        .route("/dashboard/assets/{name}", get(assets::asset))
        .layer(middleware::from_fn(guarded))
        .with_state(dashboard)
}

/// No page is kept anywhere, framed by anyone, or runs what it did not bring.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await.into_response();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

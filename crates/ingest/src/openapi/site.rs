//! The description and its page, as they are served: to anybody, for they hold nothing of this deployment. The page is
//! Swagger UI out of this binary; it asks no other host for anything.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, Uri};
use utoipa_swagger_ui::Config;

use super::refusals;
use crate::problem::{NOT_FOUND, Problem};
use crate::router;

/// The page. It is this crate's own, for the package's has no title of ours and is relative to a path with a slash.
const PAGE: &str = include_str!("page.html");

/// What the page refers to, among what the package brings.
const ASSETS: [&str; 5] = [
    "index.css",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];

/// Scripts, styles, images and requests are this server's own. Swagger UI sets styles of single elements, and keeps
/// small images in its style sheet.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// It changes with the version: whoever looks at an old one looks at a new one soon.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// What every answer here says.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (CACHE_CONTROL, CACHED),
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

static DESCRIPTION: LazyLock<Bytes> = LazyLock::new(|| router::description().into());

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // No validator elsewhere is asked, and no bar offers to read another description.
    Arc::new(Config::new(["/openapi.json"]).use_base_layout().validator_url("none").try_it_out_enabled(true))
});

fn served(kind: &'static str, body: impl IntoResponse) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], HEADERS, body).into_response()
}

/// `GET /openapi.json`
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "describe", tag = "Description", security(()),
    summary = "This description", description = "",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub(crate) async fn describe() -> Response {
    served("application/json", DESCRIPTION.clone())
}

/// `GET /docs`
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "Description", security(()),
    summary = "This description as a page", description = "With a playground that works against this server.",
    responses((status = 200, description = "The page", body = String, content_type = "text/html")),
)]
pub(crate) async fn docs() -> Response {
    served("text/html; charset=utf-8", PAGE)
}

/// `GET /docs/{asset}`
#[utoipa::path(
    get, path = "/docs/{asset}", operation_id = "docsAsset", tag = "Description", security(()),
    summary = "A part of the page", description = "Scripts and style sheets come compressed by gzip.",
    params(("asset" = String, Path, description = "Its name, as in the page", example = "swagger-ui.css")),
    responses(
        (status = 200, description = "The part", content(
            (String = "text/javascript"),
            (String = "text/css"),
        )),
        refusals::Asset,
    ),
)]
pub(crate) async fn asset(uri: Uri) -> Response {
    // A name has nothing to be percent-decoded, which axum's extractor would answer for in a form of its own.
    let name = uri.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let found = ASSETS.contains(&name).then(|| utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).ok().flatten());
    let Some(file) = found.flatten() else {
        return Problem::new(NOT_FOUND, "the page has no such part: look at /docs").into_response();
    };
    let kind = if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let mut response = served(kind, bytes);
    if file.gzpipped {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

//! The style sheet, the script and the icon, out of the binary. Their names change with what is in them, so that browsers
//! may keep them for ever.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::query::Place;
use crate::trouble::Trouble;

/// One of them.
pub(crate) struct Asset {
    kind: &'static str,
    bytes: &'static str,
    path: LazyLock<String>,
}

/// How everything looks.
pub(crate) static STYLE: Asset = Asset {
    kind: "text/css; charset=utf-8",
    bytes: include_str!("../assets/style.css"),
    path: LazyLock::new(|| path("style", "css", include_str!("../assets/style.css"))),
};

/// What pages do by themselves, beyond what they do without it.
pub(crate) static SCRIPT: Asset = Asset {
    kind: "text/javascript; charset=utf-8",
    bytes: include_str!("../assets/script.js"),
    path: LazyLock::new(|| path("script", "js", include_str!("../assets/script.js"))),
};

/// The icon in a browser's tab.
pub(crate) static ICON: Asset = Asset {
    kind: "image/svg+xml",
    bytes: include_str!("../assets/icon.svg"),
    path: LazyLock::new(|| path("icon", "svg", include_str!("../assets/icon.svg"))),
};

fn path(name: &str, ending: &str, bytes: &str) -> String {
    let digest = hex::encode(Sha256::digest(bytes));
    format!("/dashboard/assets/{name}-{}.{ending}", &digest[..16])
}

impl Asset {
    /// Its path, with a part of its digest.
    pub(crate) fn path(&'static self) -> &'static str {
        &self.path
    }
}

/// `GET /dashboard/assets/{name}`
pub(crate) async fn asset(place: Place) -> Response {
    let found = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.path() == place.path());
    let Some(asset) = found else { return Trouble::not_found("file").into_response() };
    let cached = HeaderValue::from_static("public, max-age=31536000, immutable");
    ([(CONTENT_TYPE, HeaderValue::from_static(asset.kind)), (CACHE_CONTROL, cached)], asset.bytes).into_response()
}

//! Calls of the API, within the process: whatever a page changes, it changes as a program would.

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Method, Request, StatusCode, header};
use serde_json::Value;
use spectrum_webhook_core::credentials::Vouched;
use spectrum_webhook_core::ids::ProjectId;
use tower::ServiceExt as _;

/// The largest answer that is read, in bytes.
const LARGEST: usize = 8 << 20;

/// The API.
pub(crate) struct Api {
    router: Router,
}

/// Why a call was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// Stable: see the API reference.
    pub(crate) code: String,
    /// The API's own words.
    pub(crate) message: String,
}

impl Refusal {
    /// What a person is told. Where the API speaks of its fields, this speaks of the form.
    pub(crate) fn sentence(&self) -> String {
        let said = match self.code.as_str() {
            "invalid_reason" => "Say why, in 1 to 500 characters on one line: whoever looks later will want to know.",
            "url_taken" => "This URL is registered for this project already. Use that webhook, or remove it first.",
            "webhook_disabled" => "The webhook is disabled. Enable it first.",
            "not_confirmed" | "unavailable" => {
                "A part of the service does not answer just now, so this may not be done. Try again in a moment."
            }
            "letter_closed" => "This dead letter was sent again, discarded or dropped already. Nothing is left to do.",
            "replay_ended" => "This replay is done or cancelled. Start a new one if you need it.",
            "nothing_to_skip" => "Nothing waits in the backlog any more.",
            "overloaded" => "The server is busy. Try again in a moment.",
            _ => return capital(&self.message),
        };
        said.to_owned()
    }
}

/// The same as a sentence.
fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

impl Api {
    pub(crate) fn new(router: Router) -> Self {
        Self { router }
    }

    /// A call for a project whose session was checked; `path` goes on behind `/projects/ID`. Answers the `data`.
    pub(crate) async fn call(
        &self,
        project: ProjectId,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Refusal> {
        let broken = || Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "unavailable".to_owned(),
            message: "the answer cannot be read: try again".to_owned(),
        };
        let bytes = body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/projects/{project}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, bytes.len())
            .body(Body::from(bytes))
            .map_err(|_| broken())?;
        request.extensions_mut().insert(Vouched(project));
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status();
        let bytes = to_bytes(response.into_body(), LARGEST).await.map_err(|_| broken())?;
        let mut answer: Value = serde_json::from_slice(&bytes).map_err(|_| broken())?;
        if status.is_success() {
            return Ok(answer["data"].take());
        }
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Err(Refusal { status, code: text("code"), message: text("message") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_sentence() {
        let refusal = |code: &str, message: &str| {
            Refusal { status: StatusCode::CONFLICT, code: code.to_owned(), message: message.to_owned() }.sentence()
        };
        assert_eq!(refusal("other", "über alles: try again"), "Über alles: try again.");
        assert!(refusal("url_taken", "").contains("registered"));
        assert_eq!(refusal("other", ""), ".");
    }
}

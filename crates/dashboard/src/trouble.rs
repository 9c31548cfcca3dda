//! Pages that say what went wrong, and what to do.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use spectrum_webhook_core::ports::PortError;

use crate::api::Refusal;
use crate::frame::{Frame, page};

/// What went wrong, as a page.
#[derive(Debug)]
pub(crate) struct Trouble {
    status: StatusCode,
    title: &'static str,
    sentence: String,
    retry_after: Option<u64>,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    frame: Frame,
    title: &'static str,
    sentence: String,
}

impl Trouble {
    fn new(status: StatusCode, title: &'static str, sentence: impl Into<String>) -> Self {
        Self { status, title, sentence: sentence.into(), retry_after: None }
    }

    /// There is no such thing, or it is another project's.
    pub(crate) fn not_found(what: &str) -> Self {
        let sentence = format!(
            "There is no such {what}, or it belongs to another project. Check the address, or start again from the \
             beginning."
        );
        Self::new(StatusCode::NOT_FOUND, "Not found", sentence)
    }

    /// The same in words of its own.
    pub(crate) fn nothing(sentence: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", sentence)
    }

    /// A form that came from elsewhere, or from another session.
    pub(crate) fn foreign_form() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This form was not taken",
            "It came from another site, or from a page that was opened before you signed in. Nothing was changed. Open \
             the page again, and repeat what you did.",
        )
    }

    /// A form that cannot be read.
    pub(crate) fn broken_form() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This form was not taken",
            "It broke off, or it is too large. Nothing was changed. Go back, and send it again.",
        )
    }

    /// What was filled in does not do.
    pub(crate) fn unfit(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "That did not work", sentence)
    }

    /// Someone else was faster.
    pub(crate) fn stale() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "The webhook was changed meanwhile",
            "The page that you came from is older than the webhook's last change, so nothing was done. Open the webhook \
             again to see how it is now.",
        )
    }

    /// A backend that does not answer.
    pub(crate) fn unavailable() -> Self {
        let trouble = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not available just now",
            "A part of the service does not answer. Deliveries that were accepted are safe. Try again in a moment.",
        );
        Self { retry_after: Some(5), ..trouble }
    }
}

impl From<PortError> for Trouble {
    fn from(error: PortError) -> Self {
        tracing::error!(%error, "a backend failed");
        Self::unavailable()
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        let title = match refusal.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::SERVICE_UNAVAILABLE => "Not available just now",
            _ => "That did not work",
        };
        Self::new(refusal.status, title, refusal.sentence())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let frame = Frame::bare(self.title);
        let mut response = page(&TroublePage { frame, title: self.title, sentence: self.sentence });
        *response.status_mut() = self.status;
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

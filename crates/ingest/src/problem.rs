//! Every error, as an HTTP answer: `{"succeed":false,"code","message"}`, with a stable code and a message that says
//! what to do.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use spectrum_webhook_core::event::EventError;
use spectrum_webhook_core::ports::PortError;

/// One kind of error: its stable code and its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// The word that callers decide by.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
}

macro_rules! kinds {
    ($($name:ident = $status:ident $code:literal),* $(,)?) => {
        $(pub(crate) const $name: Kind = Kind { code: $code, status: StatusCode::$status };)*

        /// All kinds there are.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    BODY_INCOMPLETE = BAD_REQUEST "body_incomplete",
    UNAUTHORIZED = UNAUTHORIZED "unauthorized",
    NOT_FOUND = NOT_FOUND "not_found",
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method_not_allowed",
    BODY_TIMEOUT = REQUEST_TIMEOUT "body_timeout",
    URL_TAKEN = CONFLICT "url_taken",
    WEBHOOK_DISABLED = CONFLICT "webhook_disabled",
    LETTER_CLOSED = CONFLICT "letter_closed",
    REPLAY_ENDED = CONFLICT "replay_ended",
    NOTHING_TO_SKIP = CONFLICT "nothing_to_skip",
    TOO_LARGE = PAYLOAD_TOO_LARGE "too_large",
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type",
    EVENT_EMPTY = UNPROCESSABLE_ENTITY "event_empty",
    EVENT_NOT_UTF8 = UNPROCESSABLE_ENTITY "event_not_utf8",
    EVENT_NOT_JSON = UNPROCESSABLE_ENTITY "event_not_json",
    EVENT_NOT_AN_OBJECT = UNPROCESSABLE_ENTITY "event_not_an_object",
    EVENT_MISSING = UNPROCESSABLE_ENTITY "event_missing",
    EVENT_NOT_A_STRING = UNPROCESSABLE_ENTITY "event_not_a_string",
    EVENT_REPEATED = UNPROCESSABLE_ENTITY "event_repeated",
    EVENT_MALFORMED = UNPROCESSABLE_ENTITY "event_malformed",
    INVALID_IDEMPOTENCY_KEY = UNPROCESSABLE_ENTITY "invalid_idempotency_key",
    IDEMPOTENCY_MISMATCH = UNPROCESSABLE_ENTITY "idempotency_mismatch",
    INVALID_BODY = UNPROCESSABLE_ENTITY "invalid_body",
    INVALID_URL = UNPROCESSABLE_ENTITY "invalid_url",
    INVALID_EVENT_TYPES = UNPROCESSABLE_ENTITY "invalid_event_types",
    INVALID_HEADERS = UNPROCESSABLE_ENTITY "invalid_headers",
    INVALID_RATE_LIMIT = UNPROCESSABLE_ENTITY "invalid_rate_limit",
    INVALID_ATTEMPT_TIMEOUT = UNPROCESSABLE_ENTITY "invalid_attempt_timeout",
    INVALID_OVERLAP = UNPROCESSABLE_ENTITY "invalid_overlap",
    INVALID_REASON = UNPROCESSABLE_ENTITY "invalid_reason",
    INVALID_REPLAY = UNPROCESSABLE_ENTITY "invalid_replay",
    INVALID_QUERY = UNPROCESSABLE_ENTITY "invalid_query",
    NOT_CONFIRMED = SERVICE_UNAVAILABLE "not_confirmed",
    OVERLOADED = SERVICE_UNAVAILABLE "overloaded",
    UNAVAILABLE = SERVICE_UNAVAILABLE "unavailable",
}

/// What a 401 asks for.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"spectrum-webhook\"");

/// An error on its way to a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    kind: Kind,
    message: Cow<'static, str>,
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        // Whoever is told to come back is told when, in seconds.
        let retry_after = (kind.status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { kind, message: message.into(), retry_after }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same with more to say.
    pub(crate) fn ending(self, more: &str) -> Self {
        Self { message: Cow::Owned(format!("{}{more}", self.message)), ..self }
    }

    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.kind.code
    }

    /// Whether it passes by itself: then nothing more is tried for the caller.
    pub(crate) fn is_passing(&self) -> bool {
        self.kind.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// The body, without a line's end.
    pub(crate) fn json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            succeed: bool,
            code: &'a str,
            message: &'a str,
        }
        json(&Body { succeed: false, code: self.kind.code, message: &self.message })
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(
            UNAUTHORIZED,
            "the credentials are missing or wrong for this project: send HTTP Basic with the project's id as user and \
             its secret as password",
        )
    }

    pub(crate) fn no_webhook() -> Self {
        Self::new(
            NOT_FOUND,
            "this project has no such webhook, or it is deleted: list the project's webhooks for their ids",
        )
    }

    pub(crate) fn no_project() -> Self {
        Self::new(NOT_FOUND, "there is no such project: check the id in the path")
    }

    pub(crate) fn overloaded() -> Self {
        Self::new(OVERLOADED, "too many requests are being worked on: repeat this one after Retry-After")
    }

    /// A backend that failed where nothing was changed; the caller learns no more than that.
    pub(crate) fn unavailable(error: &PortError) -> Self {
        tracing::error!(%error, "a backend failed");
        Self::new(
            UNAVAILABLE,
            "a backend is not available, and nothing was changed: repeat the request after Retry-After",
        )
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        let kind = Kind { code: error.code(), status: StatusCode::UNPROCESSABLE_ENTITY };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        if self.kind == UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        (headers, answer(self.kind.status, self.json())).into_response()
    }
}

/// `{"succeed":true,"data":…}`, without a line's end.
pub(crate) fn success<T: Serialize>(data: &T) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a, T> {
        succeed: bool,
        data: &'a T,
    }
    json(&Body { succeed: true, data })
}

/// An answer with a JSON body.
pub(crate) fn answer(status: StatusCode, json: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
}

pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "structs of strings, numbers and lists always serialise")]
    serde_json::to_vec(value).expect("JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_reference() {
        let reference = include_str!("../../../docs/api.md");
        for kind in ALL {
            let row = format!("| {} | `{}` |", kind.status.as_u16(), kind.code);
            assert!(reference.contains(&row), "docs/api.md lacks {row}");
        }
    }

    #[test]
    fn every_code_is_there_once_and_the_events_errors_are_among_them() {
        for (at, kind) in ALL.iter().enumerate() {
            assert!(ALL[..at].iter().all(|other| other.code != kind.code), "{}", kind.code);
        }
        for error in [
            EventError::Empty,
            EventError::NotUtf8,
            EventError::NotJson { line: 1, column: 1 },
            EventError::NotAnObject,
            EventError::NoEvent,
            EventError::EventNotString,
            EventError::EventRepeated,
            EventError::EventMalformed,
        ] {
            assert!(ALL.contains(&Problem::from(error).kind), "{}", error.code());
        }
    }
}

//! Every error, as an HTTP answer: `{"succeed":false,"code","message"}`, with a stable code and a message that says
//! what to do.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use spectrum_webhook_core::event::EventError;
use spectrum_webhook_core::ports::PortError;
use utoipa::ToSchema;

use crate::openapi::words::{self, ProblemCode};

/// One kind of error: its stable code and its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// The word that callers decide by.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What to do, as in the reference.
    pub remedy: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $status:ident $code:literal $remedy:literal),* $(,)?) => {
        $(pub(crate) const $name: Kind = Kind { code: $code, status: StatusCode::$status, remedy: $remedy };)*

        /// All kinds there are.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    BODY_INCOMPLETE = BAD_REQUEST "body_incomplete"
        "the body broke off: send the whole of it",
    UNAUTHORIZED = UNAUTHORIZED "unauthorized"
        "send the project's id and secret, or a valid operator's token. An unknown project, a wrong secret and another \
         project's credentials look the same",
    NOT_FOUND = NOT_FOUND "not_found"
        "check the path, or the id: unknown or deleted",
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method_not_allowed"
        "use a method of the `Allow` header",
    BODY_TIMEOUT = REQUEST_TIMEOUT "body_timeout"
        "the body took longer than the server waits, 30 s by default (a batch: ten times as long): send it faster, or in \
         parts",
    URL_TAKEN = CONFLICT "url_taken"
        "the project has this URL registered: use that webhook, or delete it first",
    WEBHOOK_DISABLED = CONFLICT "webhook_disabled"
        "enable the webhook first",
    LETTER_CLOSED = CONFLICT "letter_closed"
        "the dead letter was sent again, discarded or dropped already: nothing is to be done",
    REPLAY_ENDED = CONFLICT "replay_ended"
        "the replay is done or cancelled: make a new one",
    NOTHING_TO_SKIP = CONFLICT "nothing_to_skip"
        "nothing waits in the backlog: name an event in `eventId`, or look again",
    TOO_LARGE = PAYLOAD_TOO_LARGE "too_large"
        "stay below the limit in the message",
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type"
        "send a batch as `application/x-ndjson`",
    EVENT_EMPTY = UNPROCESSABLE_ENTITY "event_empty"
        "send the event as the body",
    EVENT_NOT_UTF8 = UNPROCESSABLE_ENTITY "event_not_utf8"
        "send UTF-8, without compression",
    EVENT_NOT_JSON = UNPROCESSABLE_ENTITY "event_not_json"
        "mend the JSON at the line and column of the message",
    EVENT_NOT_AN_OBJECT = UNPROCESSABLE_ENTITY "event_not_an_object"
        "send one object",
    EVENT_MISSING = UNPROCESSABLE_ENTITY "event_missing"
        "add a top-level `event`",
    EVENT_NOT_A_STRING = UNPROCESSABLE_ENTITY "event_not_a_string"
        "make `event` a string",
    EVENT_REPEATED = UNPROCESSABLE_ENTITY "event_repeated"
        "leave one top-level `event`",
    EVENT_MALFORMED = UNPROCESSABLE_ENTITY "event_malformed"
        "give `event` 1 to 64 visible ASCII characters",
    INVALID_IDEMPOTENCY_KEY = UNPROCESSABLE_ENTITY "invalid_idempotency_key"
        "send one key of 1 to 255 visible ASCII characters, or none",
    IDEMPOTENCY_MISMATCH = UNPROCESSABLE_ENTITY "idempotency_mismatch"
        "this key was used with another body: use a new one",
    INVALID_BODY = UNPROCESSABLE_ENTITY "invalid_body"
        "send a JSON object with the fields above",
    INVALID_URL = UNPROCESSABLE_ENTITY "invalid_url"
        "the message says what is wrong with `webhookUrl`",
    INVALID_EVENT_TYPES = UNPROCESSABLE_ENTITY "invalid_event_types"
        "send `null` or 1 to 100 names, each of 1 to 64 visible ASCII characters with at most 8 `*`",
    INVALID_HEADERS = UNPROCESSABLE_ENTITY "invalid_headers"
        "the message names the header and says what is wrong with it",
    INVALID_RATE_LIMIT = UNPROCESSABLE_ENTITY "invalid_rate_limit"
        "send `null` or a whole number from 1 to 1,000",
    INVALID_ATTEMPT_TIMEOUT = UNPROCESSABLE_ENTITY "invalid_attempt_timeout"
        "send `null` or a whole number of seconds within the bound in the message",
    INVALID_ORDERING = UNPROCESSABLE_ENTITY "invalid_ordering"
        "send `null`, `project`, `space` or `none`",
    INVALID_OVERLAP = UNPROCESSABLE_ENTITY "invalid_overlap"
        "send a whole number from 0 to 604,800",
    INVALID_REASON = UNPROCESSABLE_ENTITY "invalid_reason"
        "send a `reason` of 1 to 500 characters on one line",
    INVALID_REPLAY = UNPROCESSABLE_ENTITY "invalid_replay"
        "the message names the field and what it takes",
    INVALID_QUERY = UNPROCESSABLE_ENTITY "invalid_query"
        "the message names the parameter of the query and what it takes",
    NOT_CONFIRMED = SERVICE_UNAVAILABLE "not_confirmed"
        "an event: repeat it, with the same key if it has one. A change: it is stored; repeat the request",
    OVERLOADED = SERVICE_UNAVAILABLE "overloaded"
        "repeat it after `Retry-After`",
    UNAVAILABLE = SERVICE_UNAVAILABLE "unavailable"
        "a backend is down: repeat it after `Retry-After`. The message says whether anything may have been changed",
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

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.kind.status
    }

    /// Whether it passes by itself: then nothing more is tried for the caller.
    pub(crate) fn is_passing(&self) -> bool {
        self.kind.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// The body, without a line's end.
    pub(crate) fn json(&self) -> Vec<u8> {
        json(&ProblemBody { succeed: false, code: self.kind.code, message: &self.message })
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
        let kind = match error {
            EventError::Empty => EVENT_EMPTY,
            EventError::NotUtf8 => EVENT_NOT_UTF8,
            EventError::NotJson { .. } => EVENT_NOT_JSON,
            EventError::NotAnObject => EVENT_NOT_AN_OBJECT,
            EventError::NoEvent => EVENT_MISSING,
            EventError::EventNotString => EVENT_NOT_A_STRING,
            EventError::EventRepeated => EVENT_REPEATED,
            EventError::EventMalformed => EVENT_MALFORMED,
        };
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

/// Why a request was refused. Decide by `code`; the message says what to do.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    #[schema(schema_with = words::never)]
    succeed: bool,
    #[schema(value_type = ProblemCode)]
    code: &'a str,
    /// For people: it may be worded better any day.
    message: &'a str,
}

/// What was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Success)]
pub(crate) struct Success<'a, T> {
    #[schema(schema_with = words::always)]
    succeed: bool,
    data: &'a T,
}

/// `{"succeed":true,"data":…}`, without a line's end.
pub(crate) fn success<T: Serialize>(data: &T) -> Vec<u8> {
    json(&Success { succeed: true, data })
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
            let row = format!("| {} | `{}` | {} |\n", kind.status.as_u16(), kind.code, kind.remedy);
            assert!(reference.contains(&row), "docs/api.md lacks {row}");
        }
    }

    #[test]
    fn every_code_is_there_once_and_an_events_error_has_its_own() {
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
            assert_eq!(Problem::from(error).code(), error.code());
        }
    }
}

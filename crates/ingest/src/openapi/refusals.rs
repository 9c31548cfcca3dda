//! With what a call can be refused: its problems by their statuses, with every code.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr};

use crate::problem::{
    BODY_INCOMPLETE, BODY_TIMEOUT, EVENT_EMPTY, EVENT_MALFORMED, EVENT_MISSING, EVENT_NOT_A_STRING,
    EVENT_NOT_AN_OBJECT, EVENT_NOT_JSON, EVENT_NOT_UTF8, EVENT_REPEATED, IDEMPOTENCY_MISMATCH, INVALID_ATTEMPT_TIMEOUT,
    INVALID_BODY, INVALID_EVENT_TYPES, INVALID_HEADERS, INVALID_IDEMPOTENCY_KEY, INVALID_ORDERING, INVALID_OVERLAP,
    INVALID_QUERY, INVALID_RATE_LIMIT, INVALID_REASON, INVALID_REPLAY, INVALID_URL, Kind, LETTER_CLOSED,
    METHOD_NOT_ALLOWED, NOT_CONFIRMED, NOT_FOUND, NOTHING_TO_SKIP, OVERLOADED, REPLAY_ENDED, TOO_LARGE, UNAUTHORIZED,
    UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE, URL_TAKEN, WEBHOOK_DISABLED,
};

/// Of every call for a project: who calls, what is there, whether the store is.
const ANY: &[Kind] = &[UNAUTHORIZED, NOT_FOUND, UNAVAILABLE];
/// Of every call that reads a body.
const BODY: &[Kind] = &[BODY_INCOMPLETE, BODY_TIMEOUT, TOO_LARGE, OVERLOADED];
/// Of what a registration and a change say about a webhook.
const WEBHOOK: &[Kind] = &[
    INVALID_BODY,
    INVALID_URL,
    INVALID_EVENT_TYPES,
    INVALID_HEADERS,
    INVALID_RATE_LIMIT,
    INVALID_ATTEMPT_TIMEOUT,
    INVALID_ORDERING,
];
/// Of a body that is no event.
const EVENT: &[Kind] = &[
    EVENT_EMPTY,
    EVENT_NOT_UTF8,
    EVENT_NOT_JSON,
    EVENT_NOT_AN_OBJECT,
    EVENT_MISSING,
    EVENT_NOT_A_STRING,
    EVENT_REPEATED,
    EVENT_MALFORMED,
];
/// Of an id's place where a word has a call of its own, with another method: `/events/batch`, `/dead-letters/resend`.
const WORD: &[Kind] = &[METHOD_NOT_ALLOWED];

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident: $($kinds:expr),+;)*) => {$(
        $(#[doc = $doc])+
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let kinds: &[&[Kind]] = &[$($kinds),+];
                responses(&kinds.concat())
            }
        }
    )*};
}

refusals! {
    /// Of a call that shows something.
    Show: ANY;
    /// Of one whose id stands where another call has a word.
    ShowByWord: ANY, WORD;
    /// Of a list in pages.
    List: ANY, &[INVALID_QUERY];
    /// Of an event.
    PostEvent: ANY, BODY, EVENT, &[INVALID_IDEMPOTENCY_KEY, IDEMPOTENCY_MISMATCH, NOT_CONFIRMED];
    /// Of a batch, as a whole.
    PostBatch: ANY, BODY, &[UNSUPPORTED_MEDIA_TYPE, EVENT_EMPTY, INVALID_IDEMPOTENCY_KEY];
    /// Of a registration.
    Register: ANY, BODY, WEBHOOK, &[URL_TAKEN];
    /// Of a change.
    Change: ANY, BODY, WEBHOOK, &[URL_TAKEN, NOT_CONFIRMED];
    /// Of a deletion.
    Delete: ANY, &[NOT_CONFIRMED];
    /// Of a new secret.
    Rotate: ANY, BODY, &[INVALID_BODY, INVALID_OVERLAP];
    /// Of a wish for a lane.
    Steer: ANY, BODY, &[INVALID_BODY, INVALID_REASON, NOT_CONFIRMED];
    /// Of a wish for one event of a lane.
    Skip: ANY, BODY, &[INVALID_BODY, INVALID_REASON, NOT_CONFIRMED, NOTHING_TO_SKIP];
    /// Of a test event or a check.
    Try: ANY, &[WEBHOOK_DISABLED, NOT_CONFIRMED];
    /// Of a resend.
    Resend: ANY, &[WEBHOOK_DISABLED, LETTER_CLOSED, NOT_CONFIRMED];
    /// Of an event that is sent again.
    ResendEvent: ANY, BODY, &[INVALID_BODY, WEBHOOK_DISABLED, NOT_CONFIRMED];
    /// Of several resends.
    ResendMany: ANY, BODY, &[INVALID_BODY, WEBHOOK_DISABLED, NOT_CONFIRMED];
    /// Of discarding dead letters.
    Discard: ANY, BODY, &[INVALID_BODY, INVALID_REASON];
    /// Of a new replay.
    CreateReplay: ANY, BODY, &[INVALID_BODY, INVALID_REASON, INVALID_REPLAY];
    /// Of a part of the page.
    Asset: &[NOT_FOUND];
    /// Of pausing, resuming and cancelling a replay.
    TurnReplay: ANY, &[REPLAY_ENDED];
}

/// The name of a refusal that stands alone under its status, among the description's components.
pub(super) fn alone(kind: &Kind) -> (String, Response) {
    (kind.code.to_owned(), response(&[*kind]))
}

fn responses(kinds: &[Kind]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<StatusCode, Vec<Kind>> = BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.status).or_default().push(*kind);
    }
    let described = by_status.into_iter().map(|(status, kinds)| {
        let response = match kinds.as_slice() {
            [kind] => Ref::from_response_name(kind.code).into(),
            kinds => response(kinds).into(),
        };
        (status.as_str().to_owned(), response)
    });
    described.collect()
}

fn response(kinds: &[Kind]) -> Response {
    let codes: Vec<&str> = kinds.iter().map(|kind| kind.code).collect();
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes));
    let schema =
        AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(ObjectBuilder::new().property("code", code));
    let body = ContentBuilder::new().schema(Some(schema)).examples_from_iter(kinds.iter().map(example)).build();
    let mut response = ResponseBuilder::new().description(description(kinds)).content("application/json", body);
    if let Some((name, what)) = kinds.first().and_then(|kind| header(kind.status)) {
        let kind = if name == "Retry-After" { Type::Integer } else { Type::String };
        let schema = ObjectBuilder::new().schema_type(kind);
        response = response.header(name, HeaderBuilder::new().schema(Some(schema)).description(Some(what)).build());
    }
    response.build()
}

fn description(kinds: &[Kind]) -> String {
    let lines = kinds.iter().map(|kind| format!("- `{}`: {}", kind.code, kind.remedy));
    lines.collect::<Vec<_>>().join("\n")
}

fn example(kind: &Kind) -> (String, Example) {
    let value: Value = json!({ "succeed": false, "code": kind.code, "message": kind.remedy });
    (kind.code.to_owned(), ExampleBuilder::new().value(Some(value)).build())
}

/// The header that comes with a status.
fn header(status: StatusCode) -> Option<(&'static str, &'static str)> {
    match status {
        StatusCode::UNAUTHORIZED => Some(("WWW-Authenticate", "`Basic realm=\"spectrum-webhook\"`")),
        StatusCode::METHOD_NOT_ALLOWED => Some(("Allow", "The methods that the path takes")),
        StatusCode::SERVICE_UNAVAILABLE => Some(("Retry-After", "When to repeat it, in seconds")),
        _ => None,
    }
}

//! Bodies as they are described that are read or written as other types. Requests are read field by field, so that what
//! is wrong can be named: see the rooms `fields` of the calls.
#![expect(dead_code, reason = "these describe what is read elsewhere, and are never made")]

use std::collections::BTreeMap;

use utoipa::ToSchema;
use uuid::Uuid;

use super::words;
use crate::manage::Iso;

/// An event: any JSON object with a string `event`. It is delivered byte for byte.
#[derive(ToSchema)]
#[schema(examples(json!({
    "event": "messages",
    "space": { "id": "s-1", "platform": "imessage" },
    "message": {
        "id": "m-1",
        "platform": "imessage",
        "space": { "id": "s-1" },
        "content": { "type": "text", "text": "Hello" }
    }
})))]
pub(crate) struct Event {
    /// Its type, of visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,64}$", examples("messages"))]
    event: String,
}

/// Events, one a line, ended by `\n` or `\r\n`: at most 32 MiB, 10,000 lines and 5 minutes.
#[derive(ToSchema)]
#[schema(value_type = String, examples("{\"event\":\"a\"}\n{\"event\":\"b\"}\n"))]
pub(crate) struct EventLines(String);

/// One result a line, each in the form of a single event's answer.
#[derive(ToSchema)]
#[schema(
    value_type = String,
    examples("{\"succeed\":true,\"data\":{\"id\":\"019b7cb2-0000-7000-8000-000000000001\",\"duplicate\":false}}\n")
)]
pub(crate) struct ResultLines(String);

/// A webhook to register.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", examples(
    json!({ "webhookUrl": "https://example.com/hook" }),
    json!({
        "webhookUrl": "https://example.com/hook",
        "eventTypes": ["message.*", "*.created"],
        "headers": { "X-Tenant": "t-1" },
        "rateLimit": 20,
        "attemptTimeoutSeconds": 10,
        "ordering": "space",
        "check": true
    })
))]
pub(crate) struct Registration {
    /// A valid `http` or `https` URL, without white space and control characters. It is kept and compared to the byte;
    /// whether it may be called is decided before each attempt.
    #[schema(pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s\x00-\x1f\x7f]+$", max_length = 2048, format = "uri")]
    webhook_url: String,
    /// `null` (all), or names of events, in each of which up to 8 `*` stand for any run of characters.
    #[schema(min_items = 1, max_items = 100)]
    event_types: Option<Vec<Pattern>>,
    /// Headers that deliveries carry beside ours: at most 20; the reference says which ones. Their values are never
    /// shown again.
    headers: Option<BTreeMap<HeaderName, HeaderValue>>,
    /// The most attempts a second, retries included.
    #[schema(minimum = 1, maximum = 1000)]
    rate_limit: Option<u16>,
    /// How long one attempt may take, in seconds, up to what the deployment allows.
    #[schema(minimum = 1, maximum = 30)]
    attempt_timeout_seconds: Option<u32>,
    /// Which events wait for one another; `null` is `project`.
    ordering: Option<words::Ordering>,
    /// Whether one request is made to it at once; the answer then has a `check`.
    #[schema(required = false, default = false)]
    check: bool,
}

/// The name of events, in which up to 8 `*` stand for any run of characters.
#[derive(ToSchema)]
#[schema(as = EventPattern, value_type = String, pattern = "^[!-~]{1,64}$", examples("message.*"))]
struct Pattern(String);

/// The name of a header: an HTTP token, and none of those that deliveries have of their own.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$", examples("X-Tenant"))]
struct HeaderName(String);

/// The value of a header: visible ASCII characters, with spaces and tabs between them.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[!-~]([\t -~]{0,1022}[!-~])?$", examples("t-1"))]
struct HeaderValue(String);

/// What changes of a webhook. What is not sent stays.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", examples(json!({ "enabled": false })))]
pub(crate) struct Change {
    /// As at its registration.
    #[schema(
        required = false,
        pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s\x00-\x1f\x7f]+$",
        max_length = 2048,
        format = "uri"
    )]
    webhook_url: String,
    /// Whether it takes events. Enabled again, it gets what it missed, in order.
    #[schema(required = false)]
    enabled: bool,
    /// As at its registration.
    #[schema(min_items = 1, max_items = 100)]
    event_types: Option<Vec<Pattern>>,
    /// As at its registration; they replace all headers.
    headers: Option<BTreeMap<HeaderName, HeaderValue>>,
    /// As at its registration.
    #[schema(minimum = 1, maximum = 1000)]
    rate_limit: Option<u16>,
    /// As at its registration.
    #[schema(minimum = 1, maximum = 30)]
    attempt_timeout_seconds: Option<u32>,
    /// As at its registration. It takes effect when all that waits in memory is in the backlog.
    ordering: Option<words::Ordering>,
}

/// How long the old secret signs beside the new one.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", examples(json!({ "overlapSeconds": 3600 })))]
pub(crate) struct Rotation {
    /// In seconds.
    #[schema(required = false, minimum = 0, maximum = 604800, default = 86400)]
    overlap_seconds: u32,
}

/// Why it is done.
#[derive(ToSchema)]
#[schema(examples(json!({ "reason": "they mended their server" })))]
pub(crate) struct Because {
    /// For those who look later, on one line.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    reason: String,
}

/// Which event is skipped, and why.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", examples(json!({ "reason": "it breaks their parser" })))]
pub(crate) struct Skip {
    /// For those who look later, on one line.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    reason: String,
    /// The event; none is the first that waits.
    event_id: Option<Uuid>,
}

/// Where an event is sent again.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", examples(json!({ "webhookId": "019b7cb1-0000-7000-8000-000000000001" })))]
pub(crate) struct To {
    /// The webhook's id.
    webhook_id: Uuid,
}

/// The dead letters to send again, in their order.
#[derive(ToSchema)]
#[schema(examples(json!({ "ids": ["019b7cb2-0000-7000-8000-000000000001"] })))]
pub(crate) struct Resends {
    /// Their ids.
    #[schema(min_items = 1, max_items = 100)]
    ids: Vec<Uuid>,
}

/// The dead letters to discard: those named, or all.
#[derive(ToSchema)]
#[schema(examples(json!({ "all": true, "reason": "known to the customer" })))]
#[serde(untagged)]
pub(crate) enum Discarding {
    /// Those named.
    Named {
        /// Their ids.
        #[schema(min_items = 1, max_items = 100)]
        ids: Vec<Uuid>,
        /// That not all are meant.
        #[schema(schema_with = words::never, required = false)]
        all: bool,
        /// For those who look later, on one line.
        #[schema(
            min_length = 1,
            max_length = 500,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )]
        reason: String,
    },
    /// All open ones of the webhook.
    All {
        /// That none is named.
        #[schema(schema_with = words::nothing, required = false)]
        ids: (),
        /// That all are meant.
        #[schema(schema_with = words::always)]
        all: bool,
        /// For those who look later, on one line.
        #[schema(
            min_length = 1,
            max_length = 500,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )]
        reason: String,
    },
}

/// A replay to make, or to count.
#[derive(ToSchema)]
#[schema(
    rename_all = "camelCase",
    examples(json!({ "what": "dead", "from": "2026-01-02T00:00:00Z", "reason": "their database was down" }))
)]
pub(crate) struct NewReplay {
    what: words::ReplayWhat,
    /// Events that were accepted at this time or later; from the beginning if it is not said.
    from: Option<Iso>,
    /// Events that were accepted before this time; up to now if it is not said.
    to: Option<Iso>,
    /// For those who look later, on one line. Only a dry run goes without.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    reason: Option<String>,
    /// Events a second; `null` is as many as the queue takes.
    #[schema(minimum = 1, maximum = 1000)]
    rate_per_second: Option<u32>,
    /// Whether it is only counted.
    #[schema(default = false)]
    dry_run: Option<bool>,
}

/// What came of a check, as whoever delivers wrote it down.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CheckReport {
    /// Whether deliveries would succeed, as far as one request tells.
    passed: bool,
    /// The steps in their order; a plain `http` URL has no `tls`.
    steps: Vec<CheckStep>,
    /// The whole request's time, in milliseconds.
    total_ms: u32,
    /// The start of the answer's body, control characters escaped.
    response: String,
}

/// One step of a check.
#[derive(ToSchema)]
pub(crate) struct CheckStep {
    step: words::CheckedStep,
    outcome: words::CheckOutcome,
    /// What that means, and what to do.
    sentence: String,
}

//! What is read from the bodies of the management API. Unknown fields are ignored.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use spectrum_webhook_core::pattern::{MAX_STARS, is_pattern};
use spectrum_webhook_core::ports::WebhookPatch;
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::webhook_url;

use super::shape;
use crate::problem::{INVALID_BODY, INVALID_EVENT_TYPES, INVALID_OVERLAP, INVALID_URL, Problem};

/// The most events that a webhook can name.
const MAX_EVENT_TYPES: usize = 100;

/// The longest overlap of two secrets, in seconds: a week.
const MAX_OVERLAP: u32 = 604_800;

/// The overlap when none is asked for, in seconds: a day.
const DEFAULT_OVERLAP: u32 = 86_400;

/// All fields of all bodies, each as it was sent; `None` was not sent.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(default, deserialize_with = "sent")]
    webhook_url: Option<Value>,
    #[serde(default, deserialize_with = "sent")]
    enabled: Option<Value>,
    #[serde(default, deserialize_with = "sent")]
    event_types: Option<Value>,
    #[serde(default, deserialize_with = "sent")]
    check: Option<Value>,
    #[serde(default, deserialize_with = "sent")]
    headers: Option<Value>,
    #[serde(default, deserialize_with = "sent")]
    rate_limit: Option<Value>,
    #[serde(default, deserialize_with = "sent")]
    attempt_timeout_seconds: Option<Value>,
    #[serde(default, deserialize_with = "sent")]
    ordering: Option<Value>,
    #[serde(default, deserialize_with = "sent")]
    overlap_seconds: Option<Value>,
}

/// Keeps a `null` that was sent.
fn sent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A body that is read into the fields of a JSON object.
pub(crate) fn json_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A struct can be read from an array as well.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| *first != b'{') {
        return Err(Problem::new(INVALID_BODY, "the body is not a JSON object: send one"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = format!("the body is not valid JSON: mend it at line {line}, column {column}");
        Problem::new(INVALID_BODY, message)
    })
}

/// A webhook to register.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) url: String,
    pub(crate) event_types: Option<Vec<String>>,
    pub(crate) shape: Shape,
    /// Whether one request is to be made to it at once.
    pub(crate) check: bool,
}

/// A registration in a deployment whose attempts take `longest` at most.
pub(crate) fn registration(body: &[u8], longest: Duration) -> Result<Registration, Problem> {
    let mut fields = json_object::<Fields>(body)?;
    let url = fields.webhook_url.take().ok_or_else(|| {
        Problem::new(INVALID_URL, "webhookUrl is missing: send {\"webhookUrl\":\"https://example.com/hook\"}")
    })?;
    let url = url_of(url)?;
    let check = match fields.check.take() {
        None => false,
        Some(Value::Bool(check)) => check,
        Some(_) => return Err(Problem::new(INVALID_BODY, "check must be true or false")),
    };
    let wish = changes(fields, longest)?;
    Ok(Registration {
        url,
        event_types: wish.event_types.flatten(),
        shape: Shape {
            headers: wish.headers.unwrap_or_default(),
            rate_limit: wish.rate_limit.flatten(),
            attempt_timeout: wish.attempt_timeout.flatten(),
            ordering: wish.ordering.unwrap_or_default(),
        },
        check,
    })
}

/// A change in a deployment whose attempts take `longest` at most.
pub(crate) fn patch(body: &[u8], longest: Duration) -> Result<WebhookPatch, Problem> {
    let mut fields = json_object::<Fields>(body)?;
    let url = fields.webhook_url.take();
    let enabled = match fields.enabled.take() {
        None => None,
        Some(Value::Bool(enabled)) => Some(enabled),
        Some(_) => return Err(Problem::new(INVALID_BODY, "enabled must be true or false")),
    };
    let url = url.map(url_of).transpose()?;
    Ok(WebhookPatch { url, enabled, ..changes(fields, longest)? })
}

/// What a registration and a change read alike.
fn changes(fields: Fields, longest: Duration) -> Result<WebhookPatch, Problem> {
    let timeout = fields.attempt_timeout_seconds.map(|value| shape::attempt_timeout_of(value, longest));
    Ok(WebhookPatch {
        event_types: fields.event_types.map(event_types_of).transpose()?,
        headers: fields.headers.map(shape::headers_of).transpose()?,
        rate_limit: fields.rate_limit.map(shape::rate_limit_of).transpose()?,
        attempt_timeout: timeout.transpose()?,
        ordering: fields.ordering.as_ref().map(shape::ordering_of).transpose()?,
        ..WebhookPatch::default()
    })
}

/// The overlap of a rotation, in seconds. The body may be empty.
pub(crate) fn overlap(body: &[u8]) -> Result<u32, Problem> {
    let Fields { overlap_seconds, .. } =
        if body.trim_ascii().is_empty() { Fields::default() } else { json_object(body)? };
    let Some(overlap) = overlap_seconds else { return Ok(DEFAULT_OVERLAP) };
    let seconds = overlap.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
    seconds.filter(|seconds| *seconds <= MAX_OVERLAP).ok_or_else(|| {
        Problem::new(INVALID_OVERLAP, format!("overlapSeconds must be a whole number from 0 to {MAX_OVERLAP}"))
    })
}

fn url_of(value: Value) -> Result<String, Problem> {
    let Value::String(url) = value else {
        return Err(Problem::new(
            INVALID_URL,
            "webhookUrl is not a string: send one like \"https://example.com/hook\"",
        ));
    };
    match webhook_url::fault(&url) {
        None => Ok(url),
        Some(fault) => Err(Problem::new(INVALID_URL, format!("webhookUrl {fault}"))),
    }
}

fn event_types_of(value: Value) -> Result<Option<Vec<String>>, Problem> {
    let malformed = || {
        let message = format!(
            "eventTypes must be null (all events) or an array of 1 to {MAX_EVENT_TYPES} names, each of 1 to 64 visible \
             ASCII characters, of which at most {MAX_STARS} may be * (any run of characters)"
        );
        Problem::new(INVALID_EVENT_TYPES, message)
    };
    match value {
        Value::Null => Ok(None),
        Value::Array(names) if (1..=MAX_EVENT_TYPES).contains(&names.len()) => names
            .into_iter()
            .map(|name| match name {
                Value::String(name) if is_pattern(name.as_bytes()) => Ok(name),
                _ => Err(malformed()),
            })
            .collect::<Result<_, _>>()
            .map(Some),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use spectrum_webhook_core::ordering::Ordering;

    use super::*;

    fn code<T>(result: Result<T, Problem>) -> &'static str {
        result.map_or_else(|problem| problem.code(), |_| "ok")
    }

    fn registration(body: &[u8]) -> Result<Registration, Problem> {
        super::registration(body, Duration::from_secs(30))
    }

    fn patch(body: &[u8]) -> Result<WebhookPatch, Problem> {
        super::patch(body, Duration::from_secs(30))
    }

    #[test]
    fn a_registration_is_read_and_unknown_fields_are_ignored() {
        let read = registration(br#"{"x":[1E400],"webhookUrl":"https://a.b/\u00fc","eventTypes":["a"],"enabled":3}"#);
        let read = read.expect("a registration");
        assert_eq!((read.url.as_str(), &read.event_types), ("https://a.b/ü", &Some(vec!["a".to_owned()])));
        assert_eq!(read.shape, Shape::default());
        let body = br#"{"webhookUrl":"https://a.b/","headers":{"x-a":"1"},"rateLimit":5,
            "attemptTimeoutSeconds":30,"ordering":"space"}"#;
        let Shape { headers, rate_limit, attempt_timeout, ordering } =
            registration(body).expect("a registration").shape;
        assert!(headers.expose().eq([("x-a", "1")]));
        assert_eq!(rate_limit.map(|limit| limit.per_second()), Some(5));
        assert_eq!((attempt_timeout, ordering), (Some(Duration::from_secs(30)), Ordering::Space));
        for (body, expected) in [
            ("", "invalid_body"),
            ("{", "invalid_body"),
            (r#"["https://a.b/"]"#, "invalid_body"),
            ("null", "invalid_body"),
            (r#"{"webhookUrl":"https://a.b/","webhookUrl":"https://a.b/"}"#, "invalid_body"),
            (r#"{"webhookUrl":"https://a.b/\ud800"}"#, "invalid_body"),
            ("{}", "invalid_url"),
            (r#"{"webhookUrl":null}"#, "invalid_url"),
            (r#"{"webhookUrl":1}"#, "invalid_url"),
            (r#"{"webhookUrl":"ftp://a.b/"}"#, "invalid_url"),
            (r#"{"webhookUrl":"https://a.b/","eventTypes":null}"#, "ok"),
            (r#"{"webhookUrl":"https://a.b/","eventTypes":[]}"#, "invalid_event_types"),
            (r#"{"webhookUrl":"https://a.b/","eventTypes":"a"}"#, "invalid_event_types"),
            (r#"{"webhookUrl":"https://a.b/","eventTypes":[""]}"#, "invalid_event_types"),
            (r#"{"webhookUrl":"https://a.b/","eventTypes":["a b"]}"#, "invalid_event_types"),
            (r#"{"webhookUrl":"https://a.b/","eventTypes":["a",1]}"#, "invalid_event_types"),
            (r#"{"webhookUrl":"https://a.b/","eventTypes":["message.*","*.created","********"]}"#, "ok"),
            (r#"{"webhookUrl":"https://a.b/","eventTypes":["*********"]}"#, "invalid_event_types"),
            (r#"{"webhookUrl":"https://a.b/","headers":{"Host":"a"}}"#, "invalid_headers"),
            (r#"{"webhookUrl":"https://a.b/","rateLimit":0}"#, "invalid_rate_limit"),
            (r#"{"webhookUrl":"https://a.b/","attemptTimeoutSeconds":31}"#, "invalid_attempt_timeout"),
            (r#"{"webhookUrl":"https://a.b/","ordering":"event"}"#, "invalid_ordering"),
        ] {
            assert_eq!(code(registration(body.as_bytes())), expected, "{body}");
        }
        let names = |count: usize| format!(r#"{{"eventTypes":[{}]}}"#, vec!["\"a\""; count].join(","));
        assert_eq!(code(patch(names(100).as_bytes())), "ok");
        assert_eq!(code(patch(names(101).as_bytes())), "invalid_event_types");
    }

    #[test]
    fn a_patch_tells_null_from_nothing() {
        let read = |body: &str| patch(body.as_bytes()).expect("a patch");
        assert_eq!(read("{}"), WebhookPatch::default());
        assert_eq!(read(r#"{"eventTypes":null}"#).event_types, Some(None));
        assert_eq!(read(r#"{"enabled":false}"#).enabled, Some(false));
        let nulls = read(r#"{"headers":null,"rateLimit":null,"attemptTimeoutSeconds":null}"#);
        assert_eq!((nulls.rate_limit, nulls.attempt_timeout), (Some(None), Some(None)));
        assert!(nulls.headers.expect("none is sent").is_empty());
        assert_eq!(code(patch(br#"{"enabled":null}"#)), "invalid_body");
        assert_eq!(code(patch(br#"{"webhookUrl":null}"#)), "invalid_url");
    }

    #[test]
    fn an_overlap_is_a_week_at_most_and_a_day_by_default() {
        for (body, expected) in
            [("", 86_400), ("{}", 86_400), (r#"{"overlapSeconds":0}"#, 0), (r#"{"overlapSeconds":604800}"#, 604_800)]
        {
            assert_eq!(overlap(body.as_bytes()).ok(), Some(expected), "{body}");
        }
        for bad in ["604801", "-1", "1.5", "null", "\"1\"", "18446744073709551616"] {
            assert_eq!(code(overlap(format!(r#"{{"overlapSeconds":{bad}}}"#).as_bytes())), "invalid_overlap", "{bad}");
        }
    }
}

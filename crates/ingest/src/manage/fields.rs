//! What is read from the bodies of the management API. Unknown fields are ignored.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use spectrum_webhook_core::pattern::{MAX_STARS, is_pattern};
use spectrum_webhook_core::ports::WebhookPatch;

use super::url;
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
    overlap_seconds: Option<Value>,
}

/// Keeps a `null` that was sent.
fn sent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn fields(body: &[u8]) -> Result<Fields, Problem> {
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
}

pub(crate) fn registration(body: &[u8]) -> Result<Registration, Problem> {
    let Fields { webhook_url, event_types, .. } = fields(body)?;
    let url = webhook_url.ok_or_else(|| {
        Problem::new(INVALID_URL, "webhookUrl is missing: send {\"webhookUrl\":\"https://example.com/hook\"}")
    })?;
    Ok(Registration { url: url_of(url)?, event_types: event_types.map(event_types_of).transpose()?.flatten() })
}

pub(crate) fn patch(body: &[u8]) -> Result<WebhookPatch, Problem> {
    let Fields { webhook_url, enabled, event_types, .. } = fields(body)?;
    let enabled = match enabled {
        None => None,
        Some(Value::Bool(enabled)) => Some(enabled),
        Some(_) => return Err(Problem::new(INVALID_BODY, "enabled must be true or false")),
    };
    Ok(WebhookPatch {
        url: webhook_url.map(url_of).transpose()?,
        enabled,
        event_types: event_types.map(event_types_of).transpose()?,
        ..WebhookPatch::default()
    })
}

/// The overlap of a rotation, in seconds. The body may be empty.
pub(crate) fn overlap(body: &[u8]) -> Result<u32, Problem> {
    let Fields { overlap_seconds, .. } = if body.trim_ascii().is_empty() { Fields::default() } else { fields(body)? };
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
    url::check(&url)?;
    Ok(url)
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
    use super::*;

    fn code<T>(result: Result<T, Problem>) -> &'static str {
        result.map_or_else(|problem| problem.code(), |_| "ok")
    }

    #[test]
    fn a_registration_is_read_and_unknown_fields_are_ignored() {
        let read = registration(br#"{"x":[1E400],"webhookUrl":"https://a.b/\u00fc","eventTypes":["a"],"enabled":3}"#);
        let read = read.expect("a registration");
        assert_eq!((read.url.as_str(), read.event_types), ("https://a.b/ü", Some(vec!["a".to_owned()])));
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

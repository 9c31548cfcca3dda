//! What a webhook may ask for of its deliveries.

use std::time::Duration;

use serde_json::Value;
use spectrum_webhook_core::headers::CustomHeaders;
use spectrum_webhook_core::ordering::Ordering;
use spectrum_webhook_core::shape::RateLimit;

use crate::problem::{INVALID_ATTEMPT_TIMEOUT, INVALID_HEADERS, INVALID_ORDERING, INVALID_RATE_LIMIT, Problem};

/// `headers`; `null` is none.
pub(super) fn headers_of(value: Value) -> Result<CustomHeaders, Problem> {
    let pairs = match value {
        Value::Null => return Ok(CustomHeaders::default()),
        Value::Object(pairs) => pairs,
        _ => {
            let message = "headers must be null or an object of names and values, like {\"X-Tenant\":\"a\"}";
            return Err(Problem::new(INVALID_HEADERS, message));
        }
    };
    let pairs = pairs.into_iter().map(|(name, value)| match value {
        Value::String(value) => (name, value),
        // It is refused with its name, like every value that cannot be one.
        _ => (name, String::new()),
    });
    CustomHeaders::new(pairs).map_err(|error| Problem::new(INVALID_HEADERS, error.to_string()))
}

/// `rateLimit`; `null` is none.
pub(super) fn rate_limit_of(value: Value) -> Result<Option<RateLimit>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    value.as_u64().and_then(RateLimit::new).map(Some).ok_or_else(|| {
        let message = format!("rateLimit must be null or a whole number from 1 to {} (a second)", RateLimit::MAX);
        Problem::new(INVALID_RATE_LIMIT, message)
    })
}

/// `attemptTimeoutSeconds`, up to the deployment's own; `null` is that.
pub(super) fn attempt_timeout_of(value: Value, longest: Duration) -> Result<Option<Duration>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.as_u64().filter(|seconds| (1..=longest.as_secs()).contains(seconds));
    seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(|| {
        let message = match longest.as_secs() {
            0 => format!("attemptTimeoutSeconds must be null: here an attempt takes {longest:?} at most"),
            most => format!("attemptTimeoutSeconds must be null or a whole number from 1 to {most}"),
        };
        Problem::new(INVALID_ATTEMPT_TIMEOUT, message)
    })
}

/// `ordering`; `null` is the project's, as by default.
pub(super) fn ordering_of(value: &Value) -> Result<Ordering, Problem> {
    if value.is_null() {
        return Ok(Ordering::default());
    }
    value.as_str().and_then(Ordering::from_code).ok_or_else(|| {
        let codes = Ordering::ALL.map(Ordering::code).join(", ");
        Problem::new(INVALID_ORDERING, format!("ordering must be null or one of {codes}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code<T>(result: Result<T, Problem>) -> &'static str {
        result.map_or_else(|problem| problem.code(), |_| "ok")
    }

    #[test]
    fn headers_are_an_object_of_texts() {
        for (value, expected) in [
            (json!(null), "ok"),
            (json!({}), "ok"),
            (json!({ "Authorization": "Bearer t", "x-a": "1" }), "ok"),
            (json!([]), "invalid_headers"),
            (json!("x-a: 1"), "invalid_headers"),
            (json!({ "x-a": 1 }), "invalid_headers"),
            (json!({ "x-a": null }), "invalid_headers"),
            (json!({ "Host": "a" }), "invalid_headers"),
            (json!({ "x-a": "1", "X-A": "2" }), "invalid_headers"),
        ] {
            assert_eq!(code(headers_of(value.clone())), expected, "{value}");
        }
        assert!(headers_of(json!(null)).expect("none").is_empty());
    }

    #[test]
    fn an_ordering_is_one_of_three_words() {
        for (value, expected) in [
            (json!(null), Ok(Ordering::Project)),
            (json!("project"), Ok(Ordering::Project)),
            (json!("space"), Ok(Ordering::Space)),
            (json!("none"), Ok(Ordering::None)),
            (json!("Space"), Err("invalid_ordering")),
            (json!(""), Err("invalid_ordering")),
            (json!(["space"]), Err("invalid_ordering")),
        ] {
            assert_eq!(ordering_of(&value).map_err(|problem| problem.code()), expected, "{value}");
        }
    }

    #[test]
    fn numbers_are_whole_and_in_their_bounds() {
        let (half, seven) = (Duration::from_millis(500), Duration::from_millis(7_900));
        for good in [json!(null), json!(1), json!(7)] {
            assert_eq!(code(rate_limit_of(good.clone())), "ok", "{good}");
            assert_eq!(code(attempt_timeout_of(good.clone(), seven)), "ok", "{good}");
        }
        for bad in [json!(0), json!(-1), json!(1_001), json!(1.5), json!("1"), json!(true), json!([1])] {
            assert_eq!(code(rate_limit_of(bad.clone())), "invalid_rate_limit", "{bad}");
            assert_eq!(code(attempt_timeout_of(bad.clone(), seven)), "invalid_attempt_timeout", "{bad}");
        }
        assert_eq!(code(attempt_timeout_of(json!(8), seven)), "invalid_attempt_timeout");
        assert_eq!(code(attempt_timeout_of(json!(null), half)), "ok");
        assert_eq!(code(attempt_timeout_of(json!(1), half)), "invalid_attempt_timeout");
    }
}

//! What is read from a body. Unknown fields are ignored.

use serde::Deserialize;
use spectrum_webhook_core::ports::{Selection, What};
use spectrum_webhook_core::time::Millis;

use crate::manage::json_object;
use crate::problem::{INVALID_REPLAY, Problem};
use crate::steer::reason;

/// Events a second that a replay can be held to.
const RATES: std::ops::RangeInclusive<u64> = 1..=1_000;

/// What is wanted.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) selection: Selection,
    pub(super) reason: String,
    pub(super) rate: Option<u32>,
    /// Only say how many it would be.
    pub(super) dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    what: Option<serde_json::Value>,
    from: Option<serde_json::Value>,
    to: Option<serde_json::Value>,
    reason: Option<serde_json::Value>,
    rate_per_second: Option<serde_json::Value>,
    dry_run: Option<serde_json::Value>,
}

fn malformed(field: &str, takes: &str) -> Problem {
    Problem::new(INVALID_REPLAY, format!("{field} must be {takes}"))
}

fn moment(field: &str, value: Option<serde_json::Value>, missing: Millis) -> Result<Millis, Problem> {
    let Some(value) = value else { return Ok(missing) };
    let at = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let at = at.map(|at| Millis(at.as_millisecond()));
    at.ok_or_else(|| malformed(field, "a time with its offset, like \"2026-01-02T03:04:05Z\""))
}

pub(super) fn wish(body: &[u8], now: Millis) -> Result<Wish, Problem> {
    let fields: Fields = json_object(body)?;
    let what = fields.what.as_ref().and_then(serde_json::Value::as_str).and_then(What::from_code);
    let what = what.ok_or_else(|| malformed("what", "\"dead\" (open dead letters) or \"all\" (the archive)"))?;
    let (from, to) = (moment("from", fields.from, Millis(0))?, moment("to", fields.to, now)?);
    if from >= to {
        return Err(malformed("from", "earlier than to"));
    }
    let rate = match fields.rate_per_second {
        None | Some(serde_json::Value::Null) => None,
        Some(rate) => {
            let rate = rate.as_u64().filter(|rate| RATES.contains(rate)).and_then(|rate| u32::try_from(rate).ok());
            Some(rate.ok_or_else(|| malformed("ratePerSecond", "null or a whole number from 1 to 1000"))?)
        }
    };
    let dry_run = match fields.dry_run {
        None => false,
        Some(dry_run) => dry_run.as_bool().ok_or_else(|| malformed("dryRun", "true or false"))?,
    };
    let why = fields.reason.and_then(|reason| reason.as_str().map(str::to_owned));
    // What is only counted needs no reason.
    let reason = if dry_run { String::new() } else { reason(why)? };
    // What is accepted from here on is no part of it.
    Ok(Wish { selection: Selection { what, from, to: to.min(now) }, reason, rate, dry_run })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_767_323_045_678);

    fn code(body: &str) -> &'static str {
        wish(body.as_bytes(), NOW).map_or_else(|problem| problem.code(), |_| "ok")
    }

    #[test]
    fn a_wish_says_what_and_why_and_the_rest_has_its_bounds() {
        for (body, expected) in [
            (r#"{"what":"dead","reason":"a"}"#, "ok"),
            (r#"{"what":"all","dryRun":true}"#, "ok"),
            (r#"{"what":"all","reason":"a","ratePerSecond":1000,"from":"2026-01-01T00:00:00Z"}"#, "ok"),
            (r#"{"what":"all","reason":"a","ratePerSecond":null}"#, "ok"),
            (r#"{"what":"all"}"#, "invalid_reason"),
            (r#"{"reason":"a"}"#, "invalid_replay"),
            (r#"{"what":"some","reason":"a"}"#, "invalid_replay"),
            (r#"{"what":"all","reason":"a","ratePerSecond":0}"#, "invalid_replay"),
            (r#"{"what":"all","reason":"a","ratePerSecond":1001}"#, "invalid_replay"),
            (r#"{"what":"all","reason":"a","ratePerSecond":1.5}"#, "invalid_replay"),
            (r#"{"what":"all","reason":"a","from":"yesterday"}"#, "invalid_replay"),
            (
                r#"{"what":"all","reason":"a","from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:00Z"}"#,
                "invalid_replay",
            ),
            (r#"{"what":"all","dryRun":1}"#, "invalid_replay"),
            ("[]", "invalid_body"),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
        let read = wish(br#"{"what":"all","reason":"a","to":"2099-01-01T00:00:00Z"}"#, NOW).expect("a wish");
        assert_eq!((read.selection.from, read.selection.to), (Millis(0), NOW), "up to now");
    }
}

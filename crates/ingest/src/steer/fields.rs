//! What is read from the bodies. Unknown fields are ignored.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spectrum_webhook_core::ids::{EventId, WebhookId};

use crate::manage::json_object;
use crate::problem::{INVALID_BODY, INVALID_REASON, Problem};

/// The most dead letters that one call names.
const MOST_IDS: usize = 100;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

fn read<T: DeserializeOwned>(body: &[u8], takes: &str) -> Result<T, Problem> {
    serde_json::from_value(json_object::<Value>(body)?)
        .map_err(|_| Problem::new(INVALID_BODY, format!("the body must be {takes}")))
}

/// A person's reason, for those who look later.
pub(crate) fn reason(reason: Option<String>) -> Result<String, Problem> {
    let good = |reason: &String| {
        (1..=LONGEST_REASON).contains(&reason.chars().count())
            && !reason.trim().is_empty()
            && !reason.chars().any(char::is_control)
    };
    reason.filter(good).ok_or_else(|| {
        let message = "send a \"reason\": 1 to 500 characters on one line that tell others why";
        Problem::new(INVALID_REASON, message)
    })
}

/// What is wanted of a lane.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    reason: Option<String>,
    event_id: Option<EventId>,
}

/// The reason, and the event if one is named.
pub(super) fn wish(body: &[u8]) -> Result<(String, Option<EventId>), Problem> {
    let takes = "{\"reason\":\"…\"}, for a skip also {\"eventId\":\"…\"}";
    let Wish { reason: why, event_id } = read(body, takes)?;
    Ok((reason(why)?, event_id))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct To {
    webhook_id: WebhookId,
}

/// The webhook that is named.
pub(super) fn to(body: &[u8]) -> Result<WebhookId, Problem> {
    Ok(read::<To>(body, "{\"webhookId\":\"…\"}")?.webhook_id)
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<EventId>,
}

fn checked(ids: Vec<EventId>) -> Result<Vec<EventId>, Problem> {
    if (1..=MOST_IDS).contains(&ids.len()) {
        return Ok(ids);
    }
    Err(Problem::new(INVALID_BODY, format!("name 1 to {MOST_IDS} dead letters in \"ids\"")))
}

/// The dead letters that are named.
pub(super) fn ids(body: &[u8]) -> Result<Vec<EventId>, Problem> {
    checked(read::<Ids>(body, "{\"ids\":[\"…\"]}")?.ids)
}

#[derive(Deserialize)]
struct Discarding {
    ids: Option<Vec<EventId>>,
    #[serde(default)]
    all: bool,
    reason: Option<String>,
}

/// The dead letters to be discarded, `None` for all, and why.
pub(super) fn discarding(body: &[u8]) -> Result<(Option<Vec<EventId>>, String), Problem> {
    let takes = "{\"ids\":[\"…\"],\"reason\":\"…\"} or {\"all\":true,\"reason\":\"…\"}";
    let wish: Discarding = read(body, takes)?;
    let why = reason(wish.reason)?;
    match (wish.ids, wish.all) {
        (Some(ids), false) => Ok((Some(checked(ids)?), why)),
        (None, true) => Ok((None, why)),
        _ => Err(Problem::new(INVALID_BODY, format!("the body must be {takes}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Problem>) -> &'static str {
        result.map_or_else(|problem| problem.code(), |_| "ok")
    }

    const ID: &str = "01890000-0000-7000-8000-000000000000";

    #[test]
    fn a_wish_has_a_reason_on_one_line() {
        let long = |count| format!(r#"{{"reason":"{}"}}"#, "é".repeat(count));
        for (body, expected) in [
            (r#"{"reason":"because","x":1}"#.to_owned(), "ok"),
            (format!(r#"{{"reason":"because","eventId":"{ID}"}}"#), "ok"),
            (long(500), "ok"),
            (long(501), "invalid_reason"),
            ("{}".to_owned(), "invalid_reason"),
            (r#"{"reason":" "}"#.to_owned(), "invalid_reason"),
            (r#"{"reason":"a\nb"}"#.to_owned(), "invalid_reason"),
            (r#"{"reason":1}"#.to_owned(), "invalid_body"),
            (r#"{"reason":"a","eventId":"x"}"#.to_owned(), "invalid_body"),
            ("[]".to_owned(), "invalid_body"),
            (String::new(), "invalid_body"),
        ] {
            assert_eq!(code(wish(body.as_bytes())), expected, "{body}");
        }
    }

    #[test]
    fn dead_letters_are_named_or_all_are_meant_and_never_by_accident() {
        let some = |count| format!(r#"{{"reason":"a","ids":[{}]}}"#, vec![format!("\"{ID}\""); count].join(","));
        for (body, expected) in [
            (some(1), "ok"),
            (some(100), "ok"),
            (some(0), "invalid_body"),
            (some(101), "invalid_body"),
            (r#"{"reason":"a","all":true}"#.to_owned(), "ok"),
            (r#"{"reason":"a"}"#.to_owned(), "invalid_body"),
            (r#"{"reason":"a","all":false}"#.to_owned(), "invalid_body"),
            (format!(r#"{{"reason":"a","all":true,"ids":["{ID}"]}}"#), "invalid_body"),
            (r#"{"all":true}"#.to_owned(), "invalid_reason"),
        ] {
            assert_eq!(code(discarding(body.as_bytes())), expected, "{body}");
        }
        assert_eq!(code(ids(b"{}")), "invalid_body");
        assert_eq!(
            (code(to(b"{}")), code(to(format!(r#"{{"webhookId":"{ID}"}}"#).as_bytes()))),
            ("invalid_body", "ok")
        );
        assert_eq!(code(ids(some(3).as_bytes())), "ok");
    }
}

//! `attempts`: the delivery log, newest first.

use std::process::ExitCode;

use serde_json::Value;

use super::lists::{Columns, list};
use super::output::{Tint, text};
use super::with_api;
use crate::cli::attempts::Attempts;

const COLUMNS: Columns = Columns {
    columns: &[
        ("started", |attempt| text(attempt, "startedAt")),
        ("webhook", |attempt| text(attempt, "webhookId")),
        ("event", |attempt| text(attempt, "eventId")),
        ("type", |attempt| text(attempt, "eventType")),
        ("attempt", number),
        ("result", result),
        ("ms", |attempt| text(attempt, "totalMs")),
        ("next", next),
        ("response", |attempt| text(attempt, "response")),
    ],
    tint: |attempt| Tint::of(&text(attempt, "outcome")),
};

/// Its number, and whether it was of a dead letter that was sent again.
pub(super) fn number(attempt: &Value) -> String {
    let number = text(attempt, "attempt");
    if attempt["resendId"].is_null() { number } else { format!("{number} (resend)") }
}

/// The status, or why there is none.
pub(super) fn result(attempt: &Value) -> String {
    text(attempt, if attempt["status"].is_null() { "failure" } else { "status" })
}

/// What was to happen next, and when.
pub(super) fn next(attempt: &Value) -> String {
    let next = text(attempt, "next");
    if attempt["nextAt"].is_null() { next } else { format!("{next} {}", text(attempt, "nextAt")) }
}

/// Prints the attempts that were asked for.
///
/// # Errors
/// When the server is not known or does not answer, or it refuses.
pub(super) fn attempts(arguments: &Attempts) -> anyhow::Result<ExitCode> {
    with_api(&arguments.common, async |api, output| {
        let query = [
            ("webhook", arguments.webhook.map(|id| id.to_string())),
            ("event", arguments.event.map(|id| id.to_string())),
            ("outcome", arguments.outcome.map(|outcome| outcome.code().to_owned())),
            ("status", arguments.status.clone()),
            ("failure", arguments.failure.clone()),
            ("type", arguments.event_type.clone()),
            ("from", arguments.from.map(|from| from.to_string())),
            ("to", arguments.to.map(|to| to.to_string())),
        ];
        let query = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        list(api, output, "attempts", query, &arguments.paging, &COLUMNS).await
    })
}

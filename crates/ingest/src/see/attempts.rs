//! The delivery log, newest first, page by page.

use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Failure};
use spectrum_webhook_core::ids::{EventId, Sequence, WebhookId};
use spectrum_webhook_core::ports::AttemptFilter;
use utoipa::ToSchema;

use crate::auth::Ids;
use crate::manage::{Answer, Iso};
use crate::openapi::parameters::{AttemptQuery, Paging, ProjectPath};
use crate::openapi::refusals;
use crate::openapi::words;
use crate::page::{Page, Query, page};
use crate::problem::Problem;
use crate::state::Ingest;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Attempt)]
struct AttemptView<'a> {
    #[schema(value_type = Uuid)]
    event_id: EventId,
    #[schema(value_type = Uuid)]
    webhook_id: WebhookId,
    /// Of a resend: its own id.
    #[schema(value_type = Option<Uuid>, required)]
    resend_id: Option<EventId>,
    event_type: &'a str,
    /// It grows from event to event of a project.
    #[schema(value_type = i64)]
    sequence: Sequence,
    /// 1, 2, …
    attempt: u32,
    started_at: Iso,
    /// Until the connection stood, in milliseconds.
    #[schema(required)]
    connect_ms: Option<u32>,
    /// Until the status line, in milliseconds.
    #[schema(required)]
    first_byte_ms: Option<u32>,
    /// The whole attempt, in milliseconds.
    total_ms: u32,
    /// The answer's status; `null`: there was no answer.
    #[schema(required)]
    status: Option<u16>,
    /// Why there was no answer.
    #[schema(value_type = Option<words::AttemptFailure>, required)]
    failure: Option<&'static str>,
    /// For how long the answer asked to wait.
    #[schema(required)]
    retry_after_ms: Option<u64>,
    /// The address that was called.
    #[schema(required)]
    address: Option<String>,
    /// The start of the answer's body, at most 1 KiB, control and invisible characters escaped.
    response: &'a str,
    #[schema(value_type = words::AttemptOutcome)]
    outcome: &'static str,
    #[schema(value_type = Option<words::NextStep>, required)]
    next: Option<&'static str>,
    /// When it was to be tried again.
    #[schema(required)]
    next_at: Option<Iso>,
}

impl<'a> AttemptView<'a> {
    fn of(attempt: &'a AttemptRecord) -> Self {
        let (status, failure, retry_after_ms) = match attempt.ended {
            Ended::Answered { status, retry_after } => (Some(status), None, retry_after),
            Ended::Failed(failure) => (None, Some(failure.code()), None),
        };
        Self {
            event_id: attempt.key.event,
            webhook_id: attempt.key.webhook,
            resend_id: attempt.resend,
            event_type: &attempt.event_type,
            sequence: attempt.sequence,
            attempt: attempt.number,
            started_at: Iso(attempt.started_at),
            connect_ms: attempt.connect_ms,
            first_byte_ms: attempt.first_byte_ms,
            total_ms: attempt.total_ms,
            status,
            failure,
            retry_after_ms,
            address: attempt.address.map(|address| address.to_string()),
            response: &attempt.snippet,
            outcome: if matches!(status, Some(200..=299)) { "delivered" } else { "failed" },
            next: attempt.next.code(),
            next_at: attempt.next.at().map(Iso),
        }
    }
}

/// `GET /projects/{project}/attempts`
#[utoipa::path(
    get, path = "/projects/{projectId}/attempts", operation_id = "listAttempts", tag = "Events",
    summary = "The delivery log",
    description = "A line for each attempt, newest first, a second or so after its end. A page looks through 10,000 lines at most: with filters that few lines pass it may be short and have a `nextCursor` all the same.",
    params(ProjectPath, AttemptQuery, Paging),
    responses(
        (status = 200, description = "A page", body = Page<AttemptView>),
        refusals::List,
    ),
)]
pub(crate) async fn attempts(State(ingest): State<Ingest>, ids: Ids, headers: HeaderMap, query: Query) -> Answer {
    let shared = ingest.shared();
    let project = shared.project(&headers, &ids).await?;
    let limit = query.limit()?;
    let found = shared.ports.insight.attempts(project.id, &filter(&query)?, limit).await;
    let found = found.map_err(|error| Problem::unavailable(&error))?;
    let rows: Vec<AttemptView<'_>> = found.attempts.iter().map(AttemptView::of).collect();
    Ok(page(&rows, found.next.as_ref()))
}

fn filter(query: &Query) -> Result<AttemptFilter, Problem> {
    Ok(AttemptFilter {
        webhook: query.id("webhook")?,
        event: query.id("event")?,
        delivered: query.parsed("outcome", "delivered or failed", |text| match text {
            "delivered" => Some(true),
            "failed" => Some(false),
            _ => None,
        })?,
        status: query.parsed("status", "a status like 503, or a class like 5xx", status)?,
        failure: query.parsed("failure", "a failure of the delivery log, like timeout", Failure::from_code)?,
        event_type: query.parsed("type", "1 to 64 visible ASCII characters", event_type)?,
        from: query.moment("from")?,
        to: query.moment("to")?,
        after: query.cursor()?,
    })
}

/// A status, or all of a class, as the first and the last one.
fn status(text: &str) -> Option<(u16, u16)> {
    let (digits, factor) = text.strip_suffix("xx").map_or((text, 1), |class| (class, 100));
    let is_number = !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let low = digits.parse::<u16>().ok().filter(|_| is_number)?.checked_mul(factor)?;
    (100..=999).contains(&low).then(|| (low, low + factor - 1))
}

fn event_type(text: &str) -> Option<String> {
    let sound = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_or_a_class() {
        assert_eq!(
            (status("503"), status("5xx"), status("100")),
            (Some((503, 503)), Some((500, 599)), Some((100, 100)))
        );
        for text in ["", "x", "xx", "0xx", "5x", "5XX", "99", "1000", "-1xx", "655xx", "65536", "50 3"] {
            assert_eq!(status(text), None, "{text}");
        }
    }

    #[test]
    fn every_filter_is_read_and_a_malformed_one_is_named() {
        let id = "019b7cb2-0000-7000-8000-000000000001";
        let text = format!(
            "webhook={id}&event={id}&outcome=failed&status=4xx&failure=tls&type=messages&from=2026-01-02T03:04:05Z\
             &to=2026-01-02T04:04:05%2B01:00&other=1"
        );
        let read = filter(&Query::read(&text)).expect("a filter");
        assert_eq!(read.webhook.map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!((read.delivered, read.status, read.failure), (Some(false), Some((400, 499)), Some(Failure::Tls)));
        assert_eq!((read.from, read.event_type.as_deref()), (read.to, Some("messages")));
        assert_eq!(filter(&Query::read("")).expect("none"), AttemptFilter::default());
        for (text, named) in [
            ("webhook=1", "webhook must be"),
            ("event=1", "event must be"),
            ("outcome=gone", "outcome must be"),
            ("status=6", "status must be"),
            ("failure=yes", "failure must be"),
            ("type=a%00b", "type must be"),
            ("from=now", "from must be"),
            ("to=1", "to must be"),
            ("cursor=e30", "cursor must be"),
        ] {
            let message = filter(&Query::read(text)).expect_err("malformed").json();
            let message = String::from_utf8(message).expect("text");
            assert!(message.contains("invalid_query") && message.contains(named), "{text}: {message}");
        }
    }
}

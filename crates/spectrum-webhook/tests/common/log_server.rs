//! A server whose delivery log a test writes, in the form of the API: what a real one cannot be made to say at will.

use std::ops::Range;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::process::Command;

use super::binary;

/// A project of it.
pub(crate) const PROJECT: &str = "018f0000-0000-7000-8000-000000000001";

type Parameters = Vec<(String, String)>;

#[derive(Default)]
struct Log {
    attempts: Vec<Value>,
    queries: Vec<Parameters>,
    explained: Option<Value>,
    /// Requests, counted from now, that are answered with `503`.
    refused: Range<u32>,
}

/// A running one; it ends with the test.
#[derive(Clone)]
pub(crate) struct LogServer {
    log: Arc<Mutex<Log>>,
    url: String,
}

impl LogServer {
    pub(crate) async fn start() -> Self {
        let log = Arc::<Mutex<Log>>::default();
        let path = |rest: &str| format!("/projects/{PROJECT}/{rest}");
        let router = Router::new().route(&path("attempts"), get(attempts)).route(&path("events/{event}"), get(explain));
        let router = router.with_state(Arc::clone(&log));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { log, url }
    }

    /// Logs an attempt that began so long ago; its event is named by a number.
    pub(crate) fn add(&self, event: u32, seconds_ago: i64, status: u16) {
        let started = Timestamp::now() - SignedDuration::from_secs(seconds_ago);
        let delivered = (200..300).contains(&status);
        self.log.lock().attempts.push(json!({
            "eventId": format!("018f0000-0000-7000-8000-{event:012}"),
            "webhookId": "018f0000-0000-7000-8000-00000000000a",
            "resendId": null, "eventType": "messages", "sequence": 1, "attempt": 1,
            "startedAt": format!("{started:.3}"),
            "connectMs": 1, "firstByteMs": 2, "totalMs": 3, "status": status, "failure": null, "retryAfterMs": null,
            "address": "192.0.2.1:443", "response": "no\\u0007pe", "outcome": if delivered { "delivered" } else { "failed" },
            "next": if delivered { "delivered" } else { "retry" }, "nextAt": null,
        }));
    }

    /// Every event stands so.
    pub(crate) fn explain(&self, explained: Value) {
        self.log.lock().explained = Some(explained);
    }

    /// These requests, counted from now, are answered with `503`.
    pub(crate) fn refuse(&self, requests: Range<u32>) {
        self.log.lock().refused = requests;
    }

    /// All queries so far.
    pub(crate) fn queries(&self) -> Vec<Parameters> {
        self.log.lock().queries.clone()
    }

    /// A client command for it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.args(arguments).env("SPECTRUM_URL", &self.url);
        command.env("SPECTRUM_PROJECT_ID", PROJECT).env("SPECTRUM_PROJECT_SECRET", "secret");
        command
    }
}

async fn explain(State(log): State<Arc<Mutex<Log>>>) -> Response {
    match &log.lock().explained {
        Some(explained) => json!({ "succeed": true, "data": explained }).to_string().into_response(),
        None => {
            let body = json!({ "succeed": false, "code": "not_found", "message": "no such event" });
            (StatusCode::NOT_FOUND, body.to_string()).into_response()
        }
    }
}

async fn attempts(State(log): State<Arc<Mutex<Log>>>, Query(query): Query<Parameters>) -> Response {
    let mut log = log.lock();
    log.queries.push(query.clone());
    let refused = log.refused.contains(&0);
    log.refused = log.refused.start.saturating_sub(1)..log.refused.end.saturating_sub(1);
    if refused {
        let body = json!({ "succeed": false, "code": "unavailable", "message": "repeat it" });
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "0")], body.to_string()).into_response();
    }
    let parameter = |name: &str| query.iter().find(|(had, _)| had == name).map(|(_, value)| value.clone());
    let started = |attempt: &Value| attempt["startedAt"].as_str().expect("a time").to_owned();
    let from = parameter("from").map(|from| from.parse::<Timestamp>().expect("a time"));
    let mut rows: Vec<Value> = log
        .attempts
        .iter()
        .filter(|attempt| parameter("outcome").is_none_or(|outcome| attempt["outcome"] == json!(outcome)))
        .filter(|attempt| from.is_none_or(|from| started(attempt).parse::<Timestamp>().expect("a time") >= from))
        .cloned()
        .collect();
    rows.sort_by_key(|attempt| std::cmp::Reverse(started(attempt)));
    let skipped: usize = parameter("cursor").map_or(0, |cursor| cursor.parse().expect("a cursor"));
    let limit: usize = parameter("limit").map_or(50, |limit| limit.parse().expect("a limit"));
    assert!((1..=200).contains(&limit), "{limit}");
    let next = (skipped + limit < rows.len()).then(|| (skipped + limit).to_string());
    let page: Vec<Value> = rows.into_iter().skip(skipped).take(limit).collect();
    json!({ "succeed": true, "data": page, "nextCursor": next }).to_string().into_response()
}

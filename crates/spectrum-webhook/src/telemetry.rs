//! The log; metrics, health and readiness on a listener of their own.

use std::io::IsTerminal as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::BoxFuture;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts the log, on the standard error output.
///
/// # Errors
/// When the filter is none, or a log was started before.
pub(crate) fn start_log(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}

/// One thing that readiness asks: `Err` says what is not ready.
pub(crate) type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the listener for operators serves.
#[derive(Clone)]
pub(crate) struct Ops {
    /// The metrics of the process.
    pub(crate) registry: Registry,
    /// All of them must hold.
    pub(crate) ready: Vec<Check>,
}

impl Ops {
    /// `/metrics`, `/healthz`, `/readyz`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .with_state(self)
    }
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&ops.registry.gather(), &mut text) {
        Ok(()) => ([("content-type", encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(ops): State<Ops>) -> impl IntoResponse {
    let mut problems = String::new();
    for check in &ops.ready {
        if let Err(problem) = check().await {
            problems.push_str(&format!("not ready: {problem}\n"));
        }
    }
    if problems.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, problems)
    }
}

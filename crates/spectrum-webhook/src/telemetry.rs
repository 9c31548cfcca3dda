//! Metrics, health and readiness, on a listener of their own.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::BoxFuture;
use prometheus::{Encoder as _, Registry, TextEncoder};
use spectrum_webhook_core::ports::Reach;

/// One thing that readiness asks: `Err` says what is not ready.
pub(crate) type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

struct Asked {
    checks: Vec<Check>,
    services: Vec<Arc<Reach>>,
}

/// What readiness asks, once there is something to ask.
#[derive(Clone, Default)]
pub(crate) struct Readiness {
    asked: Arc<OnceLock<Asked>>,
}

impl Readiness {
    /// From now on the checks must hold; the services are shown beside them.
    pub(crate) fn started(&self, checks: Vec<Check>, services: Vec<Arc<Reach>>) {
        // The first start is the only one.
        let _ = self.asked.set(Asked { checks, services });
    }
}

/// What the listener for operators serves.
#[derive(Clone)]
pub(crate) struct Ops {
    /// The metrics of the process.
    pub(crate) registry: Registry,
    /// All of it must hold.
    pub(crate) readiness: Readiness,
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
    let Some(Asked { checks, services }) = ops.readiness.asked.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting\n".to_owned());
    };
    let mut said = String::new();
    for check in checks {
        if let Err(problem) = check().await {
            said.push_str(&format!("not ready: {problem}\n"));
        }
    }
    let status = if said.is_empty() {
        said.push_str("ready\n");
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    // A service that is down may leave enough to be ready: events are taken without Redis.
    for service in services {
        let state = service.state().map_or_else(|why| format!("down: {why}"), |()| "up".to_owned());
        said.push_str(&format!("{}: {state}\n", service.service()));
    }
    (status, said)
}

//! Metrics, health and readiness, on a listener of their own.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::BoxFuture;
use prometheus::{Encoder as _, IntGauge, Registry, TextEncoder};
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

    /// Whether all checks hold, and what there is to say.
    async fn ask(&self) -> (bool, String) {
        let Some(Asked { checks, services }) = self.asked.get() else {
            return (false, "not ready: starting\n".to_owned());
        };
        let mut said = String::new();
        for check in checks {
            if let Err(problem) = check().await {
                said.push_str(&format!("not ready: {problem}\n"));
            }
        }
        let is_ready = said.is_empty();
        if is_ready {
            said.push_str("ready\n");
        }
        // A service that is down may leave enough to be ready: events are taken without Redis.
        for service in services {
            let state = service.state().map_or_else(|why| format!("down: {why}"), |()| "up".to_owned());
            said.push_str(&format!("{}: {state}\n", service.service()));
        }
        (is_ready, said)
    }
}

/// What the listener for operators serves.
#[derive(Clone)]
pub(crate) struct Ops {
    /// The metrics of the process.
    pub(crate) registry: Registry,
    /// All of it must hold.
    pub(crate) readiness: Readiness,
    /// Readiness as a metric.
    pub(crate) ready: IntGauge,
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
    ops.ready.set(i64::from(ops.readiness.ask().await.0));
    match encoder.encode(&ops.registry.gather(), &mut text) {
        Ok(()) => ([("content-type", encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(ops): State<Ops>) -> impl IntoResponse {
    let (is_ready, said) = ops.readiness.ask().await;
    (if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, said)
}

//! Calls over HTTP, through either ingest, each with an answer or without one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use spectrum_webhook_testkit::process::Project;

/// How long one call may take. A deletion waits for a lease at most.
const CALL: Duration = Duration::from_secs(10);

/// A client of both ingests.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    ingests: Arc<[SocketAddr]>,
}

/// A call's answer: its status, and its body as JSON.
pub(crate) type Answered = (u16, Value);

impl Api {
    /// A client of these.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub(crate) fn new(ingests: &[SocketAddr]) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(CALL)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self { http, ingests: ingests.into() })
    }

    /// One call, through the ingest with this number, counted round; `None` when no whole answer came.
    pub(crate) async fn call(
        &self,
        ingest: u64,
        project: &Project,
        (method, path): (Method, &str),
        body: Option<String>,
        key: Option<&str>,
    ) -> Option<Answered> {
        let place = usize::try_from(ingest).unwrap_or(0) % self.ingests.len();
        let url = format!("http://{}/projects/{}{path}", self.ingests[place], project.id);
        let mut request = self.http.request(method, url).basic_auth(&project.id, Some(&project.secret));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let body = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Text of an operations address.
    pub(crate) async fn text(&self, ops: SocketAddr, path: &str) -> Option<(u16, String)> {
        let response = self.http.get(format!("http://{ops}{path}")).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.text().await.ok()?))
    }
}

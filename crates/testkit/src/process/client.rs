//! Management and ingest over HTTP, as a customer's program would call them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use spectrum_webhook_receiver::Key;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(30);

/// A project's credentials.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its id, which is its user name.
    pub id: String,
    /// Its secret, which is its password.
    pub secret: String,
}

/// A registered webhook.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Its id.
    pub id: String,
    /// Its URL.
    pub url: String,
    /// Its signing secret.
    pub secret: String,
    /// The same, to verify with.
    pub key: Key,
    /// All that the registration answered.
    pub data: Value,
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `data` of a success; `null` when there is none.
    pub fn data(&self) -> Value {
        self.json()["data"].take()
    }

    /// `code` of an error; empty when there is none.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// `message` of an error; empty when there is none.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    /// A header's value; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `data` of an answer that must be a success.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn expect_data(&self, status: u16) -> Value {
        let json = self.json();
        assert_eq!((self.status, &json["succeed"]), (status, &Value::Bool(true)), "{json}");
        json["data"].clone()
    }
}

/// Calls one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    api: SocketAddr,
    ops: SocketAddr,
}

impl Client {
    /// A client of the server at these addresses.
    ///
    /// # Panics
    /// When there can be no HTTP client.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn new(api: SocketAddr, ops: SocketAddr) -> Self {
        // It is installed already when another client was made before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(CALL)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client");
        Self { http, api, ops }
    }

    /// A request to the API that is still to be completed and sent with [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.api))
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    /// A call of the management API with the project's credentials; `path` goes on behind `/projects/ID`.
    ///
    /// # Panics
    /// When no answer comes.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn call(&self, project: &Project, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self
            .request(method, &format!("/projects/{}{path}", project.id))
            .basic_auth(&project.id, Some(&project.secret));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.send(request).await.expect("an answer")
    }

    /// Registers a URL for all events.
    ///
    /// # Panics
    /// When it is not registered.
    pub async fn register(&self, project: &Project, url: &str) -> Hook {
        self.register_with(project, &serde_json::json!({ "webhookUrl": url })).await
    }

    /// Registers a URL with this request.
    ///
    /// # Panics
    /// When it is not registered.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn register_with(&self, project: &Project, body: &Value) -> Hook {
        let data = self.call(project, Method::POST, "/webhooks/", Some(body)).await.expect_data(200);
        let text = |name: &str| data[name].as_str().expect("a text").to_owned();
        let secret = text("signingSecret");
        Hook { id: text("id"), url: text("webhookUrl"), key: Key::of(&secret).expect("a secret"), secret, data }
    }

    /// Changes a webhook.
    pub async fn patch(&self, project: &Project, id: &str, body: &Value) -> Answer {
        self.call(project, Method::PATCH, &format!("/webhooks/{id}"), Some(body)).await
    }

    /// Deletes a webhook.
    pub async fn delete(&self, project: &Project, id: &str) -> Answer {
        self.call(project, Method::DELETE, &format!("/webhooks/{id}/"), None).await
    }

    /// The project's webhooks.
    ///
    /// # Panics
    /// When the answer is none.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn list(&self, project: &Project) -> Vec<Value> {
        let data = self.call(project, Method::GET, "/webhooks/", None).await.expect_data(200);
        data.as_array().expect("a list").clone()
    }

    /// Posts an event.
    ///
    /// # Errors
    /// When no answer comes: whether it was taken is not known then.
    pub async fn post(&self, project: &Project, body: Bytes, key: Option<&str>) -> Result<Answer, reqwest::Error> {
        let mut request = self
            .request(Method::POST, &format!("/projects/{}/events", project.id))
            .basic_auth(&project.id, Some(&project.secret))
            .header("content-type", "application/json")
            .body(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request).await
    }

    /// Posts an event that must be taken, and says its id.
    ///
    /// # Panics
    /// When it is not.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn accept(&self, project: &Project, body: Bytes) -> String {
        let answer = self.post(project, body, None).await.expect("an answer");
        answer.expect_data(202)["id"].as_str().expect("an id").to_owned()
    }

    /// Posts a batch, one event a line.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post_batch(&self, project: &Project, lines: Bytes) -> Result<Answer, reqwest::Error> {
        let request = self
            .request(Method::POST, &format!("/projects/{}/events/batch", project.id))
            .basic_auth(&project.id, Some(&project.secret))
            .header("content-type", "application/x-ndjson")
            .body(lines);
        self.send(request).await
    }

    /// `GET` of the operations address.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn ops(&self, path: &str) -> Result<Answer, reqwest::Error> {
        self.send(self.http.get(format!("http://{}{path}", self.ops))).await
    }

    /// The sum of all series of a metric; `name` is without the prefix `spectrum_webhook_`. 0 when there is none.
    ///
    /// # Panics
    /// When there are no metrics.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn metric(&self, name: &str) -> i64 {
        let answer = self.ops("/metrics").await.expect("metrics");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let name = format!("spectrum_webhook_{name}");
        let series = text
            .lines()
            .filter(|line| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{')));
        // A number of deliveries: whole, and far below 2^53.
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as i64
    }

    /// Asks for a metric until it satisfies `enough`.
    ///
    /// # Panics
    /// When it does not within `patience`.
    #[expect(clippy::panic, reason = "a test fails by panicking")]
    pub async fn wait_for_metric(&self, name: &str, enough: impl Fn(i64) -> bool, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let value = self.metric(name).await;
            if enough(value) {
                return;
            }
            if tokio::time::Instant::now() > deadline {
                panic!("{name} is {value} after {patience:?}");
            }
            // A metric cannot be waited for: it is asked again.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

//! A client of the HTTP API: registers webhooks and posts events, patiently; [`call`] has any other call.

pub(crate) mod call;

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use spectrum_webhook_core::chance::Seeded;
use spectrum_webhook_core::retry::{Policy, Schedule};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

/// How long one request may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// The waits between tries.
const WAITS: Policy =
    Policy { initial: Duration::from_millis(100), factor: 2.0, cap: Duration::from_secs(5), attempts: u32::MAX };
/// The codes of what passes by itself: those of `503`.
const PASSING: [&str; 3] = ["not_confirmed", "overloaded", "unavailable"];
/// The largest answer that is read.
const LARGEST_ANSWER: usize = 16 << 20;

/// The API of one project.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    base: Url,
    project: Uuid,
    credentials: Credentials,
    waits: Schedule,
}

/// What a caller shows for itself; it is printed nowhere.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// The project's secret.
    Project(String),
    /// An operator's token.
    Operator(String),
}

/// A webhook as registration returns it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registered {
    /// Its signing secret.
    pub(crate) signing_secret: String,
}

/// An event's `202`, or its place in a batch.
#[derive(Deserialize)]
pub(crate) struct Taken {
    /// Its id.
    pub(crate) id: String,
    /// It was there before.
    pub(crate) duplicate: bool,
}

/// Every answer of the API, and every line of a batch's.
#[derive(Deserialize)]
pub(crate) struct Answer<T> {
    succeed: bool,
    data: Option<T>,
    code: Option<String>,
    message: Option<String>,
}

/// Why an event was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// The server refused it: repeating it does not help.
    #[error("{code}: {message}")]
    Refused {
        /// The stable word for it.
        code: String,
        /// What to do.
        message: String,
    },
    /// The server did not take it for the moment.
    #[error("not taken: {0}")]
    Unavailable(String),
}

impl<T> Answer<T> {
    /// What it says.
    pub(crate) fn outcome(self) -> Result<T, NotTaken> {
        let code = self.code.unwrap_or_default();
        let message = self.message.unwrap_or_default();
        match self.data {
            Some(data) if self.succeed => Ok(data),
            _ if PASSING.contains(&code.as_str()) => Err(NotTaken::Unavailable(format!("{code}: {message}"))),
            _ => Err(NotTaken::Refused { code, message }),
        }
    }
}

impl Api {
    /// The API at `base` for a project.
    ///
    /// # Errors
    /// When the base is no URL that paths can be put behind, or no client can be made.
    pub(crate) fn new(client: Client, base: Url, project: Uuid, credentials: Credentials) -> anyhow::Result<Self> {
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            anyhow::bail!("the URL of an API begins with http:// or https://");
        }
        Ok(Self { client, base, project, credentials, waits: Schedule::new(&WAITS) })
    }

    /// A call below `/projects/{project}/`.
    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.base.as_str().trim_end_matches('/');
        let request = self.client.request(method, format!("{base}/projects/{}/{path}", self.project));
        match &self.credentials {
            Credentials::Project(secret) => request.basic_auth(self.project, Some(secret)),
            Credentials::Operator(token) => request.bearer_auth(token),
        }
    }

    /// Registers a URL.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub(crate) async fn register(&self, url: &str) -> anyhow::Result<Registered> {
        let body = serde_json::json!({ "webhookUrl": url }).to_string();
        let request = self.call(Method::POST, "webhooks/").header("content-type", "application/json").body(body);
        let response = request.send().await.context("the API does not answer")?;
        let answer: Answer<Registered> = read(response).await?;
        answer.outcome().with_context(|| format!("{url} could not be registered"))
    }

    /// Posts one event until it is taken or refused, or `patience` is over. It is posted under one key, so that it is
    /// taken once, however often its `202` is lost.
    ///
    /// # Errors
    /// When it was not taken.
    pub(crate) async fn post(&self, key: &str, event: &Bytes, patience: Duration) -> Result<Taken, NotTaken> {
        self.patiently(patience, || {
            let request = self.call(Method::POST, "events").header("content-type", "application/json");
            request.header("idempotency-key", key).body(event.clone())
        })
        .await
        .map_err(NotTaken::Unavailable)?
        .into_answer::<Taken>()
        .await?
        .outcome()
    }

    /// Posts a batch, one event a line, until every line is taken or refused, or `patience` is over; the answer has a
    /// result for each line. A line that was taken before is recognised by the batch's key and its number.
    ///
    /// # Errors
    /// When it was not taken as a whole.
    pub(crate) async fn post_batch(
        &self,
        key: &str,
        events: &Bytes,
        patience: Duration,
    ) -> Result<Vec<Result<Taken, NotTaken>>, NotTaken> {
        let deadline = Instant::now() + patience;
        let mut chance = Seeded::new(rand::random());
        let mut tried = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let response = self
                .patiently(left, || {
                    let request =
                        self.call(Method::POST, "events/batch").header("content-type", "application/x-ndjson");
                    request.header("idempotency-key", key).body(events.clone())
                })
                .await
                .map_err(NotTaken::Unavailable)?;
            if !response.0.status().is_success() {
                response.into_answer::<Taken>().await?.outcome()?;
                return Err(NotTaken::Unavailable("the answer makes no sense".to_owned()));
            }
            let outcomes = lines(&response.bytes().await?)?;
            let passing = outcomes.iter().any(|outcome| matches!(outcome, Err(NotTaken::Unavailable(_))));
            tried += 1;
            let wait = Duration::from_millis(self.waits.wait(tried, None, &mut chance));
            if !passing || Instant::now() + wait > deadline {
                return Ok(outcomes);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The first answer that does not pass by itself, or the last one within `patience`; without any, why.
    async fn patiently(&self, patience: Duration, request: impl Fn() -> RequestBuilder) -> Result<Got, String> {
        let deadline = Instant::now() + patience;
        let mut chance = Seeded::new(rand::random());
        for tried in 1.. {
            let outcome = request().send().await.map_err(|error| cause(&error.without_url()));
            let wish = match &outcome {
                Ok(response) if is_passing(response.status()) => retry_after(response),
                Ok(_) => return outcome.map(Got),
                Err(_) => None,
            };
            let wait = Duration::from_millis(self.waits.wait(tried, wish, &mut chance));
            if Instant::now() + wait > deadline {
                return outcome.map(Got);
            }
            tokio::time::sleep(wait).await;
        }
        Err("tried too often".to_owned())
    }
}

struct Got(Response);

impl Got {
    async fn bytes(self) -> Result<Bytes, NotTaken> {
        collect(self.0).await.map_err(|error| broken(&error))
    }

    async fn into_answer<T: DeserializeOwned>(self) -> Result<Answer<T>, NotTaken> {
        read(self.0).await.map_err(|error| broken(&error))
    }
}

/// The results of a batch, one a line.
fn lines(text: &[u8]) -> Result<Vec<Result<Taken, NotTaken>>, NotTaken> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let answer: Result<Answer<Taken>, _> = serde_json::from_slice(line);
            Ok(answer.map_err(|error| broken(&error))?.outcome())
        })
        .collect()
}

/// An answer that does not come from such an API, or broke off.
fn broken(error: &dyn std::fmt::Display) -> NotTaken {
    NotTaken::Unavailable(error.to_string())
}

async fn read<T: DeserializeOwned>(response: Response) -> anyhow::Result<Answer<T>> {
    let status = response.status();
    let text = collect(response).await?;
    serde_json::from_slice(&text).with_context(|| format!("{status}, and what came with it is no answer of this API"))
}

async fn collect(mut response: Response) -> anyhow::Result<Bytes> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        anyhow::ensure!(text.len() + chunk.len() <= LARGEST_ANSWER, "the answer is too large");
        text.extend_from_slice(&chunk);
    }
    Ok(text.into())
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
        || status == StatusCode::GATEWAY_TIMEOUT
}

/// `Retry-After` in seconds, as milliseconds.
fn retry_after(response: &Response) -> Option<u64> {
    let seconds: u64 = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    seconds.checked_mul(1_000)
}

/// An error with its causes.
fn cause(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}

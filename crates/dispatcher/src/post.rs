//! An attempt: guard, connect, sign, POST, and what came of it. The wire is reqwest's, which the product's owner asks
//! for; it is set up so that it can reach nothing but what the guard has judged.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `endpoint` | what is built once for a webhook's URL |
//! | `request` | the headers of an attempt |
//! | `client` | the HTTP clients, which dial judged addresses alone |
//! | `failure` | from a library's error to the contract's |
//! | `answer` | what is read of a response |

mod answer;
mod client;
mod endpoint;
mod failure;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use reqwest::Response;
use spectrum_webhook_core::attempt::{Ended, Failure};
use spectrum_webhook_core::ids::{EventId, Sequence};
use spectrum_webhook_core::retry_after;
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::SigningKeys;
use tokio::time::{Instant, timeout_at};

use self::client::{Clients, Stage, pinned};
pub use self::endpoint::{Endpoint, Origin};
use crate::guard::Guard;

/// How attempts are made.
#[derive(Clone, Debug)]
pub struct PosterSettings {
    /// What the `User-Agent` shows behind `spectrum-webhook/`.
    pub version: String,
    /// The time for the whole exchange.
    pub attempt_timeout: Duration,
    /// The part of it that TCP, TLS and HTTP may take until the connection stands.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How many webhooks that were called lately keep their unused connections. Each costs a file descriptor, and some tens
    /// of KiB with TLS; a webhook without costs a connect and a handshake for each attempt.
    pub idle_connections: u64,
    /// Certificates (PEM) of authorities that are trusted beside the public ones.
    pub extra_ca: Option<Vec<u8>>,
}

impl Default for PosterSettings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            attempt_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            idle_connections: 4_096,
            extra_ca: None,
        }
    }
}

/// Settings that no poster can be made of.
#[derive(Debug, thiserror::Error)]
pub enum PosterError {
    /// The version is not visible ASCII.
    #[error("the version cannot be part of a header")]
    Version,
    /// The extra authorities are not certificates in PEM.
    #[error("the extra certificate authorities are not PEM certificates")]
    ExtraCa,
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// What one attempt sends.
#[derive(Clone, Debug)]
pub struct AttemptRequest<'a> {
    /// Where to.
    pub endpoint: &'a Endpoint,
    /// The event, as receivers know it.
    pub event: EventId,
    /// The id of the resend that it comes by.
    pub resend: Option<EventId>,
    /// The body's `event`.
    pub event_type: &'a str,
    /// The event's place.
    pub sequence: Sequence,
    /// 1, 2, …
    pub number: u32,
    /// The webhook's keys.
    pub keys: &'a SigningKeys,
    /// What the webhook asks for: headers beside ours, and a time of the attempt, which counts if it is shorter than
    /// the poster's.
    pub shape: &'a Shape,
    /// The bytes that were posted to ingest.
    pub body: Bytes,
}

/// What came of an attempt. Times are in milliseconds from its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Posted {
    /// How it ended.
    pub ended: Ended,
    /// Until the connection stood; 0 on a kept one, `None` when it never did.
    pub connect_ms: Option<u32>,
    /// Until the status line; `None` when it never came.
    pub first_byte_ms: Option<u32>,
    /// Until the end, with what was read of the body.
    pub total_ms: u32,
    /// The judged address that was called.
    pub address: Option<SocketAddr>,
    /// The first KiB of the response's body, as one line of text.
    pub snippet: String,
}

/// Makes attempts.
pub struct Poster {
    guard: Arc<Guard>,
    clients: Clients,
    user_agent: HeaderValue,
    attempt_timeout: Duration,
}

impl Poster {
    /// A poster that goes where this guard lets it.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: PosterSettings, guard: Arc<Guard>) -> Result<Self, PosterError> {
        Ok(Self {
            guard,
            clients: Clients::new(&settings)?,
            user_agent: HeaderValue::try_from(format!("spectrum-webhook/{}", settings.version))
                .map_err(|_| PosterError::Version)?,
            attempt_timeout: settings.attempt_timeout,
        })
    }

    /// Closes connections of webhooks that were not called for the idle time. It is done beside the attempts too; this is
    /// for when there are none.
    pub fn tidy(&self) {
        self.clients.tidy();
    }

    /// One attempt, signed `now`. It ends within the shorter of the webhook's and the poster's time-out; dropping the
    /// future ends it at once, and its connection with it.
    pub async fn attempt(&self, request: AttemptRequest<'_>, now: Millis) -> Posted {
        let start = Instant::now();
        let mut posted = Posted {
            ended: Ended::Failed(Failure::UrlRefused),
            connect_ms: None,
            first_byte_ms: None,
            total_ms: 0,
            address: None,
            snippet: String::new(),
        };
        if let Err(failure) = self.exchange(request, now, start, &mut posted).await {
            posted.ended = Ended::Failed(failure);
        }
        posted.total_ms = millis(start.elapsed());
        posted
    }

    async fn exchange(
        &self,
        request: AttemptRequest<'_>,
        now: Millis,
        start: Instant,
        posted: &mut Posted,
    ) -> Result<(), Failure> {
        let own = request.shape.attempt_timeout.unwrap_or(self.attempt_timeout);
        let deadline = start + own.min(self.attempt_timeout);
        let webhook = request.endpoint.webhook();
        let url = request.endpoint.url().ok_or(Failure::UrlRefused)?;
        let judged = timeout_at(deadline, self.guard.judge(url)).await.unwrap_or(Err(Failure::DnsNoVerdict))?;
        let only = <[_; 1]>::try_from(judged.addresses()).ok();
        let client = self.clients.of(webhook, &judged).map_err(|_| Failure::Connect)?;
        let http = request::build(url, &self.user_agent, request, now);
        // Clones share what they hold.
        let secrets: Vec<_> = http.headers().values().filter(|value| value.is_sensitive()).cloned().collect();

        let (answered, stage) = pinned(judged, timeout_at(deadline, client.execute(http))).await;
        posted.connect_ms = match stage {
            Stage::Kept => Some(0),
            Stage::Connecting => None,
            Stage::Connected(at) => Some(millis(at - start)),
        };
        if posted.connect_ms.is_some() {
            // Without an answer the client does not say which of several addresses it had called.
            let port = url.port_or_known_default().unwrap_or_default();
            posted.address = only.map(|[address]| SocketAddr::new(address, port));
        }
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failure::of(&error)),
            Err(_) if posted.connect_ms.is_some() => return Err(Failure::Timeout),
            Err(_) => return Err(Failure::Connect),
        };
        posted.first_byte_ms = Some(millis(start.elapsed()));
        posted.ended = ended(&response, now);
        posted.address = response.remote_addr();
        let until = deadline.min(Instant::now() + answer::READ_FOR);
        posted.snippet = answer::read(response, until, &secrets).await;
        Ok(())
    }
}

fn ended(response: &Response, now: Millis) -> Ended {
    let status = response.status().as_u16();
    let retry_after = if matches!(status, 429 | 503) {
        let value = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        value.and_then(|value| retry_after::parse(value, now))
    } else {
        None
    };
    Ended::Answered { status, retry_after }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

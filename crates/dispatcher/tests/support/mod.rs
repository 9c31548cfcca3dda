//! What the tests of attempts share: a resolver that answers from a table, raw servers that misbehave as they are
//! told, and HTTP servers behind TLS with a private authority.

#![allow(
    clippy::expect_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "test support: each test crate uses its own part of it"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use spectrum_webhook_core::ids::{EventId, Sequence, WebhookId};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{SigningKeys, SigningSecret};
use spectrum_webhook_dispatcher::guard::{Guard, GuardSettings};
use spectrum_webhook_dispatcher::post::{AttemptRequest, Endpoint, Posted, Poster, PosterSettings};
use spectrum_webhook_dispatcher::resolve::{Resolve, ResolveError, Resolved};
pub use spectrum_webhook_testkit::raw::{Raw, read_request};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

/// 2023-11-14T22:13:20Z.
pub const NOW: Millis = Millis(1_700_000_000_123);
pub const BODY: &[u8] = b"{ \"event\":\"messages\" , \"n\": 1.00, \"s\":\"\\u00e9\" }\n";
pub const EVENT: EventId = EventId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
pub const WEBHOOK: WebhookId = WebhookId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002));

pub fn secret(digit: char) -> SigningSecret {
    digit.to_string().repeat(64).parse().expect("a secret")
}

pub fn keys() -> SigningKeys {
    SigningKeys { current: secret('a'), previous: None }
}

/// Answers from a table, in turn; the last answer of a host is repeated.
#[derive(Default)]
pub struct Table {
    answers: Mutex<HashMap<String, Vec<Result<Resolved, ResolveError>>>>,
    pub asked: AtomicUsize,
}

impl Table {
    pub fn with(self, host: &str, answer: Result<Resolved, ResolveError>) -> Self {
        self.answers.lock().entry(host.to_owned()).or_default().push(answer);
        self
    }

    /// An answer that may not be kept.
    pub fn at(self, host: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        self.with(host, Ok(Resolved { addresses, ttl: Duration::ZERO }))
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolve for Table {
    async fn resolve(&self, host: &str) -> Result<Resolved, ResolveError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock();
        let Some(answers) = answers.get_mut(host) else { return Err(ResolveError::NotFound) };
        if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
    }
}

/// A poster with short times that may call `http` and 127.0.0.1 alone.
pub struct Setup {
    pub table: Arc<Table>,
    pub settings: PosterSettings,
    pub guard: GuardSettings,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            table: Arc::new(Table::default().at("hooks.test", &["127.0.0.1"])),
            settings: PosterSettings {
                version: "1.2.3".to_owned(),
                attempt_timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(2),
                ..PosterSettings::default()
            },
            guard: GuardSettings { allow_http: true, allow_networks: vec!["127.0.0.1/32".parse().expect("a network")] },
        }
    }
}

impl Setup {
    pub fn attempt_timeout(mut self, millis: u64) -> Self {
        self.settings.attempt_timeout = Duration::from_millis(millis);
        self
    }

    pub fn connect_timeout(mut self, millis: u64) -> Self {
        self.settings.connect_timeout = Duration::from_millis(millis);
        self
    }

    pub fn trusting(mut self, authority: &Authority) -> Self {
        self.settings.extra_ca = Some(authority.pem.clone().into_bytes());
        self
    }

    pub fn resolving(mut self, table: Table) -> Self {
        self.table = Arc::new(table);
        self
    }

    pub fn poster(&self) -> Poster {
        let guard = Guard::new(self.guard.clone(), Arc::clone(&self.table) as Arc<dyn Resolve>);
        Poster::new(self.settings.clone(), Arc::new(guard)).expect("a poster")
    }
}

pub fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(WEBHOOK, url)
}

pub async fn attempt(poster: &Poster, endpoint: &Endpoint) -> Posted {
    attempt_with(poster, endpoint, &keys(), Bytes::from_static(BODY)).await
}

pub async fn attempt_with(poster: &Poster, endpoint: &Endpoint, keys: &SigningKeys, body: Bytes) -> Posted {
    attempt_shaped(poster, endpoint, keys, &Shape::default(), body).await
}

/// One attempt to a webhook that asks for something.
pub async fn attempt_shaped(
    poster: &Poster,
    endpoint: &Endpoint,
    keys: &SigningKeys,
    shape: &Shape,
    body: Bytes,
) -> Posted {
    let request = AttemptRequest {
        endpoint,
        event: EVENT,
        resend: None,
        event_type: "messages",
        sequence: Sequence(9_007_199_254_740_991),
        number: 3,
        keys,
        shape,
        body,
    };
    // A bug must fail the test instead of hanging it.
    tokio::time::timeout(Duration::from_secs(60), poster.attempt(request, NOW)).await.expect("an end")
}

/// One attempt to one URL with a poster of its own.
pub async fn once(setup: &Setup, url: &str) -> Posted {
    attempt(&setup.poster(), &endpoint(url)).await
}

/// Where attempts find it, by the name that the table knows.
pub trait Named {
    fn url(&self) -> String;
}

impl Named for Raw {
    fn url(&self) -> String {
        format!("http://hooks.test:{}/", self.address.port())
    }
}

/// A private certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// What a server for these names presents.
    pub fn server(&self, names: &[&str], protocols: &[&str]) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate that fits its key");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A request as an HTTP server saw it.
pub type Seen = Request<Bytes>;

/// An HTTPS server that keeps the requests it saw, and answers what it is told.
pub struct Https {
    pub raw: Raw,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Https {
    pub async fn start<F, D>(config: Arc<ServerConfig>, answer: F) -> Self
    where
        F: Fn(Seen) -> D + Clone + Send + Sync + 'static,
        D: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        Self::start_with(config, |_| {}, answer).await
    }

    pub async fn start_with<F, D>(
        config: Arc<ServerConfig>,
        tune: impl Fn(&mut auto::Builder<TokioExecutor>) + Clone + Send + Sync + 'static,
        answer: F,
    ) -> Self
    where
        F: Fn(Seen) -> D + Clone + Send + Sync + 'static,
        D: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let raw = Raw::start(move |stream, _| {
            let (config, tune, answer, kept) = (Arc::clone(&config), tune.clone(), answer.clone(), Arc::clone(&kept));
            async move {
                let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, kept) = (answer.clone(), Arc::clone(&kept));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                        let request = Request::from_parts(head, body);
                        kept.lock().push(request.clone());
                        Ok::<_, Infallible>(answer(request).await)
                    }
                });
                let mut builder = auto::Builder::new(TokioExecutor::new());
                tune(&mut builder);
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await;
        Self { raw, seen }
    }

    pub fn url(&self) -> String {
        format!("https://hooks.test:{}/in?a=1&b=%20", self.raw.address.port())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

pub fn status(code: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"thanks")));
    *response.status_mut() = code.try_into().expect("a status");
    response
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

//! The HTTP clients, so set up that nothing but a judged address is ever dialled: no redirects, no proxy, no
//! repetition of their own, and a resolver that knows only what the guard judged for the attempt that asks.
//!
//! Each webhook has a client of its own, and with it connections of its own. Sharing them by host would let one URL
//! hold up another: streams and windows of one HTTP/2 connection are shared, and a request that breaks it breaks its
//! neighbours' too.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use spectrum_webhook_core::ids::WebhookId;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::{PosterError, PosterSettings};
use crate::guard::Judged;

/// Headers in a response.
const HEADERS: usize = 128;

/// What is taken of a response over HTTP/2 before it is asked for: its headers, and what is not read of its body.
const BUFFER: u32 = 64 * 1_024;

/// Unused connections that a webhook keeps at most: as many as attempts it has under way at once when not all of its
/// events wait for one another.
const IDLE: usize = 16;

/// Clients, each of which can have unused connections.
pub(super) struct Clients {
    tls: ClientConfig,
    connect_timeout: Duration,
    idle_timeout: Duration,
    kept: Cache<WebhookId, Kept>,
}

#[derive(Clone)]
struct Kept {
    /// Sorted.
    addresses: Vec<IpAddr>,
    client: reqwest::Client,
}

impl Clients {
    pub(super) fn new(settings: &PosterSettings) -> Result<Self, PosterError> {
        let kept = Cache::builder()
            .max_capacity(settings.idle_connections)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(settings.idle_timeout);
        let clients = Self {
            tls: tls(settings.extra_ca.as_deref())?,
            connect_timeout: settings.connect_timeout.min(settings.attempt_timeout),
            idle_timeout: settings.idle_timeout,
            kept: kept.build(),
        };
        // Nothing that differs from one client to the next can fail: if the first can be built, all can.
        clients.build().map(|_| clients).map_err(|_| PosterError::Client)
    }

    /// The webhook's client. A kept connection leads to an address that was judged when it was made; when the host has
    /// moved since, it is not used again.
    pub(super) fn of(&self, webhook: WebhookId, judged: &Judged) -> reqwest::Result<reqwest::Client> {
        let mut addresses = judged.addresses().to_vec();
        addresses.sort_unstable();
        if let Some(kept) = self.kept.get(&webhook)
            && kept.addresses == addresses
        {
            return Ok(kept.client);
        }
        let client = self.build()?;
        self.kept.insert(webhook, Kept { addresses, client: client.clone() });
        Ok(client)
    }

    /// Lets go of the clients whose time is over.
    pub(super) fn tidy(&self) {
        self.kept.run_pending_tasks();
    }

    fn build(&self) -> reqwest::Result<reqwest::Client> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .referer(false)
            .dns_resolver(Pinned)
            .connector_layer(Watch)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(IDLE)
            .tcp_nodelay(true)
            .http1_max_headers(HEADERS)
            .http2_max_header_list_size(BUFFER)
            .http2_initial_stream_window_size(BUFFER)
            .http2_initial_connection_window_size(BUFFER)
            .build()
    }
}

fn tls(extra_ca: Option<&[u8]>) -> Result<ClientConfig, PosterError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_ca {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|_| PosterError::ExtraCa)?;
        if certificates.is_empty() {
            return Err(PosterError::ExtraCa);
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|_| PosterError::ExtraCa)?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

tokio::task_local! {
    /// The attempt that this task makes.
    static ATTEMPT: Attempt;
}

struct Attempt {
    judged: Judged,
    stage: Cell<Stage>,
}

/// How far an attempt has come: what a time-out means depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// The client has not asked for a new connection: what it wrote, it wrote on a kept one.
    Kept,
    /// A new one is being made: TCP, TLS.
    Connecting,
    /// It stands, since then.
    Connected(Instant),
}

/// Runs an exchange that can dial only what was judged, and keeps an eye on its connection.
pub(super) async fn pinned<F: Future>(judged: Judged, exchange: F) -> (F::Output, Stage) {
    let attempt = Attempt { judged, stage: Cell::new(Stage::Kept) };
    let watched = async {
        let output = exchange.await;
        (output, ATTEMPT.with(|attempt| attempt.stage.get()))
    };
    ATTEMPT.scope(attempt, watched).await
}

/// The clients' resolver: it looks nothing up. The client makes its connections in the task that asks, so that the
/// task's own judgement is at hand; where there is none, nothing is dialled. (Address literals never come here: the
/// URL that was judged is the one that is called.)
struct Pinned;

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let judged = ATTEMPT.try_with(|attempt| attempt.judged.clone());
        Box::pin(async move {
            let judged = judged?;
            let addresses: Vec<_> = judged.addresses().iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Notes when a connection is asked for, and when it stands.
#[derive(Clone)]
struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Watched(inner)
    }
}

#[derive(Clone)]
struct Watched<S>(S);

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // Without an attempt there is nobody to tell.
        let note = |stage| ATTEMPT.try_with(|attempt| attempt.stage.set(stage)).unwrap_or(());
        note(Stage::Connecting);
        let connecting = self.0.call(request);
        Box::pin(async move {
            let connected = connecting.await;
            if connected.is_ok() {
                note(Stage::Connected(Instant::now()));
            }
            connected
        })
    }
}

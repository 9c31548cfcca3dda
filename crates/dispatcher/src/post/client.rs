//! The HTTP client, so set up that nothing but a judged address is ever dialled: no redirects, no proxy, no repetition
//! of its own, and a resolver that is the guard.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use spectrum_webhook_core::attempt::Failure;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::{PosterError, PosterSettings};
use crate::guard::Guard;

/// What is taken of a response's head: headers, and bytes of them over HTTP/2.
const HEADERS: usize = 128;
const HEADER_BYTES: u32 = 64 * 1_024;
/// Unused connections that are kept to one host.
const IDLE_PER_HOST: usize = 8;

pub(super) fn build(settings: &PosterSettings, guard: Arc<Guard>) -> Result<reqwest::Client, PosterError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls(settings.extra_ca.as_deref())?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .retry(reqwest::retry::never())
        .referer(false)
        .dns_resolver(Guarded(guard))
        .connector_layer(Watch)
        .connect_timeout(settings.connect_timeout.min(settings.attempt_timeout))
        .pool_idle_timeout(settings.idle_timeout)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .tcp_nodelay(true)
        .http1_max_headers(HEADERS)
        .http2_max_header_list_size(HEADER_BYTES)
        .build()
        .map_err(|_| PosterError::Client)
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

/// The client's only way to an address: the same judgement as before the attempt, so that a name that has been
/// pointed elsewhere in between is judged anew or served from what was judged. (Address literals never come here: the
/// judged URL is the one that is called.)
struct Guarded(Arc<Guard>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = guard.addresses(name.as_str()).await.map_err(Refused)?;
            let addresses: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The guard's verdict, on its way through the client's errors.
#[derive(Debug, thiserror::Error)]
#[error("the URL guard refused the host: {}", .0.code())]
pub(super) struct Refused(pub(super) Failure);

tokio::task_local! {
    /// How far the attempt of this task has come.
    static STAGE: Cell<Stage>;
}

/// How far an attempt has come: what a time-out means depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// The client has not asked for a new connection: if it ever wrote, then on a kept one.
    Kept,
    /// A new one is being made: name, TCP, TLS.
    Connecting,
    /// It stands, and took so long.
    Connected(Duration),
}

/// Runs an exchange, and keeps an eye on its connection.
pub(super) async fn watched<F: Future>(exchange: F) -> (F::Output, Stage) {
    STAGE
        .scope(Cell::new(Stage::Kept), async {
            let output = exchange.await;
            (output, STAGE.with(Cell::get))
        })
        .await
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
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let start = Instant::now();
        // The client makes connections in the task that asks, so that the task's own stage is at hand. One that goes
        // on in the background, for a later attempt, has none.
        let note = |stage| {
            let _ = STAGE.try_with(|cell| cell.set(stage));
        };
        note(Stage::Connecting);
        let connecting = self.0.call(request);
        Box::pin(async move {
            let connected = connecting.await;
            if connected.is_ok() {
                note(Stage::Connected(start.elapsed()));
            }
            connected
        })
    }
}

/// The failure that an error of the client amounts to. It goes by types, never by a message's text.
pub(super) fn failure(error: &reqwest::Error) -> Failure {
    let causes = || std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    if let Some(Refused(failure)) = causes().find_map(|cause| cause.downcast_ref::<Refused>()) {
        return *failure;
    }
    let io = causes().find_map(|cause| cause.downcast_ref::<io::Error>());
    if error.is_connect() {
        let tls = causes().any(|cause| cause.is::<rustls::Error>()) || io.is_some_and(is_tls);
        return if tls { Failure::Tls } else { Failure::Connect };
    }
    if let Some(hyper) = causes().find_map(|cause| cause.downcast_ref::<hyper::Error>()) {
        return super::failure::of(hyper);
    }
    match io {
        Some(io) if is_tls(io) => Failure::Tls,
        _ => Failure::Reset,
    }
}

fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

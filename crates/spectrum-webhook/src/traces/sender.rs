//! Batches of spans on their way to the collector: one at a time, each within a bounded time. What it does not take is
//! counted, and given up.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Counted;
use crate::config::{Settings, Tracing};
use crate::wire::Role;

/// Spans in one batch at most.
const BATCH: usize = 512;
/// How long a batch gathers.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch, repetitions included.
const EXPORT: Duration = Duration::from_secs(10);
/// The part of it that a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

pub(super) struct Sender {
    pub(super) exporter: SpanExporter,
    pub(super) counted: Counted,
    /// Batches in a row.
    pub(super) failed: u32,
}

impl Sender {
    /// Sends what comes, until it is stopped; then what waits.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<SpanData>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                received = waiting.recv_many(&mut batch, BATCH) => if received == 0 { return },
                () = stop.cancelled() => break,
            }
            tokio::select! {
                () = gather(&mut waiting, &mut batch) => {}
                () = stop.cancelled() => break,
            }
            self.send(std::mem::take(&mut batch)).await;
        }
        waiting.close();
        while batch.len() < BATCH && waiting.recv_many(&mut batch, BATCH).await > 0 {}
        while !batch.is_empty() {
            self.send(std::mem::take(&mut batch)).await;
            waiting.recv_many(&mut batch, BATCH).await;
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        // Counted as failed until they are taken: a sender that is ended in between has told the truth.
        let mut lost = Lost { counted: &self.counted, spans: batch.len() as u64 };
        let why = match timeout(EXPORT, self.exporter.export(batch)).await {
            Ok(Ok(())) => {
                self.counted.exported.inc_by(std::mem::take(&mut lost.spans));
                self.failed = 0;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.failed = self.failed.saturating_add(1);
        if self.failed.is_power_of_two() {
            tracing::warn!(why, failed = self.failed, "the collector of traces takes no spans");
        }
    }
}

/// Until the batch is full, or has waited long enough.
async fn gather(waiting: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    let full = async {
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            if waiting.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    tokio::select! {
        () = full => {}
        () = sleep(GATHER) => {}
    }
}

struct Lost<'a> {
    counted: &'a Counted,
    spans: u64,
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        self.counted.failed.inc_by(self.spans);
    }
}

/// The exporter to the collector.
///
/// # Errors
/// When the settings cannot be used.
pub(super) fn exporter(role: Role, settings: &Settings, tracing: &Tracing) -> anyhow::Result<SpanExporter> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(settings)?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(EXPORT)
        .build()?;
    let headers = tracing.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", tracing.endpoint.expose()))
        .with_headers(headers.collect())
        .with_timeout(EXPORT)
        .build()
        // Its words have the endpoint in them.
        .map_err(|_| anyhow::anyhow!("no request can be made to it"))?;
    exporter.set_resource(&resource(role, settings));
    Ok(exporter)
}

/// What sends the spans.
fn resource(role: Role, settings: &Settings) -> Resource {
    Resource::builder_empty()
        .with_service_name("spectrum-webhook")
        .with_attributes([
            KeyValue::new("service.namespace", settings.namespace.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string()),
            KeyValue::new("spectrum.role", role.name()),
        ])
        .build()
}

/// The public authorities, and those of the services.
fn tls(settings: &Settings) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &settings.services_ca {
        for certificate in CertificateDer::pem_file_iter(path)? {
            roots.add(certificate?)?;
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

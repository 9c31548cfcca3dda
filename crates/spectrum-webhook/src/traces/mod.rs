//! Traces: spans go to an OpenTelemetry collector, by OTLP over HTTP, and hold up nobody on the way.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`encode`] | a span, as OpenTelemetry has it |
//! | [`sender`] | batches on their way to the collector |
//!
//! A span that ends is put into a bounded queue; one that finds it full is dropped, and counted. Without an endpoint
//! there is nothing of all this.

mod encode;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::{SpanKind as Kind, TraceId};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _, SpanData};
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};
use spectrum_webhook_core::ports::{Span, Spans};
use spectrum_webhook_core::traceparent::TraceContext;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::encode::Encoder;
use self::sender::Sender;
use crate::config::Settings;
use crate::wire::Role;

/// Spans that may wait for the collector: a few MiB.
const QUEUE: usize = 4_096;
/// How long the last spans may take at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// Traces that go to a collector.
pub(crate) struct Traces {
    tracer: Arc<Tracer>,
    stop: CancellationToken,
    sender: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Traces {
    /// Starts to send what is recorded from here on; `None` when no collector is set.
    ///
    /// # Errors
    /// When the settings cannot be used, or the metrics' names are taken.
    pub(crate) fn start(role: Role, settings: &Settings, registry: &Registry) -> anyhow::Result<Option<Self>> {
        let Some(tracing) = &settings.tracing else { return Ok(None) };
        let counted = IntCounterVec::new(
            Opts::new("spectrum_webhook_spans_total", "Spans of traces, by what became of them."),
            &["outcome"],
        )?;
        registry.register(Box::new(counted.clone()))?;
        let counted = Counted {
            exported: counted.with_label_values(&["exported"]),
            dropped: counted.with_label_values(&["dropped"]),
            failed: counted.with_label_values(&["failed"]),
        };
        let exporter = sender::exporter(role, settings, tracing).context("SPECTRUM_OTLP_ENDPOINT")?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let sender = Sender { exporter, counted: counted.clone(), failed: 0 };
        let sender = AbortOnDropHandle::new(tokio::spawn(sender.run(waiting, stop.clone())));
        let tracer = Tracer {
            queue,
            counted,
            new: Sampler::TraceIdRatioBased(tracing.ratio),
            encoder: Encoder::new(if settings.cluster.is_some() { "rabbitmq" } else { "sqlite" }),
        };
        Ok(Some(Self { tracer: Arc::new(tracer), stop, sender: Mutex::new(Some(sender)) }))
    }

    /// Where spans go.
    pub(crate) fn spans(&self) -> Arc<dyn Spans> {
        self.tracer.clone()
    }

    /// Sends what waits, for a few seconds at most. Call it when nothing is traced any more.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let sender = self.sender.lock().take();
        if let Some(sender) = sender
            && tokio::time::timeout(FLUSH, sender).await.is_err()
        {
            tracing::warn!("the last spans were not sent in time");
        }
    }
}

/// What became of spans.
#[derive(Clone)]
struct Counted {
    /// The collector took them.
    exported: prometheus::IntCounter,
    /// There was no room for them.
    dropped: prometheus::IntCounter,
    /// The collector did not take them.
    failed: prometheus::IntCounter,
}

struct Tracer {
    queue: mpsc::Sender<SpanData>,
    counted: Counted,
    new: Sampler,
    encoder: Encoder,
}

impl Spans for Tracer {
    fn begin(&self, parent: Option<TraceContext>) -> Option<TraceContext> {
        let span = random();
        match parent {
            Some(parent) => parent.sampled.then_some(TraceContext { span, ..parent }),
            None => {
                let trace = random();
                let id = TraceId::from_bytes(trace);
                let drawn = self.new.should_sample(None, id, "", &Kind::Server, &[], &[]);
                (drawn.decision == SamplingDecision::RecordAndSample).then_some(TraceContext {
                    trace,
                    span,
                    sampled: true,
                })
            }
        }
    }

    fn end(&self, span: Span) {
        if self.queue.try_send(self.encoder.encode(span)).is_err() {
            self.counted.dropped.inc();
        }
    }
}

/// An id, which is not zero.
fn random<const N: usize>() -> [u8; N]
where
    rand::distr::StandardUniform: rand::distr::Distribution<[u8; N]>,
{
    loop {
        let id: [u8; N] = rand::random();
        if id != [0; N] {
            return id;
        }
    }
}

//! A span, as OpenTelemetry has it: its kind, its names of attributes, its status.

use opentelemetry::trace::{SpanContext, SpanId, SpanKind as Kind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use spectrum_webhook_core::ports::{Span, SpanKind, SpanValue};

/// Turns spans of this process into what is sent.
pub(super) struct Encoder {
    scope: InstrumentationScope,
    /// What carries messages here.
    queue: &'static str,
}

impl Encoder {
    pub(super) fn new(queue: &'static str) -> Self {
        let scope = InstrumentationScope::builder("spectrum-webhook").with_version(env!("CARGO_PKG_VERSION"));
        Self { scope: scope.build(), queue }
    }

    pub(super) fn encode(&self, span: Span) -> SpanData {
        let Span { context, parent, kind, name, began, ended, attributes, error } = span;
        let mut attributes: Vec<KeyValue> =
            attributes.into_iter().map(|(name, said)| KeyValue::new(name, value(said))).collect();
        if matches!(kind, SpanKind::Producer | SpanKind::Consumer) {
            attributes.push(KeyValue::new("messaging.system", self.queue));
        }
        attributes.extend(error.as_ref().map(|code| KeyValue::new("error.type", code.clone())));
        let flags = if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(context.trace),
                SpanId::from_bytes(context.span),
                flags,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span)),
            // A request and a message come from elsewhere, or may.
            parent_span_is_remote: parent.is_some() && matches!(kind, SpanKind::Server | SpanKind::Consumer),
            span_kind: match kind {
                SpanKind::Server => Kind::Server,
                SpanKind::Client => Kind::Client,
                SpanKind::Producer => Kind::Producer,
                SpanKind::Consumer => Kind::Consumer,
            },
            name: name.into(),
            start_time: began,
            // The clock may have been set back.
            end_time: ended.max(began),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn value(value: SpanValue) -> Value {
    match value {
        SpanValue::Text(text) => text.into(),
        SpanValue::Number(number) => number.into(),
        SpanValue::Flag(flag) => flag.into(),
    }
}

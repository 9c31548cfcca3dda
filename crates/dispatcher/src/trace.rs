//! The spans of deliveries: of a message's processing, and of each attempt. Only what belongs to a trace that is
//! recorded costs anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use spectrum_webhook_core::attempt::{AttemptRecord, Ended};
use spectrum_webhook_core::classify::{Verdict, classify};
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::ids::PartitionId;
use spectrum_webhook_core::ports::{Span, SpanKind, SpanValue, Spans, Tag, processing};
use spectrum_webhook_core::traceparent::TraceContext;

use crate::post::{Endpoint, Origin};

/// Messages of one partition that are worked on: from when they were taken to when all their deliveries are settled.
pub(crate) struct Processing {
    spans: Option<Arc<dyn Spans>>,
    partition: PartitionId,
    /// Bounded by the partition's window.
    open: HashMap<Tag, Open>,
}

struct Open {
    publish: TraceContext,
    message: Arc<Message>,
    redelivered: bool,
    began: SystemTime,
}

impl Processing {
    pub(crate) fn new(spans: Option<Arc<dyn Spans>>, partition: PartitionId) -> Self {
        Self { spans, partition, open: HashMap::new() }
    }

    /// A message was taken from the queue.
    pub(crate) fn took(&mut self, tag: Tag, redelivered: bool, message: &Arc<Message>) {
        if self.spans.is_none() || matches!(message.purpose, Purpose::Steering(_)) {
            return;
        }
        if let Some(publish) = context_of(message).filter(|publish| publish.sampled) {
            let message = Arc::clone(message);
            self.open.insert(tag, Open { publish, message, redelivered, began: SystemTime::now() });
        }
    }

    /// It goes off the queue, with its copies.
    pub(crate) fn settled(&mut self, tags: &[Tag]) {
        let Some(spans) = &self.spans else { return };
        let copies = tags.iter().filter_map(|tag| self.open.remove(tag)).collect::<Vec<_>>();
        let Some(Open { publish, message, redelivered, began }) = copies.into_iter().next() else { return };
        let mut attributes = vec![
            ("messaging.operation.name", "process".into()),
            ("messaging.operation.type", "process".into()),
            ("messaging.destination.name", "events".into()),
            ("messaging.destination.partition.id", self.partition.to_string().into()),
            ("messaging.message.id", message.id.to_string().into()),
            ("messaging.message.body.size", SpanValue::Number(i64::try_from(message.body.len()).unwrap_or(i64::MAX))),
            ("spectrum.event.id", message.event().to_string().into()),
            ("spectrum.project.id", message.project.to_string().into()),
            ("spectrum.event.type", message.event_type.as_str().into()),
            ("spectrum.redelivered", redelivered.into()),
        ];
        attributes.extend(message.resend().map(|resend| ("spectrum.resend.id", resend.to_string().into())));
        spans.end(Span {
            context: processing(message.id, publish),
            parent: Some(publish),
            kind: SpanKind::Consumer,
            name: "process event",
            began,
            ended: SystemTime::now(),
            attributes,
            error: None,
        });
    }
}

/// The trace of a message, recorded or not.
pub(crate) fn context_of(message: &Message) -> Option<TraceContext> {
    message.traceparent.as_deref().and_then(TraceContext::read)
}

/// An attempt whose span is recorded.
pub(crate) struct AttemptTrace {
    context: TraceContext,
    parent: TraceContext,
    origin: Option<Origin>,
    began: SystemTime,
    ended: SystemTime,
}

impl AttemptTrace {
    /// An attempt that begins now; `None` when its trace is not recorded.
    pub(crate) fn begin(spans: Option<&Arc<dyn Spans>>, message: &Message, endpoint: &Endpoint) -> Option<Self> {
        let spans = spans?;
        let publish = context_of(message).filter(|publish| publish.sampled)?;
        let parent = processing(message.id, publish);
        let (context, now) = (spans.begin(Some(parent))?, SystemTime::now());
        Some(Self { context, parent, origin: endpoint.origin(), began: now, ended: now })
    }

    /// It has ended.
    pub(crate) fn ended(mut self) -> Self {
        self.ended = SystemTime::now();
        self
    }

    /// It is recorded, and decided what comes next.
    pub(crate) fn end(self, spans: &dyn Spans, attempt: &AttemptRecord) {
        let mut attributes = vec![
            ("http.request.method", "POST".into()),
            ("spectrum.event.id", attempt.key.event.to_string().into()),
            ("spectrum.project.id", attempt.project.to_string().into()),
            ("spectrum.webhook.id", attempt.key.webhook.to_string().into()),
            ("spectrum.event.type", attempt.event_type.as_str().into()),
            ("spectrum.sequence", attempt.sequence.0.into()),
            ("spectrum.attempt", i64::from(attempt.number).into()),
        ];
        let mut say = |name, value: Option<SpanValue>| attributes.extend(value.map(|value| (name, value)));
        say("http.request.resend_count", (attempt.number > 1).then(|| i64::from(attempt.number - 1).into()));
        say("spectrum.resend.id", attempt.resend.map(|resend| resend.to_string().into()));
        say("spectrum.next", attempt.next.code().map(Into::into));
        say("network.peer.address", attempt.address.map(|address| address.ip().to_string().into()));
        say("network.peer.port", attempt.address.map(|address| i64::from(address.port()).into()));
        say("spectrum.connect_ms", attempt.connect_ms.map(|millis| i64::from(millis).into()));
        if let Some(Origin { shown, host, port }) = self.origin {
            say("url.full", Some(shown.into()));
            say("server.address", Some(host.into()));
            say("server.port", port.map(|port| i64::from(port).into()));
        }
        let error = match attempt.ended {
            Ended::Answered { status, .. } => {
                say("http.response.status_code", Some(i64::from(status).into()));
                (classify(attempt.ended) != Verdict::Delivered).then(|| status.to_string())
            }
            Ended::Failed(failure) => Some(failure.code().to_owned()),
        };
        spans.end(Span {
            context: self.context,
            parent: Some(self.parent),
            kind: SpanKind::Client,
            name: "POST",
            began: self.began,
            ended: self.ended,
            attributes,
            error,
        });
    }
}

//! Spans: how long the parts of an event's way took, for whoever traces it.
//!
//! One trace goes from a client's request to each attempt. The message carries the context, also in the store, so that
//! an attempt belongs to its trace however long it has waited.

use std::time::SystemTime;

use crate::ids::EventId;
use crate::traceparent::TraceContext;

/// Where spans go. Nobody waits for it: what it has no room for is dropped, and counted.
pub trait Spans: Send + Sync {
    /// The context of a new span under its parent, or of the first of a new trace; `None` when it is not recorded. A
    /// trace is recorded if its parent is, and a new one by lot.
    fn begin(&self, parent: Option<TraceContext>) -> Option<TraceContext>;

    /// Takes a span that has ended.
    fn end(&self, span: Span);
}

/// One that has ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    /// Itself.
    pub context: TraceContext,
    /// What it is a part of; `None`: it is the first of its trace.
    pub parent: Option<TraceContext>,
    /// What it is to others.
    pub kind: SpanKind,
    /// One of a few.
    pub name: &'static str,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What else there is to say, by the names of OpenTelemetry or beginning with `spectrum.`; nothing secret.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Why it failed, as a code.
    pub error: Option<String>,
}

/// What a span is to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanKind {
    /// It answers a request.
    Server,
    /// It makes one.
    Client,
    /// It puts a message into the queue.
    Producer,
    /// It takes one out, and works on it.
    Consumer,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpanValue {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for SpanValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for SpanValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// The span in which a message is worked on, known by the message alone: attempts that come out of the store, and
/// those of another owner, belong to it without anybody remembering it. The last half of a UUIDv7 is drawn by lot, and
/// is not zero.
pub fn processing(message: EventId, publish: TraceContext) -> TraceContext {
    let mut span = [0; 8];
    span.copy_from_slice(&message.0.as_bytes()[8..]);
    TraceContext { span, ..publish }
}

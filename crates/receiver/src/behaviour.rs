//! What the endpoint answers.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::recorded::Recorded;

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum End {
    /// The answer is sent and the connection stays.
    #[default]
    Answer,
    /// The answer is sent, then the connection is closed (HTTP/1.1; on HTTP/2 it stays).
    Close,
    /// Status and headers are sent, the body never ends.
    HangBody,
    /// Nothing is sent, for ever.
    Hang,
    /// The connection is reset: to the sender, an answer that was lost.
    Reset,
}

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Headers beside those that HTTP needs.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How long it waits before it does anything.
    pub delay: Duration,
    /// What becomes of the connection.
    pub end: End,
}

impl Reply {
    /// An empty answer with this status.
    pub fn status(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), delay: Duration::ZERO, end: End::Answer }
    }

    /// `200`.
    pub fn ok() -> Self {
        Self::status(StatusCode::OK)
    }

    /// No answer, for ever.
    pub fn hang() -> Self {
        Self::ok().ending(End::Hang)
    }

    /// A reset connection.
    pub fn reset() -> Self {
        Self::ok().ending(End::Reset)
    }

    /// The same, with a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same, after a wait.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same, with another end.
    #[must_use]
    pub fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// The status that goes out, if one does.
    pub(crate) fn sent_status(&self) -> Option<u16> {
        match self.end {
            End::Answer | End::Close | End::HangBody => Some(self.status.as_u16()),
            End::Hang | End::Reset => None,
        }
    }
}

/// Decides on the answer to each request. It is called in the order in which requests are recorded, one at a time,
/// with the memory locked: it must not wait.
pub trait Behaviour: Send + Sync + 'static {
    /// The answer to this request, whose counts are set and whose status is not.
    fn reply(&self, request: &Recorded) -> Reply;
}

impl<F: Fn(&Recorded) -> Reply + Send + Sync + 'static> Behaviour for F {
    fn reply(&self, request: &Recorded) -> Reply {
        self(request)
    }
}

/// The same answer to every request.
#[derive(Clone, Debug)]
pub struct Always(pub Reply);

impl Behaviour for Always {
    fn reply(&self, _: &Recorded) -> Reply {
        self.0.clone()
    }
}

/// One answer to the first requests of each event, another one to the rest.
#[derive(Clone, Debug)]
pub struct FailFirst {
    /// How many requests of each event get `failure`.
    pub times: u64,
    /// What those get.
    pub failure: Reply,
    /// What later ones get.
    pub then: Reply,
}

impl Behaviour for FailFirst {
    fn reply(&self, request: &Recorded) -> Reply {
        if request.nth_for_event <= self.times { self.failure.clone() } else { self.then.clone() }
    }
}

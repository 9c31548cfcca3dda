//! One request as it came.

use std::time::{Instant, SystemTime};

use bytes::Bytes;

/// Headers in the order in which their names came first, repeated ones kept. Names compare without regard to case.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl Headers {
    /// The first value of a name, if it is visible ASCII.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(had, _)| had.eq_ignore_ascii_case(name))?;
        let visible = |byte: u8| byte == b' ' || byte == b'\t' || byte.is_ascii_graphic();
        std::str::from_utf8(value).ok().filter(|value| value.bytes().all(visible))
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(had, _)| had.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }
}

impl From<&http::HeaderMap> for Headers {
    fn from(map: &http::HeaderMap) -> Self {
        Self(map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
    }
}

impl<N: Into<String>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// A request whose body came in full.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place among all requests of this receiver: 1, 2, …
    pub nth: u64,
    /// Its place among the requests to this path and query: 1, 2, …
    pub nth_for_path: u64,
    /// Its place among the requests of this event to this path and query: 1, 2, …
    pub nth_for_event: u64,
    /// When its last byte came, to measure by.
    pub arrived: Instant,
    /// The same moment, to compare time stamps with.
    pub wall: SystemTime,
    /// HTTP/1.1 or HTTP/2.
    pub version: http::Version,
    /// The method.
    pub method: String,
    /// Path and query as they were sent.
    pub path: String,
    /// The headers.
    pub headers: Headers,
    /// The body's bytes.
    pub body: Bytes,
    /// The status that it is answered with; `None` when it gets no answer.
    pub status: Option<u16>,
}

impl Recorded {
    /// The event that it names: `webhook-id`, or else `X-Spectrum-Event-Id`.
    pub fn event_id(&self) -> Option<&str> {
        self.headers.get("webhook-id").or_else(|| self.headers.get("x-spectrum-event-id"))
    }

    /// `X-Spectrum-Attempt`.
    pub fn attempt(&self) -> Option<u32> {
        self.headers.get("x-spectrum-attempt")?.parse().ok()
    }

    /// `X-Spectrum-Sequence`.
    pub fn sequence(&self) -> Option<u64> {
        self.headers.get("x-spectrum-sequence")?.parse().ok()
    }

    /// Whether it is answered with a 2xx.
    pub fn taken(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

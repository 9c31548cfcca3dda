//! One request of HTTP/1.1 as it is read, byte by byte its own.

use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::history::{Arrival, At, EventId, Reply, WebhookId};

/// Bytes of a head, at most.
const HEAD: usize = 32 * 1024;
/// Bytes of a body, at most: the largest event that is taken.
const BODY: usize = 1024 * 1024;

/// A connection, and what was read ahead.
pub(super) struct Incoming {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request line and its headers.
pub(super) struct Head {
    pub(super) path: Arc<str>,
    pub(super) begun: At,
    headers: Vec<(String, String)>,
    length: usize,
}

impl Incoming {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next request's head; `None` when the connection ended. `now` is asked at its first byte.
    pub(super) async fn head(&mut self, now: impl Fn() -> At) -> Result<Option<Head>, String> {
        let mut begun = (!self.buffer.is_empty()).then(&now);
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let text = std::mem::replace(&mut self.buffer, rest);
                return Head::parse(&text[..end], begun.unwrap_or_else(&now)).map(Some);
            }
            if self.buffer.len() > HEAD {
                return Err("a head without end".to_owned());
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => begun = begun.or_else(|| Some(now())),
                _ => return Ok(None),
            }
        }
    }

    /// The body; `None` when the connection ended before it was all there.
    pub(super) async fn body(&mut self, head: &Head) -> Result<Option<Vec<u8>>, String> {
        if head.length > BODY {
            return Err(format!("a body of {} bytes", head.length));
        }
        while self.buffer.len() < head.length {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                _ => return Ok(None),
            }
        }
        let rest = self.buffer.split_off(head.length);
        Ok(Some(std::mem::replace(&mut self.buffer, rest)))
    }
}

impl Head {
    fn parse(text: &[u8], begun: At) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "a head that is not UTF-8".to_owned())?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let path = first.strip_prefix("POST ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
        let path = path.ok_or_else(|| format!("the request line `{first}`"))?.into();
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("the header line `{line}`"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut head = Self { path, begun, headers, length: 0 };
        head.length = head.get("content-length").parse().map_err(|_| "a body without its length".to_owned())?;
        Ok(head)
    }

    /// A header's value; empty when there is none, or more than one.
    pub(super) fn get(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(had, _)| had == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => value,
            _ => "",
        }
    }

    pub(super) fn arrival(&self, body: Option<Arc<[u8]>>, reply: Reply, replied: Option<At>) -> Arrival {
        Arrival {
            webhook: WebhookId(self.get("x-spectrum-webhook-id").into()),
            event: EventId(self.get("x-spectrum-event-id").into()),
            path: Arc::clone(&self.path),
            resend: !self.get("x-spectrum-resend").is_empty(),
            begun: self.begun,
            body,
            signed: self.get("x-spectrum-timestamp").parse().ok(),
            signature: self.get("x-spectrum-signature").into(),
            standard: ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| self.get(name).into()),
            sequence: self.get("x-spectrum-sequence").parse().ok(),
            reply,
            replied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_what_is_none_is_refused() {
        let head =
            Head::parse(b"POST /p1/healthy HTTP/1.1\r\nContent-Length: 3\r\nX-A:  b \r\nX-C: d\r\nx-c: e", At(5));
        let head = head.expect("a head");
        assert_eq!((&*head.path, head.length, head.get("x-a"), head.get("x-c")), ("/p1/healthy", 3, "b", ""));
        for bad in ["GET / HTTP/1.1\r\nContent-Length: 0", "POST / HTTP/1.1\r\nContent-Length", "POST / HTTP/1.1"] {
            assert!(Head::parse(bad.as_bytes(), At(0)).is_err(), "{bad}");
        }
    }
}

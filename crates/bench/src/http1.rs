//! As much of HTTP/1.1 as the load and the receiver need, so that they take as little of the machine as they can: what
//! they take, neither the product nor the limit has.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HEADERS: usize = 64;
const READ: usize = 16 << 10;

/// A connection, and what was read of it too early.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// What a receiver reads.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// What a client reads.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// How the body ends.
enum Length {
    Known(usize),
    Chunked,
}

fn broken(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn length(headers: &[httparse::Header<'_>]) -> io::Result<Length> {
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(broken)?;
            return Ok(Length::Known(text.trim().parse().map_err(broken)?));
        }
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Length::Chunked);
        }
    }
    Ok(Length::Known(0))
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Only slower without it.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: BytesMut::with_capacity(READ) }
    }

    pub(crate) async fn connect(address: std::net::SocketAddr) -> io::Result<Self> {
        Ok(Self::new(TcpStream::connect(address).await?))
    }

    /// Whether there is more.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(READ);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    async fn must_fill(&mut self) -> io::Result<()> {
        if self.fill().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits until the other side closes or says more.
    pub(crate) async fn stirs(&self) {
        // Whatever it is, the next read tells.
        let _ = self.stream.peek(&mut [0]).await;
    }

    /// The next request; `None` when there is none any more.
    pub(crate) async fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut head = httparse::Request::new(&mut headers);
            if let httparse::Status::Complete(at) = head.parse(&self.buffer).map_err(broken)? {
                let path = head.path.unwrap_or_default().to_owned();
                let length = length(head.headers)?;
                self.buffer.advance(at);
                return Ok(Some(Request { path, body: self.body(length).await?.freeze() }));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Sends a whole request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut head = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(at) = head.parse(&self.buffer).map_err(broken)? {
                let status = head.code.unwrap_or_default();
                let length = length(head.headers)?;
                self.buffer.advance(at);
                return Ok(Answer { status, body: self.body(length).await?.to_vec() });
            }
            self.must_fill().await?;
        }
    }

    async fn body(&mut self, length: Length) -> io::Result<BytesMut> {
        match length {
            Length::Known(length) => self.take(length).await,
            Length::Chunked => {
                let mut whole = BytesMut::new();
                loop {
                    let size = self.chunk_size().await?;
                    let chunk = self.take(size + 2).await?;
                    if size == 0 {
                        return Ok(whole);
                    }
                    whole.extend_from_slice(&chunk[..size]);
                }
            }
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<BytesMut> {
        while self.buffer.len() < length {
            self.must_fill().await?;
        }
        Ok(self.buffer.split_to(length))
    }

    async fn chunk_size(&mut self) -> io::Result<usize> {
        loop {
            match httparse::parse_chunk_size(&self.buffer).map_err(|_| broken("a chunk without a size"))? {
                httparse::Status::Complete((at, size)) => {
                    self.buffer.advance(at);
                    return usize::try_from(size).map_err(broken);
                }
                httparse::Status::Partial => self.must_fill().await?,
            }
        }
    }
}

/// A whole request with a body.
pub(crate) fn request(into: &mut Vec<u8>, head: &Head<'_>, body: &[u8]) {
    use std::io::Write as _;
    let Head { method, path, host, authorization, content_type } = head;
    into.clear();
    // Writing to memory does not fail.
    let _ = write!(
        into,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {authorization}\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    into.extend_from_slice(body);
}

/// What stands above the body.
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: std::net::SocketAddr,
    pub(crate) authorization: &'a str,
    pub(crate) content_type: &'a str,
}

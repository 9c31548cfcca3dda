//! An endpoint that is no HTTP server: it does with each connection what it is told, byte by byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A TCP server that does with each connection what it is told, given the connection's number from 0. Dropping it ends
/// it and its connections.
#[derive(Debug)]
pub struct Raw {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Raw {
    /// Starts on a free port of the loopback.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start<F, D>(handle: F) -> Self
    where
        F: Fn(TcpStream, usize) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0", handle).await
    }

    /// Starts at this address.
    ///
    /// # Panics
    /// When it cannot listen there.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn start_at<F, D>(address: &str, handle: F) -> Self
    where
        F: Fn(TcpStream, usize) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut running = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                        running.spawn(handle(stream, count.fetch_add(1, Ordering::SeqCst)));
                    },
                    Some(_) = running.join_next() => {}
                }
            }
        });
        Self { address, connections, task }
    }

    /// Answers every request with these bytes, and keeps the connection open.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |mut stream, _| {
            let bytes = Arc::clone(&bytes);
            async move {
                while read_request(&mut stream).await.is_some() {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One HTTP/1.1 request as it came: the head as text, and the body; `None` when the connection ends before.
///
/// # Panics
/// When the head is not text, or its length no number.
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
pub async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("ASCII");
    let length = header(&head, "content-length").map_or(0, |text| text.parse().expect("a length"));
    let mut body = bytes[end..].to_vec();
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}

/// A header's value; its name in lower case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

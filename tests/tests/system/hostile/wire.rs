//! Requests written by hand.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use spectrum_webhook_testkit::process::{Project, Server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::PATIENCE;

/// A connection to the API.
pub(super) async fn connect(server: &Server) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(server.api())).await.expect("in time").expect("a connection")
}

/// The header that lets a project in.
pub(super) fn authorization(project: &Project) -> String {
    let credentials = BASE64_STANDARD.encode(format!("{}:{}", project.id, project.secret));
    format!("Authorization: Basic {credentials}\r\n")
}

/// The head of a post, without the line that ends it; `more` are whole lines.
pub(super) fn head(project: &Project, more: &str) -> String {
    let authorization = authorization(project);
    format!("POST /projects/{}/events HTTP/1.1\r\nHost: test\r\n{authorization}{more}", project.id)
}

/// A whole post of an event.
pub(super) fn post(project: &Project, more: &str, body: &[u8]) -> Vec<u8> {
    let mut request = head(project, &format!("Content-Length: {}\r\n{more}\r\n", body.len())).into_bytes();
    request.extend_from_slice(body);
    request
}

/// What came back, and whether the other side ended the connection.
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) ended: bool,
}

impl Heard {
    /// The statuses of all answers, in order, those before the last one of a request included.
    pub(super) fn statuses(&self) -> Vec<u16> {
        // An answer may follow a body that does not end its line.
        let after = self.text.split("HTTP/1.1 ").skip(1);
        after.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
    }
}

/// Listens until the other side ends the connection, or says nothing for `quiet`.
pub(super) async fn listen(stream: &mut (impl AsyncRead + Unpin), quiet: Duration) -> Heard {
    let mut bytes = Vec::new();
    let ended = loop {
        match timeout(quiet, stream.read_buf(&mut bytes)).await {
            Err(_) => break false,
            // A reset is an end as well.
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(_)) => {}
        }
    };
    Heard { text: String::from_utf8_lossy(&bytes).into_owned(), ended }
}

/// Sends this while it listens: the other side may answer, and end, before all is sent.
pub(super) async fn exchange(server: &Server, bytes: &[u8], quiet: Duration) -> Heard {
    let mut stream = connect(server).await;
    let (mut reading, mut writing) = stream.split();
    let hearing = listen(&mut reading, quiet);
    tokio::pin!(hearing);
    tokio::select! {
        heard = &mut hearing => heard,
        // It fails when nobody listens any more.
        _ = writing.write_all(bytes) => hearing.await,
    }
}

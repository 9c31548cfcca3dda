//! Events in, over HTTP: hyper, as under the product's ingest.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Door;
use crate::progress::say;

const ACCEPTED: &str =
    "{\"succeed\":true,\"data\":{\"id\":\"00000000-0000-7000-8000-000000000000\",\"duplicate\":false}}";

pub(super) async fn serve(listen: SocketAddr, door: Door) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let door = Arc::new(door);
    say("ready");
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let door = Arc::clone(&door);
                async move { Ok::<_, Infallible>(answer(&door, request).await) }
            });
            // A client that breaks off is none of ours.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(door: &Door, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, body) = match take(door, request).await {
        Ok((202, _)) => (202, Bytes::from_static(ACCEPTED.as_bytes())),
        Ok((status, events)) => (status, [ACCEPTED, "\n"].concat().repeat(events).into()),
        Err(error) => (503, error.to_string().into()),
    };
    let mut response = Response::new(Full::new(body));
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response
}

/// The status and how many events were taken.
async fn take(door: &Door, request: Request<Incoming>) -> Result<(u16, usize)> {
    let mut parts = request.uri().path().trim_start_matches('/').split('/').skip(1);
    let project = parts.next().unwrap_or_default().parse()?;
    let is_batch = parts.nth(1).is_some();
    let body = request.into_body().collect().await?.to_bytes();
    if !is_batch {
        door.take(project, vec![body]).await?;
        return Ok((202, 1));
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let bodies: Vec<Bytes> = lines.map(|line| body.slice_ref(line)).collect();
    let events = bodies.len();
    door.take(project, bodies).await?;
    Ok((200, events))
}

//! What a caller still sends when its answer is already decided.
//!
//! A connection that is closed while its caller is still sending is reset, and the answer may be lost with it. So the
//! rest of a body that nobody wanted is read and forgotten before the answer goes out, up to a bound; what is left of
//! it then ends the connection, and the answer says so, so that the caller does not send another request into it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{HeaderMap, Version};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

/// The most bytes that are read and forgotten.
const BYTES: usize = 2 << 20;
/// The longest that it may take.
const TIME: Duration = Duration::from_secs(1);

/// Answers with whatever is behind this, once the request has been read.
pub(crate) async fn forget(request: Request, next: Next) -> Response {
    // HTTP/2 ends a stream, and its connection lives on.
    if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let asks_first = asks_first(request.headers());
    let left = Arc::new(Mutex::new(None));
    let request = request.map(|body| Body::new(Lent { body: Some(body), left: Arc::clone(&left), begun: false }));
    let mut response = next.run(request).await;
    let left = left.lock().take();
    if let Some((body, begun)) = left {
        // Reading would tell a caller that asked before it sends to send it all.
        let ended = (begun || !asks_first) && tokio::time::timeout(TIME, drain(body)).await.unwrap_or(false);
        if !ended {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    response
}

/// `Expect: 100-continue`.
fn asks_first(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

/// Whether the body came to its end.
async fn drain(body: Body) -> bool {
    let mut chunks = pin!(body.into_data_stream());
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return false };
        bytes += chunk.len();
        if bytes > BYTES {
            return false;
        }
    }
    true
}

/// A body that comes back when it is dropped before its end, and whether its reading had begun.
struct Lent {
    body: Option<Body>,
    left: Arc<Mutex<Option<(Body, bool)>>>,
    begun: bool,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.begun = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.left.lock() = Some((body, self.begun));
        }
    }
}

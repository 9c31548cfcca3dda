//! Requests that another program on the way could take for something else. What hyper takes is sound by itself; but
//! whoever stands before us may see two requests where we see one, and these shapes are how that begins. Nobody needs
//! them.

use axum::body::Body;
use axum::http::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Request, StatusCode, Version};
use axum::response::Response;

/// Whether it is framed and addressed in the one way in which everybody reads it: exactly one `Host`, as HTTP/1.1
/// demands, and no transfer coding but `chunked`, once. HTTP/2 has neither.
pub(super) fn is_plain<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let hosts = headers.get_all(HOST).iter().count();
    let addressed = match request.version() {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    };
    addressed && is_chunked_or_not_at_all(headers)
}

fn is_chunked_or_not_at_all(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(chunked) && codings.next().is_none()
}

/// `400`, and the connection ends: nobody knows what the bytes behind it are.
pub(super) fn refusal() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(headers: &[(&str, &str)]) -> bool {
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        is_plain(&request.body(()).expect("a request"))
    }

    #[test]
    fn one_host_and_at_most_one_coding_are_plain() {
        assert!(plain(&[("host", "a")]));
        assert!(plain(&[("host", "a"), ("transfer-encoding", "Chunked")]));
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "chunked;q=1", ""] {
            assert!(!plain(&[("host", "a"), ("transfer-encoding", coding)]), "{coding}");
        }
        assert!(!plain(&[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]));
        assert!(!plain(&[]) && !plain(&[("host", "a"), ("host", "a")]));
    }
}

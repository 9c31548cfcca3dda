//! From the client's error to the contract's failure. It goes by types, never by a message's text.

use std::error::Error;
use std::io;
use std::iter::successors;

use spectrum_webhook_core::attempt::Failure;

/// The failure that an error of an exchange amounts to.
pub(super) fn of(error: &reqwest::Error) -> Failure {
    let causes = || successors(error.source(), |cause| below(*cause));
    let io = || causes().filter_map(|cause| cause.downcast_ref::<io::Error>());
    if error.is_connect() {
        let handshake = causes().any(|cause| cause.is::<rustls::Error>()) || io().any(is_end);
        return if handshake { Failure::Tls } else { Failure::Connect };
    }
    // With TLS 1.3 the other side can refuse the handshake after this side has finished it.
    if causes().any(|cause| cause.is::<rustls::Error>()) {
        return Failure::Tls;
    }
    if let Some(http2) = causes().find_map(|cause| cause.downcast_ref::<h2::Error>()) {
        // Either this side found the fault in what the other sent, or the other side or the network ended it.
        return if http2.is_library() { Failure::Protocol } else { Failure::Reset };
    }
    if io().next().is_some() {
        return Failure::Reset;
    }
    match causes().find_map(|cause| cause.downcast_ref::<hyper::Error>()) {
        Some(hyper) => of_hyper(hyper),
        None => Failure::Reset,
    }
}

/// The next cause. An IO error's own is not what it wraps, but the cause of that.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Whether the other side ended a connection that it had accepted: before it stood, that is during the handshake.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

fn of_hyper(error: &hyper::Error) -> Failure {
    let broken = error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || error.is_body_write_aborted()
        || error.is_shutdown();
    // The rest is what cannot be read: a head that is too large or malformed, bytes that nobody asked for.
    if broken { Failure::Reset } else { Failure::Protocol }
}

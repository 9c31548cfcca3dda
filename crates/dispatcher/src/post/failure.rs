//! From the error of an exchange to the contract's failure. It goes by types, never by a message's text.

use std::error::Error;
use std::io;

use spectrum_webhook_core::attempt::Failure;

/// The failure that an error after the connection stood amounts to.
pub(super) fn of(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        return Failure::Protocol;
    }
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(http2) = current.downcast_ref::<h2::Error>() {
            return of_http2(http2);
        }
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return of_io(io);
        }
        cause = current.source();
    }
    let broken = error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || error.is_body_write_aborted()
        || error.is_shutdown();
    if broken { Failure::Reset } else { Failure::Protocol }
}

fn of_http2(error: &h2::Error) -> Failure {
    match error.get_io() {
        Some(io) => of_io(io),
        // This side found the fault in what the other sent.
        None if error.is_library() => Failure::Protocol,
        None => Failure::Reset,
    }
}

/// With TLS 1.3 the other side can refuse the handshake after this side has finished it.
fn of_io(error: &io::Error) -> Failure {
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
        return Failure::Tls;
    }
    match inner.and_then(|inner| inner.downcast_ref::<h2::Error>()) {
        Some(http2) if http2.is_library() => Failure::Protocol,
        _ => Failure::Reset,
    }
}

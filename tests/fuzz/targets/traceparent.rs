//! `traceparent`: what is passed on has its one form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spectrum_webhook_core::traceparent::is_valid;

/// The same by positions.
fn plain(text: &[u8]) -> bool {
    let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let hex = |from: usize, to: usize| text[from..to].iter().all(lower_hex);
    let some = |from: usize, to: usize| text[from..to].iter().any(|byte| *byte != b'0');
    text.len() == 55
        && text.starts_with(b"00-")
        && text[35] == b'-'
        && text[52] == b'-'
        && hex(3, 35)
        && hex(36, 52)
        && hex(53, 55)
        && some(3, 35)
        && some(36, 52)
}

fuzz_target!(|text: &str| assert_eq!(is_valid(text), plain(text.as_bytes()), "{text}"));

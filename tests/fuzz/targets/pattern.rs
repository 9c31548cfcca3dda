//! Patterns of event types: they fit what the plainest algorithm fits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spectrum_webhook_core::event::is_event_type;
use spectrum_webhook_core::pattern::{MAX_STARS, is_pattern, matches};

/// Row by row: whether the pattern so far fits the name so far.
fn plain(pattern: &[u8], name: &[u8]) -> bool {
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    for wanted in pattern {
        if *wanted == b'*' {
            for at in 1..=name.len() {
                fits[at] |= fits[at - 1];
            }
        } else {
            for at in (1..=name.len()).rev() {
                fits[at] = fits[at - 1] && name[at - 1] == *wanted;
            }
            fits[0] = false;
        }
    }
    fits[name.len()]
}

fuzz_target!(|input: &str| {
    let (pattern, name) = input.split_once(' ').unwrap_or((input, input));
    if is_pattern(pattern.as_bytes()) {
        assert!(is_event_type(pattern.as_bytes()));
        assert!(pattern.matches('*').count() <= MAX_STARS);
    }
    assert_eq!(matches(pattern, name), plain(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
});

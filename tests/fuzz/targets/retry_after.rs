//! `Retry-After`: bounded, and shorter the later one asks.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use spectrum_webhook_core::retry_after::{LONGEST, parse};
use spectrum_webhook_core::time::Millis;

fuzz_target!(|input: (i64, u32, &str)| {
    let (now, later, value) = input;
    let wait = parse(value, Millis(now));
    let after = parse(value, Millis(now.saturating_add(i64::from(later))));
    assert_eq!(wait.is_some(), after.is_some(), "what it is does not depend on the time");
    if let (Some(wait), Some(after)) = (wait, after) {
        assert!(after <= wait && wait <= LONGEST);
        // No shorter than by what has passed.
        assert!(wait - after <= u64::from(later));
    }
    let bare = value.trim_matches([' ', '\t']);
    if !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = bare.trim_start_matches('0');
        let exact = if seconds.len() > 6 { LONGEST } else { seconds.parse().unwrap_or(0) * 1_000 };
        assert_eq!(wait, Some(exact.min(LONGEST)));
    }
    // A date that is written is read.
    let at = Duration::from_secs(u64::from(later));
    let millis = i64::try_from(at.as_millis()).expect("a time");
    let date = httpdate::fmt_http_date(UNIX_EPOCH + at);
    let expected = u64::try_from(millis.saturating_sub(now)).unwrap_or(0).min(LONGEST);
    assert_eq!(parse(&date, Millis(now)), Some(expected));
});

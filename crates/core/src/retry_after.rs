//! `Retry-After`: how long an endpoint asks to be left alone.

use std::time::UNIX_EPOCH;

use crate::time::Millis;

/// The longest wait that is believed, in milliseconds: one day. The policy's own cap is far below it.
pub const LONGEST: u64 = 24 * 60 * 60 * 1_000;

/// The wait in milliseconds, at most [`LONGEST`]; `None` when the value is neither a number of seconds nor an HTTP
/// date. A date in the past is a wait of 0.
pub fn parse(value: &str, now: Millis) -> Option<u64> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a number beyond the cap all the same.
        let seconds = value.parse::<u64>().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1_000).min(LONGEST));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let date = i128::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    let wait = u64::try_from((date - i128::from(now.0)).max(0)).unwrap_or(u64::MAX);
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Millis = Millis(784_111_777_000);

    #[test]
    fn seconds_and_all_three_forms_of_a_date_are_waits() {
        for (value, wait) in [
            ("0", 0),
            ("7", 7_000),
            (" 120 ", 120_000),
            ("86400", LONGEST),
            ("Sun, 06 Nov 1994 08:49:47 GMT", 10_000),
            ("Sunday, 06-Nov-94 08:49:47 GMT", 10_000),
            ("Sun Nov  6 08:49:47 1994", 10_000),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ] {
            assert_eq!(parse(value, NOW), Some(wait), "{value}");
        }
    }

    #[test]
    fn a_huge_wait_is_capped() {
        for value in ["86401", "18446744073709551615", "99999999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(parse(value, NOW), Some(LONGEST), "{value}");
        }
    }

    #[test]
    fn garbage_is_no_wait() {
        for value in ["", " ", "-1", "+5", "1.5", "1e3", "0x10", "soon", "5 seconds", "１２", "Sun, 06 Nov 1994"] {
            assert_eq!(parse(value, NOW), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_value_breaks_it(value in any::<String>(), now in any::<i64>()) {
            prop_assert!(parse(&value, Millis(now)).is_none_or(|wait| wait <= LONGEST));
        }
    }
}

//! Times, numbers and causes in words.

use std::fmt;

use crate::attempt::Failure;
use crate::delivery::LastAttempt;
use crate::ports::Line;
use crate::time::Millis;
use crate::webhook::DisabledReason;

/// A moment to the second, in ISO 8601: `2026-01-02T03:04:05Z`.
pub(super) struct At(pub(super) Millis);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0.div_euclid(1_000);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The date of a day, counted from 1970-01-01. Years are counted from March, so that the leap day is their last one.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// When something planned happens: `at …`, or `now` when its time has come.
pub(super) fn when(at: Millis, now: Millis) -> String {
    if at > now { format!("at {}", At(at)) } else { "now".to_owned() }
}

/// What an attempt ran into, behind `because`.
pub fn cause(last: LastAttempt) -> String {
    let said = match last {
        LastAttempt::Status(status) => return format!("the URL answered {status}"),
        LastAttempt::Failed(failure) => match failure {
            Failure::UrlRefused => "the URL is not one that may be called",
            Failure::AddressRefused => "its host has an address that may not be called",
            Failure::NameNotFound => "its host does not exist",
            Failure::NoAddress => "its host has no address",
            Failure::DnsNoVerdict => "its host's name could not be looked up",
            Failure::Connect => "no connection could be made",
            Failure::Tls => "the TLS handshake failed",
            Failure::Timeout => "the URL did not answer in time",
            Failure::Reset => "the connection broke before an answer came",
            Failure::Protocol => "the answer was not HTTP",
        },
    };
    said.to_owned()
}

/// Why a webhook is disabled, behind `because`.
pub(super) fn why_disabled(reason: DisabledReason) -> &'static str {
    match reason {
        DisabledReason::Manual => "someone switched it off",
        DisabledReason::Gone => "the URL answered 410",
        DisabledReason::Outage => "the URL was down for too long",
    }
}

/// `1 attempt`, `2 attempts`, `10000 attempts or more` (rows are counted up to [`Line::MOST`]).
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ if number >= Line::MOST => format!("{number} {many} or more"),
        _ => format!("{number} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_as_the_calendar_has_it() {
        for (millis, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(At(Millis(millis)).to_string(), shown);
        }
    }
}

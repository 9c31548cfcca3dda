//! What a response means: the table of the wire contract.

use crate::attempt::{Ended, Failure};

/// The verdict on one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The endpoint took the event.
    Delivered,
    /// Try again: after the schedule's wait, or as long as the endpoint asked for (in milliseconds).
    Retriable {
        /// The endpoint's own wish.
        retry_after: Option<u64>,
    },
    /// Give this event up.
    Fatal,
    /// `410 Gone`: give this event up, and send no more.
    Gone,
}

/// The verdict on how an attempt ended.
pub fn classify(ended: Ended) -> Verdict {
    match ended {
        Ended::Answered { status, retry_after } => match status {
            200..=299 => Verdict::Delivered,
            410 => Verdict::Gone,
            429 | 503 => Verdict::Retriable { retry_after },
            408 => Verdict::Retriable { retry_after: None },
            300..=499 => Verdict::Fatal,
            // Beyond 599 there are no statuses, and HTTP wants them taken for a 5xx; a 1xx is no answer.
            _ => Verdict::Retriable { retry_after: None },
        },
        Ended::Failed(failure) => match failure {
            Failure::UrlRefused | Failure::AddressRefused | Failure::NameNotFound | Failure::NoAddress => {
                Verdict::Fatal
            }
            Failure::DnsNoVerdict
            | Failure::Connect
            | Failure::Tls
            | Failure::Timeout
            | Failure::Reset
            | Failure::Protocol => Verdict::Retriable { retry_after: None },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Verdict {
        classify(Ended::Answered { status, retry_after: Some(7) })
    }

    #[test]
    fn every_status_has_the_contracts_verdict() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => Verdict::Delivered,
                429 | 503 => Verdict::Retriable { retry_after: Some(7) },
                410 => Verdict::Gone,
                408 | 100..=199 | 500..=999 => Verdict::Retriable { retry_after: None },
                _ => Verdict::Fatal,
            };
            assert_eq!(answered(status), expected, "{status}");
        }
    }

    #[test]
    fn what_no_repetition_mends_is_fatal_and_was_never_sent() {
        for failure in Failure::ALL {
            let fatal = classify(Ended::Failed(failure)) == Verdict::Fatal;
            let refused = matches!(
                failure,
                Failure::UrlRefused | Failure::AddressRefused | Failure::NameNotFound | Failure::NoAddress
            );
            assert_eq!(fatal, refused, "{}", failure.code());
            assert!(!(fatal && failure.sent()));
        }
    }
}

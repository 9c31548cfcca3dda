//! An attempt: one HTTP request of a delivery, how it ended, and the line that the delivery log keeps of it.

use std::net::SocketAddr;

use crate::delivery::{DeliveryKey, LastAttempt};
use crate::ids::{EventId, ProjectId, Sequence};
use crate::time::Millis;

/// Why an attempt has no status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The URL is not one that may be called: wrong scheme, no host, not a URL.
    UrlRefused,
    /// The host resolves to an address that may not be called.
    AddressRefused,
    /// The host does not exist (NXDOMAIN).
    NameNotFound,
    /// The host exists and has no address.
    NoAddress,
    /// The resolver gave no verdict (SERVFAIL, time-out).
    DnsNoVerdict,
    /// The connection was refused, or timed out before it stood.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// No status within the attempt's time.
    Timeout,
    /// The connection broke after the request was sent.
    Reset,
    /// The answer is not HTTP.
    Protocol,
}

impl Failure {
    /// All of them, for tables and metrics.
    pub const ALL: [Self; 10] = [
        Self::UrlRefused,
        Self::AddressRefused,
        Self::NameNotFound,
        Self::NoAddress,
        Self::DnsNoVerdict,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Protocol,
    ];

    /// The stable word for it, in the store, metrics and API.
    pub fn code(self) -> &'static str {
        match self {
            Self::UrlRefused => "url_refused",
            Self::AddressRefused => "address_refused",
            Self::NameNotFound => "name_not_found",
            Self::NoAddress => "no_address",
            Self::DnsNoVerdict => "dns_no_verdict",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
        }
    }

    /// The failure of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|failure| failure.code() == code)
    }

    /// Whether the request went out: the guard, DNS, connect and TLS had all succeeded.
    pub fn sent(self) -> bool {
        matches!(self, Self::Timeout | Self::Reset | Self::Protocol)
    }
}

/// How an attempt ended, as far as the verdict on it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The status line came.
    Answered {
        /// The status.
        status: u16,
        /// `Retry-After` of a 429 or 503, as a wait in milliseconds.
        retry_after: Option<u64>,
    },
    /// No status line came.
    Failed(Failure),
}

impl Ended {
    /// Whether the request was sent.
    pub fn sent(self) -> bool {
        match self {
            Self::Answered { .. } => true,
            Self::Failed(failure) => failure.sent(),
        }
    }

    /// The same, as a dead letter remembers it.
    pub fn last(self) -> LastAttempt {
        match self {
            Self::Answered { status, .. } => LastAttempt::Status(status),
            Self::Failed(failure) => LastAttempt::Failed(failure),
        }
    }
}

/// What becomes of a delivery after an attempt, as it was decided when the attempt was logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing more: it is delivered.
    Delivered,
    /// It is tried again then.
    Retry(Millis),
    /// It waits aside until the next ones tell whether it is poison or the URL is down.
    SetAside,
    /// The URL is down: it is tried again then, or after those before it.
    Outage(Millis),
    /// It is a dead letter.
    DeadLetter,
    /// It waits in the backlog of a disabled webhook.
    Disabled,
    /// It is dropped with its webhook.
    Dropped,
    /// Nothing was decided yet.
    Undecided,
}

impl Next {
    /// The stable word for it, in the store and in the API; `None` while nothing is decided.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Delivered => Some("delivered"),
            Self::Retry(_) => Some("retry"),
            Self::SetAside => Some("set_aside"),
            Self::Outage(_) => Some("outage"),
            Self::DeadLetter => Some("dead_letter"),
            Self::Disabled => Some("disabled"),
            Self::Dropped => Some("dropped"),
            Self::Undecided => None,
        }
    }

    /// What a code and a time say; `None` when there is no such code, or it lacks its time.
    pub fn from_code(code: Option<&str>, at: Option<Millis>) -> Option<Self> {
        match code {
            None => Some(Self::Undecided),
            Some("delivered") => Some(Self::Delivered),
            Some("retry") => at.map(Self::Retry),
            Some("set_aside") => Some(Self::SetAside),
            Some("outage") => at.map(Self::Outage),
            Some("dead_letter") => Some(Self::DeadLetter),
            Some("disabled") => Some(Self::Disabled),
            Some("dropped") => Some(Self::Dropped),
            Some(_) => None,
        }
    }

    /// When it is tried again.
    pub fn at(self) -> Option<Millis> {
        match self {
            Self::Retry(at) | Self::Outage(at) => Some(at),
            _ => None,
        }
    }
}

/// The delivery log's line for one attempt.
#[derive(Clone, PartialEq, Debug)]
pub struct AttemptRecord {
    /// The delivery, by the event as receivers know it.
    pub key: DeliveryKey,
    /// The id of the resend that it was an attempt of.
    pub resend: Option<EventId>,
    /// The project.
    pub project: ProjectId,
    /// The body's `event`.
    pub event_type: String,
    /// The event's place.
    pub sequence: Sequence,
    /// 1, 2, …
    pub number: u32,
    /// When it was signed.
    pub started_at: Millis,
    /// Until the connection stood (0 on a kept one), in milliseconds; `None` when it never did.
    pub connect_ms: Option<u32>,
    /// Until the status line, in milliseconds.
    pub first_byte_ms: Option<u32>,
    /// Until the end, in milliseconds.
    pub total_ms: u32,
    /// How it ended.
    pub ended: Ended,
    /// The judged address that was called.
    pub address: Option<SocketAddr>,
    /// The start of the response's body, control characters escaped, capped.
    pub snippet: String,
    /// What happens next.
    pub next: Next,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_its_code_is_read_by_it() {
        for failure in Failure::ALL {
            assert_eq!(Failure::from_code(failure.code()), Some(failure));
        }
        let at = Millis(7);
        for next in [
            Next::Delivered,
            Next::Retry(at),
            Next::SetAside,
            Next::Outage(at),
            Next::DeadLetter,
            Next::Disabled,
            Next::Dropped,
            Next::Undecided,
        ] {
            assert_eq!(Next::from_code(next.code(), next.at()), Some(next));
        }
        assert_eq!(Next::from_code(Some("retry"), None), None, "it lacks its time");
        assert_eq!((Failure::from_code("?"), Next::from_code(Some("?"), None)), (None, None));
    }
}

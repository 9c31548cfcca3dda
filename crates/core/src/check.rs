//! What a check of a webhook tells: one signed request, step by step, each with a verdict and a sentence for whoever
//! looks after the receiver.

use std::net::SocketAddr;

use serde::Serialize;

use crate::attempt::{Ended, Failure};
use crate::classify::{Verdict, classify};

/// What came of one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// It is not: deliveries fail here.
    Failed,
    /// A step before it failed.
    NotReached,
}

/// One step of a check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// `url`, `name`, `address`, `connection`, `tls`, `request`, `answer`.
    pub step: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// What that means, and what to do.
    pub sentence: String,
}

/// The steps of a check, and whether all of them passed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether deliveries would succeed, as far as one request tells.
    pub passed: bool,
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// The whole request's time in milliseconds.
    pub total_ms: u32,
    /// The start of the answer's body, control characters escaped.
    pub response: String,
}

/// What one request of a check came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probed {
    /// Whether the URL is `https`.
    pub https: bool,
    /// How it ended.
    pub ended: Ended,
    /// The address that was called.
    pub address: Option<SocketAddr>,
    /// Until the status line, in milliseconds.
    pub first_byte_ms: Option<u32>,
}

const STEPS: [&str; 7] = ["url", "name", "address", "connection", "tls", "request", "answer"];

/// The steps of a request, in order; a plain `http` URL has no `tls`.
pub fn steps(probed: &Probed) -> Vec<Step> {
    let (broken, sentence) = verdict(probed);
    let broken_at = STEPS.iter().position(|step| *step == broken);
    let steps = STEPS.iter().enumerate().filter(|(_, step)| probed.https || **step != "tls");
    steps
        .map(|(at, step)| match broken_at {
            Some(broken) if at == broken => Step { step, outcome: Outcome::Failed, sentence: sentence.clone() },
            Some(broken) if at > broken => {
                Step { step, outcome: Outcome::NotReached, sentence: "Not reached.".to_owned() }
            }
            _ => Step { step, outcome: Outcome::Passed, sentence: passed(step, probed) },
        })
        .collect()
}

/// The step that failed and what is to be said of it; `("", …)` when none did.
fn verdict(probed: &Probed) -> (&'static str, String) {
    match probed.ended {
        Ended::Failed(failure) => {
            let (step, sentence) = failed(failure);
            (step, sentence.to_owned())
        }
        Ended::Answered { status, .. } => match classify(probed.ended) {
            Verdict::Delivered => ("", String::new()),
            Verdict::Gone => (
                "answer",
                "It answered 410: a delivery that is answered so disables the webhook. Answer 2xx to take an event."
                    .to_owned(),
            ),
            Verdict::Retriable { .. } => (
                "answer",
                format!("It answered {status}: deliveries are tried again. Answer 2xx once an event is taken."),
            ),
            Verdict::Fatal if (300..400).contains(&status) => (
                "answer",
                format!("It answered {status}: redirects are not followed. Register the URL that it leads to."),
            ),
            Verdict::Fatal => (
                "answer",
                format!(
                    "It answered {status}: deliveries that are answered so are given up. Answer 2xx to take an event; \
                     if the signature was refused, compare the signing secret."
                ),
            ),
        },
    }
}

fn failed(failure: Failure) -> (&'static str, &'static str) {
    match failure {
        Failure::UrlRefused => ("url", "The URL may not be called: register an https URL with a host."),
        Failure::NameNotFound => {
            ("name", "The host does not exist (NXDOMAIN): correct the URL, or add the DNS record.")
        }
        Failure::NoAddress => ("name", "The host has no address: add an A or AAAA record."),
        Failure::DnsNoVerdict => ("name", "DNS gave no answer in time: look at the name servers of the host's domain."),
        Failure::AddressRefused => {
            ("address", "The host resolves to an address that is not public: only public addresses are called.")
        }
        Failure::Connect => (
            "connection",
            "No connection came about: see that the server runs, listens on this port, and that no firewall is before it.",
        ),
        Failure::Tls => (
            "tls",
            "The TLS handshake failed: the certificate must be valid, name this host, and come with its whole chain.",
        ),
        Failure::Timeout => {
            ("request", "No answer came in time: take the event, answer 2xx, and do the work afterwards.")
        }
        Failure::Reset => ("request", "The connection broke before an answer: look into the server's log."),
        Failure::Protocol => ("request", "What came back is not HTTP: see that the port is a web server's."),
    }
}

fn passed(step: &str, probed: &Probed) -> String {
    match (step, probed.ended) {
        ("url", _) => "The URL may be called.".to_owned(),
        ("name", _) => "The host has an address.".to_owned(),
        ("address", _) => "All addresses of the host may be called.".to_owned(),
        ("connection", _) => match probed.address {
            Some(address) => format!("Connected to {address}."),
            None => "Connected.".to_owned(),
        },
        ("tls", _) => "The certificate is valid for the host.".to_owned(),
        ("request", _) => match probed.first_byte_ms {
            Some(millis) => format!("The signed request was answered after {millis} ms."),
            None => "The signed request was sent.".to_owned(),
        },
        (_, Ended::Answered { status, .. }) => format!("It answered {status}: the event is taken."),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(https: bool, ended: Ended) -> Probed {
        Probed { https, ended, address: "203.0.113.7:443".parse().ok(), first_byte_ms: Some(12) }
    }

    fn answered(status: u16) -> Ended {
        Ended::Answered { status, retry_after: None }
    }

    /// The step that failed.
    fn broken(ended: Ended) -> Option<&'static str> {
        steps(&probed(true, ended)).iter().find(|step| step.outcome == Outcome::Failed).map(|step| step.step)
    }

    #[test]
    fn a_receiver_that_takes_the_event_passes_every_step() {
        let all = steps(&probed(true, answered(204)));
        assert_eq!(all.iter().map(|step| step.step).collect::<Vec<_>>(), STEPS);
        assert!(all.iter().all(|step| step.outcome == Outcome::Passed && !step.sentence.is_empty()), "{all:?}");
        let plain = steps(&probed(false, answered(200)));
        assert!(plain.iter().all(|step| step.step != "tls"), "{plain:?}");
    }

    #[test]
    fn every_failure_breaks_one_step_and_those_behind_it_are_not_reached() {
        for failure in Failure::ALL {
            let all = steps(&probed(true, Ended::Failed(failure)));
            let at = all.iter().position(|step| step.outcome == Outcome::Failed).expect("one failed");
            assert!(all[..at].iter().all(|step| step.outcome == Outcome::Passed), "{failure:?}: {all:?}");
            assert!(all[at + 1..].iter().all(|step| step.outcome == Outcome::NotReached), "{failure:?}: {all:?}");
            // What was sent broke behind TLS, what was not before it.
            assert_eq!(failure.sent(), at > 4, "{failure:?} broke at {}", all[at].step);
        }
    }

    #[test]
    fn an_answer_that_takes_nothing_is_told_by_what_becomes_of_deliveries() {
        for (status, words) in
            [(410, "disables"), (503, "tried again"), (301, "redirects are not followed"), (401, "given up")]
        {
            assert_eq!(broken(answered(status)), Some("answer"), "{status}");
            let all = steps(&probed(true, answered(status)));
            let sentence = &all.last().expect("an answer").sentence;
            assert!(sentence.contains(words) && sentence.contains(&status.to_string()), "{sentence}");
        }
    }
}

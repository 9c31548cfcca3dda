//! What the oracle says.

use std::fmt;

use crate::history::{At, EventId, ProjectNo, WebhookId};

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each says itself what its parts are, as text")]
pub enum Violation {
    /// An event with a `202` was neither taken nor is it a dead letter.
    Lost { project: ProjectNo, number: u32, event: EventId, webhook: WebhookId, answered: At, requests: usize },
    /// An event first arrived after one that was posted later.
    Swapped { webhook: WebhookId, late: EventId, late_number: u32, before: EventId, before_number: u32, at: At },
    /// The number of a first arrival is missing, or not above all before it.
    Unnumbered { webhook: WebhookId, event: EventId, at: At },
    /// The bytes are not those that were posted.
    Rebuilt { webhook: WebhookId, event: EventId, at: At },
    /// A signature fits no key that was valid.
    Signature { webhook: WebhookId, event: EventId, header: &'static str, at: At },
    /// A time stamp is missing, or was not taken for this attempt.
    Stale { webhook: WebhookId, event: EventId, at: At },
    /// A request began after a webhook had been deleted or disabled.
    AfterStop { webhook: WebhookId, event: EventId, stop: &'static str, answered: At, at: At },
    /// A dead letter whose reason is not what happened.
    Untrue { webhook: WebhookId, event: EventId, reason: String, why: &'static str },
    /// More repeats of a delivery than faults explain.
    Repeated { webhook: WebhookId, event: EventId, times: usize, explained: usize, first: At },
    /// An event that nobody posted.
    Unknown { webhook: WebhookId, event: EventId, at: At },
    /// A request to a webhook that nobody registered.
    Stranger { webhook: WebhookId, path: String, at: At },
    /// An event at a webhook that was registered after it, or that is of another project or path.
    NotDue { webhook: WebhookId, event: EventId, at: At },
    /// The counters of a process do not add up.
    Books { process: String, missing: i64 },
    /// Something is pending though all is quiet.
    Pending { process: String, deliveries: i64 },
}

impl Violation {
    /// The webhook and the event that it is about, if it is about one.
    pub fn about(&self) -> Option<(&WebhookId, &EventId)> {
        match self {
            Self::Swapped { webhook, late: event, .. }
            | Self::Lost { webhook, event, .. }
            | Self::Unnumbered { webhook, event, .. }
            | Self::Rebuilt { webhook, event, .. }
            | Self::Signature { webhook, event, .. }
            | Self::Stale { webhook, event, .. }
            | Self::AfterStop { webhook, event, .. }
            | Self::Untrue { webhook, event, .. }
            | Self::Repeated { webhook, event, .. }
            | Self::Unknown { webhook, event, .. }
            | Self::NotDue { webhook, event, .. } => Some((webhook, event)),
            Self::Stranger { .. } | Self::Books { .. } | Self::Pending { .. } => None,
        }
    }

    /// Its kind, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Swapped { .. } => "swapped",
            Self::Unnumbered { .. } => "unnumbered",
            Self::Rebuilt { .. } => "rebuilt",
            Self::Signature { .. } => "signature",
            Self::Stale { .. } => "stale",
            Self::AfterStop { .. } => "after-stop",
            Self::Untrue { .. } => "untrue-letter",
            Self::Repeated { .. } => "repeated",
            Self::Unknown { .. } => "unknown-event",
            Self::Stranger { .. } => "unknown-webhook",
            Self::NotDue { .. } => "not-due",
            Self::Books { .. } => "books",
            Self::Pending { .. } => "pending",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { project, number, event, webhook, answered, requests } => write!(
                f,
                "lost: event {event} (post {number} of project {}), answered with 202 at {answered}, was never taken by \
                 webhook {webhook} ({requests} requests) and is no dead letter",
                project.0
            ),
            Self::Swapped { webhook, late, late_number, before, before_number, at } => write!(
                f,
                "swapped: at webhook {webhook} event {late} (post {late_number}) first came at {at}, after {before} \
                 (post {before_number})"
            ),
            Self::Unnumbered { webhook, event, at } => write!(
                f,
                "unnumbered: at webhook {webhook} the sequence of event {event}, first come at {at}, is not above all \
                 before it"
            ),
            Self::Rebuilt { webhook, event, at } => {
                write!(f, "rebuilt: at webhook {webhook} event {event} came at {at} with other bytes than posted")
            }
            Self::Signature { webhook, event, header, at } => write!(
                f,
                "signature: at webhook {webhook} `{header}` of event {event}, come at {at}, fits no key that was valid"
            ),
            Self::Stale { webhook, event, at } => write!(
                f,
                "stale: at webhook {webhook} the time stamp of event {event}, come at {at}, is missing or not of this \
                 attempt"
            ),
            Self::AfterStop { webhook, event, stop, answered, at } => write!(
                f,
                "after-stop: a request of event {event} to webhook {webhook} began at {at}; it was {stop} at {answered}"
            ),
            Self::Untrue { webhook, event, reason, why } => {
                write!(f, "untrue-letter: event {event} at webhook {webhook} is a dead letter as `{reason}`: {why}")
            }
            Self::Repeated { webhook, event, times, explained, first } => write!(
                f,
                "repeated: event {event}, taken by webhook {webhook} at {first}, came {times} times more; faults explain \
                 {explained}"
            ),
            Self::Unknown { webhook, event, at } => {
                write!(f, "unknown-event: webhook {webhook} got event {event} at {at}, which nobody posted")
            }
            Self::Stranger { webhook, path, at } => {
                write!(
                    f,
                    "unknown-webhook: a request to {path} at {at} is of webhook {webhook}, which nobody registered"
                )
            }
            Self::NotDue { webhook, event, at } => {
                write!(f, "not-due: webhook {webhook} got event {event} at {at}, which is not for it")
            }
            Self::Books { process, missing } => {
                write!(f, "books: of the deliveries of {process}, {missing} are nowhere")
            }
            Self::Pending { process, deliveries } => {
                write!(f, "pending: {deliveries} deliveries of {process} are on their way though all is quiet")
            }
        }
    }
}

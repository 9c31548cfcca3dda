//! A delivery: one event on its way to one webhook, and where it can rest on the way.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::attempt::Failure;
use crate::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::time::Millis;

/// What identifies a delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeliveryKey {
    /// The event.
    pub event: EventId,
    /// The webhook.
    pub webhook: WebhookId,
}

/// An accepted event as the queue carries it: the envelope in its properties, and the body as its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its identity.
    pub id: EventId,
    /// Its project.
    pub project: ProjectId,
    /// The body's `event`: 1 to 64 visible ASCII characters.
    pub event_type: String,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// The version of the project's registry that it was accepted under.
    pub registry: RegistryVersion,
    /// The W3C `traceparent` of the request that posted it.
    pub traceparent: Option<String>,
    /// The bytes that were posted, never rebuilt.
    pub body: Bytes,
}

/// A delivery that rests in the backlog, read back from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldDelivery {
    /// Its place.
    pub sequence: Sequence,
    /// Attempts that failed so far.
    pub attempts: u32,
    /// Whether one of them was sent.
    pub sent: bool,
    /// The event.
    pub message: Message,
}

/// Whose fault a dead letter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The endpoint refused it or could not take it.
    Receiver,
    /// This system could not deliver it.
    Platform,
}

/// Why a delivery was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// A response or a verdict that no repetition mends.
    Fatal,
    /// All attempts failed while a later event was delivered: it breaks the receiver.
    Poison,
    /// It waited longer than backlogs are kept.
    Expired,
}

impl DeadReason {
    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Poison => "poison",
            Self::Expired => "expired",
        }
    }
}

/// How the last attempt of a delivery ended: a status, or a failure without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastAttempt {
    /// The endpoint answered with this status.
    Status(u16),
    /// There was no answer.
    Failed(Failure),
}

impl LastAttempt {
    /// The stable word for it: `status_503`, `timeout`, …
    pub fn code(self) -> String {
        match self {
            Self::Status(status) => format!("status_{status}"),
            Self::Failed(failure) => failure.code().to_owned(),
        }
    }
}

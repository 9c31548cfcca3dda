//! A delivery: one event on its way to one webhook, and where it can rest on the way.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::attempt::Failure;
use crate::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::ordering::Space;
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
    /// What it asks for.
    pub purpose: Purpose,
    /// The bytes that were posted, never rebuilt; none of a [`Purpose::Steering`].
    pub body: Bytes,
}

impl Message {
    /// The event as receivers know it: a resend's message has an id of its own.
    pub fn event(&self) -> EventId {
        match &self.purpose {
            Purpose::Directed(directed) => directed.event,
            Purpose::Event | Purpose::Steering(_) => self.id,
        }
    }

    /// The id of a resend.
    pub fn resend(&self) -> Option<EventId> {
        (self.event() != self.id).then_some(self.id)
    }

    /// The one webhook that it is for.
    pub fn only(&self) -> Option<WebhookId> {
        match &self.purpose {
            Purpose::Event => None,
            Purpose::Directed(directed) => Some(directed.webhook),
            Purpose::Steering(steering) => Some(steering.webhook),
        }
    }
}

/// What a message asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// An event, for every webhook that takes it.
    #[default]
    Event,
    /// An event for one webhook alone, whatever types that takes: a resend, or a test.
    Directed(Directed),
    /// What a person wants of one webhook's lane. It takes its turn in the queue, for nobody but the lane's owner
    /// changes the lane's rows.
    Steering(Box<Steering>),
}

/// An event for one webhook alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Directed {
    /// The webhook.
    pub webhook: WebhookId,
    /// The event as receivers know it. A resend's message has another id, by which marks, rows and look-ups know it.
    pub event: EventId,
}

/// What a person wants of one webhook's lane; the message's id names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Steering {
    /// The webhook.
    pub webhook: WebhookId,
    /// What is to be done.
    pub command: Command,
    /// Why, in the person's words: 1 to 500 characters.
    pub reason: String,
}

/// What can be done to a lane. Each can be repeated: done once more it does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Ends an outage, and tries at once what waits for its next attempt.
    Resume,
    /// Makes a dead letter of this one delivery (named by its message) if it still waits.
    Skip(EventId),
    /// Drops all that waits and was accepted up to this time.
    Drop(Millis),
    /// Makes one request to the webhook, beside its lane, and tells how it went; the message's body is the request's.
    Check,
}

impl Command {
    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Skip(_) => "skip",
            Self::Drop(_) => "drop",
            Self::Check => "check",
        }
    }
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
    /// The event's space.
    pub space: Space,
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

impl Fault {
    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Platform => "platform",
        }
    }

    /// The fault of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Receiver, Self::Platform].into_iter().find(|fault| fault.code() == code)
    }
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
    /// A person took it out of the way of those behind it.
    Skipped,
    /// A person dropped it with all that waited. Its row stays closed for a while: a copy of its message that comes
    /// again would otherwise be delivered, behind those that came after it.
    Dropped,
}

impl DeadReason {
    /// The reason of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Fatal, Self::Poison, Self::Expired, Self::Skipped, Self::Dropped]
            .into_iter()
            .find(|reason| reason.code() == code)
    }

    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Poison => "poison",
            Self::Expired => "expired",
            Self::Skipped => "skipped",
            Self::Dropped => "dropped",
        }
    }
}

/// How a dead letter was closed. A closed one stays for a while, for whoever asks, and so that a copy of its message
/// that comes again is known to be settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// It was sent again.
    Resent,
    /// A person discarded it.
    Discarded,
    /// A person dropped it while it waited.
    Dropped,
}

impl Closing {
    /// The closing of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Resent, Self::Discarded, Self::Dropped].into_iter().find(|closing| closing.code() == code)
    }

    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Resent => "resent",
            Self::Discarded => "discarded",
            Self::Dropped => "dropped",
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

    /// The end of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        match code.strip_prefix("status_") {
            Some(status) => status.parse().ok().map(Self::Status),
            None => Failure::from_code(code).map(Self::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_its_code_is_read_by_it() {
        for last in [LastAttempt::Status(503), LastAttempt::Failed(Failure::Timeout)] {
            assert_eq!(LastAttempt::from_code(&last.code()), Some(last));
        }
        for reason in
            [DeadReason::Fatal, DeadReason::Poison, DeadReason::Expired, DeadReason::Skipped, DeadReason::Dropped]
        {
            assert_eq!(DeadReason::from_code(reason.code()), Some(reason));
        }
        for fault in [Fault::Receiver, Fault::Platform] {
            assert_eq!(Fault::from_code(fault.code()), Some(fault));
        }
        for closing in [Closing::Resent, Closing::Discarded, Closing::Dropped] {
            assert_eq!(Closing::from_code(closing.code()), Some(closing));
        }
        assert_eq!((LastAttempt::from_code("status_x"), DeadReason::from_code("")), (None, None));
    }
}

//! Dead letters, as people read them and what people do about them. A closed one stays for a while: nothing of a lane
//! changes when it is closed.

use async_trait::async_trait;

use super::PortError;
use crate::delivery::{Closing, DeadReason, Fault, Message};
use crate::ids::{EventId, ProjectId, Sequence, WebhookId};
use crate::time::Millis;

/// A delivery that was given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The message that died: the event, or a resend of it.
    pub id: EventId,
    /// The event as receivers know it.
    pub event: EventId,
    /// Its webhook, which may be deleted.
    pub webhook: WebhookId,
    /// The event's type.
    pub event_type: String,
    /// Its place.
    pub sequence: Sequence,
    /// Why it was given up.
    pub reason: DeadReason,
    /// Whose fault that was.
    pub fault: Fault,
    /// Attempts that failed.
    pub attempts: u32,
    /// How the last of them ended, by [`crate::delivery::LastAttempt::code`].
    pub last: Option<String>,
    /// When the message was accepted.
    pub accepted_at: Millis,
    /// When it was given up.
    pub died_at: Millis,
    /// Since when it is closed, and how.
    pub closed: Option<(Millis, Closing)>,
    /// What was said when it was closed.
    pub closed_reason: Option<String>,
    /// The resend that was made of it, or begun.
    pub resent_as: Option<EventId>,
}

/// What a person looks for among a project's dead letters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LetterQuery {
    /// The project.
    pub project: ProjectId,
    /// Of one webhook alone.
    pub webhook: Option<WebhookId>,
    /// Closed ones alone, or open ones; `None` is both.
    pub closed: Option<bool>,
    /// Of one reason alone.
    pub reason: Option<DeadReason>,
    /// Of one fault alone.
    pub fault: Option<Fault>,
    /// Given up at this time or later.
    pub from: Option<Millis>,
    /// Given up before this time.
    pub to: Option<Millis>,
    /// Behind this one: when it was given up, the message, the webhook.
    pub after: Option<(Millis, EventId, WebhookId)>,
    /// At most so many.
    pub limit: u32,
}

/// A resend of a dead letter that was begun, perhaps not for the first time: its message is to be published, and may be in
/// the queue already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resending {
    /// The id of the resend.
    pub id: EventId,
    /// The message that died, with its body.
    pub message: Message,
}

/// A step of discarding dead letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discarded {
    /// How many were discarded. Others may close some at the same time.
    pub letters: u64,
    /// The step reached its limit: there may be more.
    pub more: bool,
}

/// Dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// A project's dead letters, those given up last first.
    async fn letters(&self, query: &LetterQuery) -> Result<Vec<DeadLetter>, PortError>;

    /// One with its message, or `None`.
    async fn letter(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        id: EventId,
    ) -> Result<Option<(DeadLetter, Message)>, PortError>;

    /// Notes that an open one is sent again as `proposed`, or as what was proposed before: of two who do it at the same
    /// time, and of one who does it again after a crash, both publish the same message. `None` when it is closed or not
    /// there.
    async fn begin_resend(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        id: EventId,
        proposed: EventId,
    ) -> Result<Option<Resending>, PortError>;

    /// Closes one whose resend was taken by the queue.
    async fn end_resend(&self, webhook: WebhookId, id: EventId, at: Millis) -> Result<(), PortError>;

    /// Discards open ones: those that are named, or up to `limit` of all that the webhook had at that time, oldest first.
    async fn discard(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        ids: Option<&[EventId]>,
        reason: &str,
        at: Millis,
        limit: u32,
    ) -> Result<Discarded, PortError>;
}

//! Insight: what is known of attempts, events and webhooks, for whoever asks what became of an event. It only reads,
//! and what it reads is bounded, whatever is asked.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{LaneRecord, PortError};
use crate::attempt::{AttemptRecord, Failure};
use crate::delivery::{Closing, DeadReason, Fault, LastAttempt, Message};
use crate::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::ordering::Space;
use crate::time::Millis;
use crate::webhook::Webhook;

/// The place of an attempt in the delivery log, which is read newest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct AttemptKey {
    /// When it started.
    pub started_at: Millis,
    /// Its event.
    pub event: EventId,
    /// Its webhook.
    pub webhook: WebhookId,
    /// Its number.
    pub number: u32,
}

impl AttemptKey {
    /// The key of an attempt.
    pub fn of(attempt: &AttemptRecord) -> Self {
        let AttemptRecord { key, started_at, number, .. } = attempt;
        Self { started_at: *started_at, event: key.event, webhook: key.webhook, number: *number }
    }
}

/// Which attempts are wanted; `None` is all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttemptFilter {
    /// To this webhook, deleted or not.
    pub webhook: Option<WebhookId>,
    /// Of this event, its resends included.
    pub event: Option<EventId>,
    /// Whether they were answered with 2xx.
    pub delivered: Option<bool>,
    /// Answered with a status from the first to the second, both included.
    pub status: Option<(u16, u16)>,
    /// Failed without a status, for this reason.
    pub failure: Option<Failure>,
    /// Of events of this type.
    pub event_type: Option<String>,
    /// Started then or later.
    pub from: Option<Millis>,
    /// Started before.
    pub to: Option<Millis>,
    /// Older than this one: where an earlier page ended.
    pub after: Option<AttemptKey>,
}

impl AttemptFilter {
    /// Whether rows must be looked at one by one: webhook, event and time lead to theirs.
    pub fn looks_into_rows(&self) -> bool {
        self.delivered.is_some() || self.status.is_some() || self.failure.is_some() || self.event_type.is_some()
    }
}

/// A page of the delivery log, newest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AttemptPage {
    /// The attempts; fewer than were asked for, even none, when many rows had to be looked through for them.
    pub attempts: Vec<AttemptRecord>,
    /// Where the next page begins, when there may be more.
    pub next: Option<AttemptKey>,
}

/// What is known of one event: of its envelope, and of each webhook that it may concern.
#[derive(Clone, PartialEq, Debug)]
pub struct EventFacts {
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// When it was accepted; by its id, when only the delivery log knows it.
    pub accepted_at: Millis,
    /// The registry version that it was accepted under, as long as the event itself is kept.
    pub registry: Option<RegistryVersion>,
    /// The size of its body in bytes, as long as that is kept.
    pub size: Option<u64>,
    /// It was for one webhook alone: a test.
    pub directed: bool,
    /// The project's webhooks, oldest first, 1,000 at most; of deleted ones those that were there when it was accepted
    /// or have something of it.
    pub recipients: Vec<Recipient>,
}

/// What is known of one event at one webhook.
#[derive(Clone, PartialEq, Debug)]
pub struct Recipient {
    /// The webhook.
    pub webhook: Webhook,
    /// When it was deleted.
    pub deleted_at: Option<Millis>,
    /// What its lane remembers.
    pub lane: Option<LaneRecord>,
    /// The delivery of the event itself.
    pub own: Track,
    /// Its resends to this webhook, oldest first.
    pub resends: Vec<(EventId, Track)>,
}

/// What is known of one delivery.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Track {
    /// Where its row is.
    pub place: Place,
    /// Its attempts, as the delivery log has them.
    pub tried: Option<Tried>,
    /// What waits before it; `None` where that was not looked at.
    pub line: Option<Line>,
}

/// Where the row of a delivery is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// It has none: it is in the queue or in memory, or its way has ended.
    #[default]
    Nowhere,
    /// In the backlog.
    Backlog {
        /// Its place there.
        sequence: Sequence,
        /// The event's space.
        space: Space,
        /// Attempts that failed, as far as the row knows.
        attempts: u32,
    },
    /// Set aside.
    SetAside {
        /// Attempts that failed.
        attempts: u32,
        /// How the last one ended.
        last: LastAttempt,
        /// When it was set aside.
        at: Millis,
    },
    /// It is a dead letter.
    Dead(Dead),
}

/// A dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dead {
    /// Why.
    pub reason: DeadReason,
    /// Whose fault.
    pub fault: Fault,
    /// Attempts that were made.
    pub attempts: u32,
    /// How the last one ended.
    pub last: Option<LastAttempt>,
    /// When it died.
    pub died_at: Millis,
    /// When and how it was closed.
    pub closed: Option<(Millis, Closing)>,
    /// Why it was closed, in the words of whoever did it.
    pub closed_reason: Option<String>,
    /// The resend that it was closed by.
    pub resent_as: Option<EventId>,
}

/// The attempts of one delivery.
#[derive(Clone, PartialEq, Debug)]
pub struct Tried {
    /// The newest.
    pub newest: AttemptRecord,
    /// The highest number of one.
    pub attempts: u32,
    /// When the first that was answered with 2xx started.
    pub delivered_at: Option<Millis>,
}

/// The backlog before a delivery.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Rows before it; counted up to [`Line::MOST`].
    pub ahead: u64,
    /// The first of them.
    pub first: Option<First>,
}

impl Line {
    /// So many rows are counted; when there are so many, there may be more.
    pub const MOST: u64 = 10_000;
}

/// The first row of a backlog.
#[derive(Clone, PartialEq, Debug)]
pub struct First {
    /// Its message: the event's id, or a resend's.
    pub message: EventId,
    /// When its event was accepted.
    pub accepted_at: Millis,
    /// Its newest attempt.
    pub newest: Option<AttemptRecord>,
}

/// What is known of one webhook.
#[derive(Clone, PartialEq, Debug)]
pub struct WebhookFacts {
    /// The webhook.
    pub webhook: Webhook,
    /// What its lane remembers.
    pub lane: Option<LaneRecord>,
    /// What rests in its backlog.
    pub backlog: Line,
    /// Rows set aside, counted up to [`Line::MOST`].
    pub set_aside: u64,
    /// When the oldest of those was set aside, and when its event was accepted.
    pub oldest_aside: Option<(Millis, Millis)>,
    /// Dead letters that are not closed, counted up to [`Line::MOST`].
    pub dead_letters: u64,
    /// Its newest attempt.
    pub newest: Option<AttemptRecord>,
    /// When the newest that was answered with 2xx started, among its last 1,000.
    pub last_success: Option<Millis>,
    /// When the newest other one started, among its last 1,000, and how it ended.
    pub last_failure: Option<(Millis, LastAttempt)>,
}

/// What can be found out. Each call concerns one project, and sees nothing of another.
#[async_trait]
pub trait Insight: Send + Sync {
    /// The project's attempts that pass the filter, newest first, at most `limit` of them. Pages that are read one
    /// after the other stay right while attempts are added: each holds only older ones than the page before.
    async fn attempts(&self, project: ProjectId, filter: &AttemptFilter, limit: u32) -> Result<AttemptPage, PortError>;

    /// What is known of an event, or of the event that a resend with this id carries; `None` when nothing is.
    async fn event(&self, project: ProjectId, event: EventId) -> Result<Option<EventFacts>, PortError>;

    /// An event with its body, as long as that is kept: in the archive, or where a delivery of it rests.
    async fn message(&self, project: ProjectId, event: EventId) -> Result<Option<Message>, PortError>;

    /// What is known of a webhook; `None` when the project has none with this id, or it is deleted.
    async fn webhook(&self, project: ProjectId, webhook: WebhookId) -> Result<Option<WebhookFacts>, PortError>;
}

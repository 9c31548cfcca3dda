//! What is shown.

use serde::Serialize;
use serde_json::value::RawValue;
use spectrum_webhook_core::delivery::Command;
use spectrum_webhook_core::ids::{EventId, WebhookId};
use spectrum_webhook_core::ports::{DeadLetter, Steered};

use crate::manage::Iso;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LetterView<'a> {
    id: EventId,
    event_id: EventId,
    webhook_id: WebhookId,
    event_type: &'a str,
    sequence: i64,
    reason: &'static str,
    fault: &'static str,
    attempts: u32,
    last: Option<&'a str>,
    accepted_at: Iso,
    died_at: Iso,
    state: &'static str,
    closed_at: Option<Iso>,
    closed_reason: Option<&'a str>,
    resent_as: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
}

impl<'a> LetterView<'a> {
    pub(super) fn of(letter: &'a DeadLetter) -> Self {
        let (closed_at, closing) = letter.closed.unzip();
        Self {
            id: letter.id,
            event_id: letter.event,
            webhook_id: letter.webhook,
            event_type: &letter.event_type,
            sequence: letter.sequence.0,
            reason: letter.reason.code(),
            fault: letter.fault.code(),
            attempts: letter.attempts,
            last: letter.last.as_deref(),
            accepted_at: Iso(letter.accepted_at),
            died_at: Iso(letter.died_at),
            state: closing.map_or("open", |closing| closing.code()),
            closed_at: closed_at.map(Iso),
            closed_reason: letter.closed_reason.as_deref(),
            resent_as: letter.resent_as,
            body: None,
        }
    }

    /// With the event as it was posted, which is text: ingest takes nothing else.
    pub(super) fn with_body(letter: &'a DeadLetter, body: &'a [u8]) -> Self {
        Self { body: std::str::from_utf8(body).ok(), ..Self::of(letter) }
    }
}

/// A message that the queue has taken.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    pub(super) id: EventId,
    pub(super) event_id: EventId,
}

/// One of several dead letters that were to be sent again.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SentOne {
    /// The dead letter.
    pub(super) letter: EventId,
    /// The resend; none when it was refused.
    pub(super) id: Option<EventId>,
    pub(super) code: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Discarded {
    pub(super) discarded: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SteeredView<'a> {
    id: EventId,
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventId>,
    reason: &'a str,
    asked_at: Iso,
    done: bool,
    done_at: Option<Iso>,
    deliveries: u64,
    /// Of a check, once it is done; `null` when the webhook was disabled or deleted meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Option<&'a RawValue>>,
}

impl<'a> SteeredView<'a> {
    pub(crate) fn of(steered: &'a Steered) -> Self {
        Self {
            id: steered.id,
            command: &steered.command,
            event: steered.event,
            reason: &steered.reason,
            asked_at: Iso(steered.asked_at),
            done: steered.done_at.is_some(),
            done_at: steered.done_at.map(Iso),
            deliveries: steered.deliveries,
            report: (steered.command == Command::Check.code()).then(|| {
                steered.outcome.as_deref().and_then(|outcome| serde_json::from_str::<&RawValue>(outcome).ok())
            }),
        }
    }
}

//! What is shown.

use serde::Serialize;
use serde_json::value::RawValue;
use spectrum_webhook_core::delivery::Command;
use spectrum_webhook_core::ids::{EventId, WebhookId};
use spectrum_webhook_core::ports::{DeadLetter, Steered};
use utoipa::ToSchema;

use crate::manage::Iso;
use crate::openapi::bodies::CheckReport;
use crate::openapi::words;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetter)]
pub(super) struct LetterView<'a> {
    /// The event's id, or that of the resend that died.
    #[schema(value_type = Uuid)]
    id: EventId,
    #[schema(value_type = Uuid)]
    event_id: EventId,
    #[schema(value_type = Uuid)]
    webhook_id: WebhookId,
    event_type: &'a str,
    sequence: i64,
    #[schema(value_type = words::DeadReason)]
    reason: &'static str,
    #[schema(value_type = words::Fault)]
    fault: &'static str,
    attempts: u32,
    /// How the last attempt ended: `status_422`, `timeout`, …
    #[schema(required)]
    last: Option<&'a str>,
    accepted_at: Iso,
    died_at: Iso,
    #[schema(value_type = words::LetterState)]
    state: &'static str,
    #[schema(required)]
    closed_at: Option<Iso>,
    /// Why a person closed it.
    #[schema(required)]
    closed_reason: Option<&'a str>,
    /// The id of its resend.
    #[schema(value_type = Option<Uuid>, required)]
    resent_as: Option<EventId>,
    /// The event as it was posted. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
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
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SentMessage)]
pub(crate) struct Sent {
    /// Of the message: a resend has an id of its own.
    #[schema(value_type = Uuid)]
    pub(super) id: EventId,
    #[schema(value_type = Uuid)]
    pub(super) event_id: EventId,
}

/// One of several dead letters that were to be sent again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ResendOutcome)]
pub(super) struct SentOne {
    /// The dead letter.
    #[schema(value_type = Uuid)]
    pub(super) letter: EventId,
    /// The resend; none when it was refused.
    #[schema(value_type = Option<Uuid>, required)]
    pub(super) id: Option<EventId>,
    /// Why there is no resend.
    #[schema(value_type = Option<words::ProblemCode>, required)]
    pub(super) code: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DiscardedLetters)]
pub(super) struct Discarded {
    /// How many.
    pub(super) discarded: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Steering)]
pub(crate) struct SteeredView<'a> {
    #[schema(value_type = Uuid)]
    id: EventId,
    #[schema(value_type = words::SteeringCommand)]
    command: &'a str,
    /// The event that was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>, nullable = false)]
    event: Option<EventId>,
    reason: &'a str,
    asked_at: Iso,
    /// Whether it is done; if not, it will be.
    done: bool,
    #[schema(required)]
    done_at: Option<Iso>,
    /// How many deliveries it concerned.
    deliveries: u64,
    /// Of a check, once it is done; `null` when the webhook was disabled or deleted meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CheckReport>)]
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

//! One dead letter, steerings that are done after a while, and replays that nobody runs: ports of the world.

use std::sync::atomic::Ordering::SeqCst;

use async_trait::async_trait;
use bytes::Bytes;
use spectrum_webhook_core::delivery::{DeadReason, Fault, Message, Purpose};
use spectrum_webhook_core::ids::{EventId, OwnerId, ProjectId, RegistryVersion, ReplayId, Sequence, WebhookId};
use spectrum_webhook_core::ports::{
    DeadLetter, DeadLetters, Discarded, LetterQuery, Notice, Notices, PortError, Replay, ReplayItem, ReplayState,
    ReplayStep, Replays, Resending, Selection, Steered, Steerings,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;

use crate::world::{ID, NOW, World};

#[async_trait]
impl DeadLetters for World {
    async fn letters(&self, _: &LetterQuery) -> Result<Vec<DeadLetter>, PortError> {
        Self::fails(&self.letters_fail).map(|()| Vec::new())
    }

    async fn letter(
        &self,
        _: ProjectId,
        _: WebhookId,
        id: EventId,
    ) -> Result<Option<(DeadLetter, Message)>, PortError> {
        Self::fails(&self.letters_fail)?;
        Ok((id == LETTER).then(|| (letter(), letter_message())))
    }

    async fn begin_resend(
        &self,
        _: ProjectId,
        _: WebhookId,
        id: EventId,
        proposed: EventId,
    ) -> Result<Option<Resending>, PortError> {
        Self::fails(&self.letters_fail)?;
        let mut resends = self.resends.lock();
        let known = resends.iter().find(|(letter, _)| *letter == id).map(|(_, resend)| *resend);
        if known.is_none() {
            resends.push((id, proposed));
        }
        let resending = Resending { id: known.unwrap_or(proposed), message: letter_message() };
        Ok((id == LETTER).then_some(resending))
    }

    async fn end_resend(&self, _: WebhookId, id: EventId, _: Millis) -> Result<(), PortError> {
        self.call(format!("end resend {id}"));
        Self::fails(&self.end_fails)
    }

    async fn discard(
        &self,
        _: ProjectId,
        _: WebhookId,
        ids: Option<&[EventId]>,
        _: &str,
        _: Millis,
        limit: u32,
    ) -> Result<Discarded, PortError> {
        Self::fails(&self.letters_fail)?;
        // As if there were a thousand and two, of which one is sent again meanwhile.
        let step = self.call_count("discard");
        self.call("discard");
        let limit = u64::from(limit);
        let letters = ids.map_or_else(|| [limit - 1, limit, 2][step], |ids| ids.len() as u64);
        Ok(Discarded { letters, more: ids.is_none() && step < 2 })
    }
}

#[async_trait]
impl Steerings for World {
    async fn steered(&self, _: ProjectId, id: EventId) -> Result<Option<Steered>, PortError> {
        Self::fails(&self.letters_fail)?;
        let asked = self.call_count("steered");
        self.call("steered");
        let command = "resume".to_owned();
        let done_at = (asked >= self.steered_after.load(SeqCst)).then_some(NOW);
        Ok(Some(Steered {
            id,
            command,
            event: None,
            reason: "r".to_owned(),
            asked_at: NOW,
            done_at,
            deliveries: 4,
            outcome: None,
        }))
    }

    async fn steerings(
        &self,
        _: ProjectId,
        _: WebhookId,
        _: Option<(Millis, EventId)>,
        _: u32,
    ) -> Result<Vec<Steered>, PortError> {
        Self::fails(&self.letters_fail).map(|()| Vec::new())
    }

    async fn first_waiting(&self, _: WebhookId, _: Option<EventId>) -> Result<Option<EventId>, PortError> {
        Self::fails(&self.letters_fail).map(|()| None)
    }
}

/// The one dead letter of this world.
pub(crate) const LETTER: EventId = EventId(uuid::Uuid::from_u128(0x0196_0000_0000_7000_8000_0000_0000_0004));

fn letter_message() -> Message {
    Message {
        id: LETTER,
        project: ID,
        event_type: "messages".to_owned(),
        accepted_at: NOW,
        registry: RegistryVersion(1),
        traceparent: None,
        purpose: Purpose::Event,
        body: Bytes::from_static(br#"{"event":"messages"}"#),
    }
}

fn letter() -> DeadLetter {
    DeadLetter {
        id: LETTER,
        event: LETTER,
        webhook: WebhookId(LETTER.0),
        event_type: "messages".to_owned(),
        sequence: Sequence(9),
        reason: DeadReason::Fatal,
        fault: Fault::Receiver,
        attempts: 1,
        last: Some("status_400".to_owned()),
        accepted_at: NOW,
        died_at: NOW,
        closed: None,
        closed_reason: None,
        resent_as: None,
    }
}

#[async_trait]
impl Replays for World {
    async fn count(&self, _: &Webhook, _: Selection) -> Result<u64, PortError> {
        Self::fails(&self.letters_fail).map(|()| 12)
    }

    async fn create(&self, replay: &Replay) -> Result<(), PortError> {
        Self::fails(&self.letters_fail)?;
        self.replays.lock().push(replay.clone());
        Ok(())
    }

    async fn replay(&self, _: ProjectId, id: ReplayId) -> Result<Option<Replay>, PortError> {
        Self::fails(&self.letters_fail)?;
        Ok(self.replays.lock().iter().find(|replay| replay.id == id).cloned())
    }

    async fn replays(
        &self,
        _: ProjectId,
        _: WebhookId,
        _: Option<(Millis, ReplayId)>,
        _: u32,
    ) -> Result<Vec<Replay>, PortError> {
        Self::fails(&self.letters_fail)?;
        Ok(self.replays.lock().clone())
    }

    async fn turn(
        &self,
        _: ProjectId,
        id: ReplayId,
        from: &[ReplayState],
        to: ReplayState,
        _: Millis,
    ) -> Result<Option<Replay>, PortError> {
        Self::fails(&self.letters_fail)?;
        let mut replays = self.replays.lock();
        let found = replays.iter_mut().find(|replay| replay.id == id && from.contains(&replay.state));
        Ok(found.map(|replay| {
            replay.state = to;
            replay.clone()
        }))
    }

    async fn claim(&self, _: OwnerId, _: Millis, _: Millis) -> Result<Option<Replay>, PortError> {
        unreachable!("nobody runs it here")
    }

    async fn items(
        &self,
        _: &Replay,
        _: &Webhook,
        _: u32,
        _: usize,
    ) -> Result<(Vec<ReplayItem>, Option<(Sequence, EventId)>), PortError> {
        unreachable!("nobody runs it here")
    }

    async fn progress(&self, _: ReplayId, _: OwnerId, _: ReplayStep, _: Millis, _: Millis) -> Result<bool, PortError> {
        unreachable!("nobody runs it here")
    }

    async fn release(&self, _: ReplayId, _: OwnerId) -> Result<(), PortError> {
        unreachable!("nobody runs it here")
    }
}

#[async_trait]
impl Notices for World {
    async fn tell(&self, _: Option<ProjectId>) -> Result<(), PortError> {
        unreachable!("not by HTTP")
    }

    async fn claim_notices(
        &self,
        _: OwnerId,
        _: Millis,
        _: Millis,
        _: u32,
    ) -> Result<Option<(ProjectId, Vec<Notice>)>, PortError> {
        unreachable!("nobody posts them here")
    }

    async fn forget_notices(&self, _: &[String]) -> Result<(), PortError> {
        unreachable!("nobody posts them here")
    }
}

//! What people wanted of a lane, as far as its owner has done it.

use async_trait::async_trait;

use super::PortError;
use crate::ids::{EventId, ProjectId, WebhookId};
use crate::time::Millis;

/// Something that was done to a lane, or is being done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steered {
    /// The id of its message.
    pub id: EventId,
    /// The word for it: see [`crate::delivery::Command::code`].
    pub command: String,
    /// The one message that it was about.
    pub event: Option<EventId>,
    /// Why, in the person's words.
    pub reason: String,
    /// When it was asked for.
    pub asked_at: Millis,
    /// When its last step was done.
    pub done_at: Option<Millis>,
    /// Deliveries that it moved so far.
    pub deliveries: u64,
    /// What else there is to say of it, as JSON: of a check, its report.
    pub outcome: Option<String>,
}

/// The record of steerings.
#[async_trait]
pub trait Steerings: Send + Sync {
    /// One of them; `None` before its first step is done.
    async fn steered(&self, project: ProjectId, id: EventId) -> Result<Option<Steered>, PortError>;

    /// Those of a webhook, newest first, behind `after` (when it was asked for, and its id).
    async fn steerings(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        after: Option<(Millis, EventId)>,
        limit: u32,
    ) -> Result<Vec<Steered>, PortError>;

    /// The message that holds the first place in a webhook's backlog, among those of one event if one is named.
    async fn first_waiting(&self, webhook: WebhookId, event: Option<EventId>) -> Result<Option<EventId>, PortError>;
}

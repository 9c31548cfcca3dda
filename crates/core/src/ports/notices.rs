//! Notices: what happened to webhooks and deliveries that a platform wants to hear of. They are written with what they
//! tell of, in one transaction, and then become events of the one project that is there for operations.

use async_trait::async_trait;

use super::PortError;
use crate::ids::{EventId, OwnerId, ProjectId, WebhookId};
use crate::time::Millis;

/// What a notice tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoticeKind {
    /// A URL is down as a whole.
    OutageStarted,
    /// It is not any more, or nothing is known of it any more.
    OutageEnded,
    /// A webhook was disabled by the system.
    Disabled,
    /// A delivery was given up.
    DeadLettered,
}

impl NoticeKind {
    /// The type of its event.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::OutageStarted => "webhook.outage.started",
            Self::OutageEnded => "webhook.outage.ended",
            Self::Disabled => "webhook.disabled",
            Self::DeadLettered => "event.dead_lettered",
        }
    }

    /// The kind of an event's type.
    pub fn of_event_type(name: &str) -> Option<Self> {
        [Self::OutageStarted, Self::OutageEnded, Self::Disabled, Self::DeadLettered]
            .into_iter()
            .find(|kind| kind.event_type() == name)
    }
}

/// A notice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Names it: the same for a notice that is written again.
    pub id: String,
    /// What it tells of.
    pub kind: NoticeKind,
    /// Whose webhook it is about.
    pub project: ProjectId,
    /// The webhook.
    pub webhook: WebhookId,
    /// The message that died.
    pub event: Option<EventId>,
    /// Why: a word of the API.
    pub detail: Option<String>,
    /// When it happened.
    pub at: Millis,
}

/// Notices on their way.
#[async_trait]
pub trait Notices: Send + Sync {
    /// The project whose webhooks are told, from now on; `None` tells nobody. What happens to its own webhooks is not
    /// told.
    async fn tell(&self, project: Option<ProjectId>) -> Result<(), PortError>;

    /// The oldest notices, and the project that is to be told; nobody but `runner` gets any until `until`. `None` when
    /// there are none, or someone else has them.
    async fn claim_notices(
        &self,
        runner: OwnerId,
        now: Millis,
        until: Millis,
        limit: u32,
    ) -> Result<Option<(ProjectId, Vec<Notice>)>, PortError>;

    /// Forgets those that the queue has taken.
    async fn forget_notices(&self, ids: &[String]) -> Result<(), PortError>;
}

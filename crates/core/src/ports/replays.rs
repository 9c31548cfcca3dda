//! Replays: durable jobs that send many events again to one webhook, in their order. Whoever can publish runs them, one
//! process for each at a time.

use async_trait::async_trait;

use super::PortError;
use crate::delivery::Message;
use crate::ids::{EventId, OwnerId, ProjectId, ReplayId, Sequence, WebhookId};
use crate::time::Millis;
use crate::webhook::Webhook;

/// For how long, in milliseconds, a replay that was paused is kept for whoever runs it: a step that is on its way ends
/// sooner, and is noted then.
pub const PAUSED_HOLD: i64 = 5_000;

/// Which events are sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Open dead letters, each of which is closed by it.
    Dead,
    /// Everything in the archive that the webhook takes and that does not wait for it at present.
    All,
}

impl What {
    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::All => "all",
        }
    }

    /// What a code stands for.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Dead, Self::All].into_iter().find(|what| what.code() == code)
    }
}

/// How far a replay is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayState {
    /// It goes on.
    Running,
    /// A person paused it.
    Paused,
    /// Everything was sent.
    Done,
    /// A person cancelled it, or its webhook was deleted.
    Cancelled,
}

impl ReplayState {
    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Done, Self::Cancelled].into_iter().find(|state| state.code() == code)
    }
}

/// What a replay is to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selection {
    /// Which events.
    pub what: What,
    /// Accepted at this time or later.
    pub from: Millis,
    /// Accepted before this time.
    pub to: Millis,
}

/// A replay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// Its project.
    pub project: ProjectId,
    /// Its webhook.
    pub webhook: WebhookId,
    /// What it sends.
    pub selection: Selection,
    /// Why, in a person's words.
    pub reason: String,
    /// Events a second at most; `None` is as many as the queue takes.
    pub rate: Option<u32>,
    /// How far it is.
    pub state: ReplayState,
    /// Events that it was to send when it began.
    pub total: u64,
    /// Events that the queue has taken.
    pub sent: u64,
    /// The last of them.
    pub cursor: Option<(Sequence, EventId)>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
}

/// One event of a replay, with its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayItem {
    /// Its place, by which the replay goes.
    pub sequence: Sequence,
    /// The message that carried it.
    pub message: Message,
}

/// How much further a replay is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayStep {
    /// Events that the queue has taken since the last step.
    pub sent: u64,
    /// The place up to which it is done; `None` stays.
    pub cursor: Option<(Sequence, EventId)>,
}

/// Replays.
#[async_trait]
pub trait Replays: Send + Sync {
    /// How many events this would be now.
    async fn count(&self, webhook: &Webhook, selection: Selection) -> Result<u64, PortError>;

    /// Keeps a new one.
    async fn create(&self, replay: &Replay) -> Result<(), PortError>;

    /// One of them, or `None`.
    async fn replay(&self, project: ProjectId, id: ReplayId) -> Result<Option<Replay>, PortError>;

    /// Those of a webhook, newest first, behind `after` (when it was made, and its id).
    async fn replays(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        after: Option<(Millis, ReplayId)>,
        limit: u32,
    ) -> Result<Vec<Replay>, PortError>;

    /// Changes the state of one that is in any of these; returns it as it is then, or `None` when it is in another
    /// state. Whoever runs it learns that by its next [`progress`](Self::progress), and has [`PAUSED_HOLD`] for that:
    /// one that is paused and resumed meanwhile is run by nobody else beside it.
    async fn turn(
        &self,
        project: ProjectId,
        id: ReplayId,
        from: &[ReplayState],
        to: ReplayState,
        now: Millis,
    ) -> Result<Option<Replay>, PortError>;

    /// A running one that nobody runs, for `runner` alone until `until`: the one that was changed longest ago.
    async fn claim(&self, runner: OwnerId, now: Millis, until: Millis) -> Result<Option<Replay>, PortError>;

    /// The events behind the cursor, in their order: at most `limit`, and no more after `bytes` of bodies are reached
    /// (but one at least). The second is the place to go on from: events in between are not for this webhook.
    async fn items(
        &self,
        replay: &Replay,
        webhook: &Webhook,
        limit: u32,
        bytes: usize,
    ) -> Result<(Vec<ReplayItem>, Option<(Sequence, EventId)>), PortError>;

    /// Notes that the queue has taken so many more, up to this place, and keeps the replay for `runner` until `until`.
    /// `false` when it is to be run no more: it was paused, say, and then this was noted; or someone else runs it, and
    /// then it was not.
    async fn progress(
        &self,
        id: ReplayId,
        runner: OwnerId,
        step: ReplayStep,
        now: Millis,
        until: Millis,
    ) -> Result<bool, PortError>;

    /// Gives it back, if `runner` runs it.
    async fn release(&self, id: ReplayId, runner: OwnerId) -> Result<(), PortError>;
}

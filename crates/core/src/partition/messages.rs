//! What a partition is told, and what it asks for.

use std::sync::Arc;

use crate::delivery::{DeliveryKey, Message};
use crate::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::lane;
use crate::ports::{Mark, Tag};
use crate::webhook::Webhook;

/// Names a lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LaneId {
    /// The project.
    pub project: ProjectId,
    /// The webhook.
    pub webhook: WebhookId,
}

/// One input.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message was taken from the queue.
    Took {
        /// Its tag.
        tag: Tag,
        /// It may have been taken before.
        redelivered: bool,
        /// The message.
        message: Arc<Message>,
    },
    /// A project's registry, loaded as was asked.
    Registry {
        /// The project.
        project: ProjectId,
        /// Its version.
        version: RegistryVersion,
        /// Its webhooks.
        webhooks: Vec<Webhook>,
    },
    /// A project's registry has this version now, or a newer one.
    RegistryChanged {
        /// The project.
        project: ProjectId,
        /// The version.
        version: RegistryVersion,
    },
    /// A look-up that was asked for.
    LookedUp {
        /// Which.
        number: u64,
        /// Those of the deliveries that are settled.
        settled: Vec<DeliveryKey>,
    },
    /// A check that was asked for is done and written down.
    Checked {
        /// The message that asked for it.
        message: EventId,
        /// The lane beside which it was made.
        lane: LaneId,
    },
    /// For one lane: an attempt's end, a read, a write.
    Lane(LaneId, lane::Input),
    /// Time has passed: see [`super::Partition::deadline`].
    Wake,
    /// The process's memory is scarce: hold the largest lanes.
    Relieve,
}

/// One action.
#[derive(Clone, Debug)]
pub enum Action {
    /// Load a project's registry from the store's primary.
    LoadRegistry {
        /// The project.
        project: ProjectId,
    },
    /// Nothing of this project is in memory any more.
    ForgetProject {
        /// The project.
        project: ProjectId,
    },
    /// Say that no attempt starts by an older version any more.
    Confirm {
        /// The project.
        project: ProjectId,
        /// The version.
        version: RegistryVersion,
    },
    /// An event was numbered: keep it for whoever asks what became of it, if there is an archive.
    Archive {
        /// Its place.
        sequence: Sequence,
        /// The event.
        message: Arc<Message>,
    },
    /// Find out which of these are settled: by marks, or by rows.
    LookUp {
        /// Its number.
        number: u64,
        /// The deliveries.
        keys: Vec<DeliveryKey>,
    },
    /// Make one request to a webhook beside its lane, and write down how it went.
    Check {
        /// The webhook.
        lane: LaneId,
        /// Its place, for the request's header.
        sequence: Sequence,
        /// The message that asks for it, with the request's body.
        message: Arc<Message>,
    },
    /// Remember a settled delivery.
    Mark(Mark),
    /// Take messages off the queue for good. After the marks that came before it.
    Ack(Vec<Tag>),
    /// An attempt, a read or a write of one lane (the lane's other actions are performed here).
    Lane(LaneId, lane::Action),
}

/// Deliveries by where they are, since the ownership began. At any time, pending is what is left:
/// `recovered + fanned_out - delivered - dead - dropped`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Found in the store at takeover.
    pub recovered: u64,
    /// Made of messages.
    pub fanned_out: u64,
    /// Taken by their endpoint.
    pub delivered: u64,
    /// Given up.
    pub dead: u64,
    /// Dropped with their webhook.
    pub dropped: u64,
}

impl Counts {
    /// Deliveries whose way has not ended.
    pub fn pending(&self) -> u64 {
        (self.recovered + self.fanned_out).saturating_sub(self.delivered + self.dead + self.dropped)
    }
}

//! The store remembers what rests: backlog, set-aside events, dead letters, lanes, and the delivery log.
//!
//! An owner writes through [`Store::commit`] alone: one transaction, which first checks that the owner's epoch still
//! stands.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Lease, PortError, Unreadable};
use crate::attempt::AttemptRecord;
use crate::delivery::{DeadReason, DeliveryKey, Fault, HeldDelivery, LastAttempt, Message};
use crate::ids::{Epoch, PartitionId, ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::ordering::Reading;
use crate::time::Millis;
use crate::webhook::{DisabledReason, Registry};

/// What a lane remembers beside its rows, so that a new owner goes on counting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneRecord {
    /// Suspicion or outage.
    pub mode: LaneMode,
    /// Events exhausted in a row.
    pub exhausted: u32,
}

/// What is known of a webhook whose last deliveries failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneMode {
    /// Events are set aside: the next ones tell whether those are poison or the URL is down.
    Suspect,
    /// The URL is down: its head alone is tried, slowly.
    Outage {
        /// Since when.
        since: Millis,
        /// Probes that failed.
        probes: u32,
        /// When the next one is due.
        next_probe: Millis,
        /// The evidence is full: later events are not tried before the head.
        proven: bool,
    },
}

/// One step of a commit. All of them can be repeated: a step that has been done already does nothing.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Puts a delivery into the webhook's backlog, and its body into the store, unless it has a row there, in
    /// `set_aside` or in `dead_letters` already.
    Hold {
        /// Whose backlog.
        webhook: WebhookId,
        /// What is held.
        delivery: Box<HeldDelivery>,
    },
    /// Takes a delivered one out of the backlog.
    Remove {
        /// The delivery.
        key: DeliveryKey,
    },
    /// Moves a row from the backlog to the events set aside.
    SetAside {
        /// The delivery.
        key: DeliveryKey,
        /// Attempts that failed.
        attempts: u32,
        /// How the last one ended.
        last: LastAttempt,
        /// When.
        at: Millis,
    },
    /// Moves all that the webhook has set aside back into its backlog, at their old places.
    Return {
        /// The webhook.
        webhook: WebhookId,
    },
    /// Makes a dead letter of a row of the backlog.
    Bury {
        /// The delivery.
        key: DeliveryKey,
        /// Why.
        reason: DeadReason,
        /// Whose fault.
        fault: Fault,
        /// Attempts that were made.
        attempts: u32,
        /// How the last one ended.
        last: Option<LastAttempt>,
        /// When.
        at: Millis,
    },
    /// Makes dead letters of all that the webhook has set aside: they are poison.
    BurySetAside {
        /// The webhook.
        webhook: WebhookId,
        /// When.
        at: Millis,
    },
    /// Remembers a lane's mode; `None` forgets it.
    Lane {
        /// The webhook.
        webhook: WebhookId,
        /// Its mode.
        record: Option<LaneRecord>,
        /// When.
        at: Millis,
    },
    /// Disables the webhook and raises its project's registry version, if it is enabled and is as it was when it was
    /// tried: a person may have given it another URL since, or enabled it again.
    Disable {
        /// The webhook.
        webhook: WebhookId,
        /// Why.
        reason: DisabledReason,
        /// Its `updated_at`, as the attempt that speaks against it knew it.
        seen: Millis,
        /// When.
        at: Millis,
    },
    /// The webhook is deleted: drops up to `limit` of its rows, backlog and set aside, and its lane record.
    Drop {
        /// The webhook.
        webhook: WebhookId,
        /// At most so many in this transaction.
        limit: u32,
    },
    /// Makes dead letters (expired, the receiver's fault) of up to `limit` of the webhook's rows, oldest first,
    /// whose events were accepted before a time.
    Expire {
        /// The webhook.
        webhook: WebhookId,
        /// Accepted before this.
        before: Millis,
        /// When it is.
        at: Millis,
        /// At most so many in this transaction.
        limit: u32,
    },
    /// Does what a person wants of the webhook's lane, or a step of it, to rows of the backlog, and writes down that it
    /// was done, by whose wish, and how many deliveries it moved.
    Steer {
        /// The message with the [`crate::delivery::Steering`]; with another purpose nothing is done.
        message: Arc<Message>,
        /// When.
        at: Millis,
        /// At most so many deliveries in this transaction.
        limit: u32,
        /// What else there is to say of it, as JSON.
        outcome: Option<String>,
    },
}

impl Change {
    /// Whether it moves rows by a rule, so that only its commit can tell how many: it has a transaction of its own.
    pub fn moves_by_rule(&self) -> bool {
        matches!(self, Self::Drop { .. } | Self::Expire { .. } | Self::Steer { .. } | Self::BurySetAside { .. })
    }
}

/// What a commit did that its caller could not know: rows that `Drop`, `Expire`, `Steer` and `BurySetAside` moved.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// Deliveries dropped.
    pub dropped: u64,
    /// Deliveries that became dead letters by `Expire`, `Steer` or `BurySetAside`.
    pub buried: u64,
    /// A `Drop`, `Expire` or `Steer` reached its limit: there may be more.
    pub more: bool,
    /// Projects whose registry version `Disable` raised, with the new version, to be announced.
    pub disabled: Vec<(ProjectId, RegistryVersion)>,
    /// What there is to say of it in the log, in order.
    pub happened: Vec<Happened>,
}

/// What became of a delivery or a webhook by a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happened {
    /// A delivery became a dead letter.
    Died {
        /// The delivery.
        key: DeliveryKey,
        /// Why.
        reason: DeadReason,
    },
    /// The webhook's URL is down.
    OutageBegan {
        /// The webhook.
        webhook: WebhookId,
    },
    /// It is not down any more, or nothing is sent to it any more.
    OutageEnded {
        /// The webhook.
        webhook: WebhookId,
        /// When it began.
        since: Millis,
    },
    /// The webhook was disabled.
    Disabled {
        /// The webhook.
        webhook: WebhookId,
        /// Why.
        reason: DisabledReason,
    },
}

/// A webhook with something at rest, as found at takeover.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestingLane {
    /// The webhook.
    pub webhook: WebhookId,
    /// Its project.
    pub project: ProjectId,
    /// Rows in the backlog.
    pub backlog: u64,
    /// Rows set aside.
    pub set_aside: u64,
    /// Its mode.
    pub record: Option<LaneRecord>,
}

/// What a new owner finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Takeover {
    /// The highest sequence number that any row of the partition was written with.
    pub highest: Sequence,
    /// The lanes with rows or a record.
    pub lanes: Vec<RestingLane>,
}

/// A batch read from the backlog, in the order of keys, and of one key lowest numbers first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backlog {
    /// The deliveries.
    pub deliveries: Vec<HeldDelivery>,
    /// There are more behind the last of them; of a space that has more than are read at once, they do not count.
    pub more: bool,
}

/// An event to be kept for whoever asks what became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Archived {
    /// Its place.
    pub sequence: Sequence,
    /// The event.
    pub message: Arc<Message>,
    /// It stays until then.
    pub keep_until: Millis,
}

/// How much may be pruned, and in what steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pruning {
    /// Attempts that started before this go, with outages that began, dead letters that were closed and steerings that
    /// were asked for before.
    pub attempts_before: Millis,
    /// What has expired by this time goes: idempotency records, and events that the archive alone needs.
    pub now: Millis,
    /// At most so many rows of a kind in one call.
    pub limit: u32,
}

/// What the store holds, for gauges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Rows in backlogs.
    pub backlog: u64,
    /// Rows set aside.
    pub set_aside: u64,
    /// Dead letters that are not closed.
    pub dead_letters: u64,
    /// Those of them that are this system's fault.
    pub platform_letters: u64,
    /// Events in quarantine.
    pub quarantine: u64,
    /// When the oldest of backlog and set aside was accepted.
    pub oldest: Option<Millis>,
    /// The same of the backlogs alone, without those of webhooks that are disabled or in an outage.
    pub oldest_flowing: Option<Millis>,
}

/// The owner's side of the store.
#[async_trait]
pub trait Store: Send + Sync {
    /// The partition's epoch as stored; 0 when it never had an owner.
    async fn epoch(&self, partition: PartitionId) -> Result<Epoch, PortError>;

    /// Makes the lease's epoch the partition's, which must be greater than the stored one ([`PortError::Fenced`]
    /// otherwise), and reads what rests there. Writes first, reads in later statements.
    async fn take_over(&self, lease: &Lease) -> Result<Takeover, PortError>;

    /// Commits all changes or none, in order, if the lease's epoch still stands. After an error other than
    /// [`PortError::Fenced`] it may have been committed: repeating it is safe.
    async fn commit(&self, lease: &Lease, changes: &[Change]) -> Result<Committed, PortError>;

    /// Rows of a webhook's backlog: those that are asked for, and no more after `bytes` of bodies are reached (but one at
    /// least).
    async fn read_backlog(&self, webhook: WebhookId, reading: &Reading, bytes: usize) -> Result<Backlog, PortError>;

    /// The message of one delivery in the backlog.
    async fn read_message(&self, key: DeliveryKey) -> Result<Option<Message>, PortError>;

    /// Which of these have a row in backlog, set aside or dead letters, or are steerings that were done.
    async fn find(&self, keys: &[DeliveryKey]) -> Result<Vec<DeliveryKey>, PortError>;

    /// A project's webhooks with their keys; version 0 and none when there is no such project. Read from the
    /// primary.
    async fn registry(&self, project: ProjectId) -> Result<Registry, PortError>;

    /// Appends to the delivery log.
    async fn record(&self, attempts: &[AttemptRecord]) -> Result<(), PortError>;

    /// Archives events, or prolongs their time; the place that was given last counts.
    async fn archive(&self, events: &[Archived]) -> Result<(), PortError>;

    /// Keeps a message that cannot be read, for a person to look at.
    async fn quarantine(&self, lease: &Lease, message: &Unreadable, at: Millis) -> Result<(), PortError>;

    /// Removes what is past its time, in one small step; `true` when there may be more.
    async fn prune(&self, pruning: Pruning) -> Result<bool, PortError>;

    /// What it holds.
    async fn totals(&self) -> Result<Totals, PortError>;
}

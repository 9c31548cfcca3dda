//! Everything that can happen.

use spectrum_webhook_core::attempt::Ended;
use spectrum_webhook_core::delivery::{DeliveryKey, HeldDelivery};
use spectrum_webhook_core::ids::{PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::lane::{AttemptId, Ticket};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::partition::LaneId;
use spectrum_webhook_core::ports::Committed;
use spectrum_webhook_core::webhook::Webhook;

use crate::ownership::Targets;

pub(super) enum Event {
    /// The process starts.
    Start,
    /// The faults stop.
    Heal,
    /// The last endpoints are mended.
    HealPoison,
    /// Somebody enables what is disabled.
    EnableAll,
    /// A client has a new event.
    NewPost { project: usize },
    /// A client goes on with a post.
    Post { post: usize },
    /// Somebody wants to change a webhook.
    NewOperation,
    /// Somebody goes on with a change.
    Operate { operation: usize },
    /// Somebody does something about deliveries, for so many times in vain so far.
    Steer { tries: u64 },
    /// A process takes a partition over.
    TakeOver { process: u64, partition: PartitionId },
    /// Something happens to an ownership, if it still stands.
    Owned { ownership: u64, happening: Happening },
}

pub(super) enum Happening {
    /// Messages are taken from the queue.
    Take,
    /// The state machine's timer.
    Wake,
    /// The writes that wait are committed.
    Commit,
    /// The answer of a commit.
    Committed { committed: Box<Committed> },
    /// A backlog is read.
    Read { lane: LaneId, ticket: Ticket, reading: Box<Reading> },
    /// What was read arrives.
    Rows { lane: LaneId, ticket: Ticket, rows: Vec<HeldDelivery>, more: bool },
    /// Marks and acknowledgements are written.
    Settle,
    /// They were.
    Settled,
    /// A registry is read.
    ReadRegistry { project: ProjectId },
    /// It arrives.
    Registry { project: ProjectId, version: RegistryVersion, webhooks: Vec<Webhook>, targets: Targets },
    /// Marks and rows are looked up.
    LookUp { number: u64, keys: Vec<DeliveryKey> },
    /// What was found arrives.
    LookedUp { number: u64, settled: Vec<DeliveryKey> },
    /// News of the registry are fetched.
    News,
    /// A version is confirmed.
    Confirm { project: ProjectId, version: RegistryVersion },
    /// An attempt has its slot.
    Attempt { attempt: AttemptId },
    /// Its request arrives at the endpoint.
    Arrive { name: u64 },
    /// Its end is heard.
    Ended { name: u64, ended: Ended },
    /// It did not start.
    NotStarted { lane: LaneId, attempt: AttemptId },
}

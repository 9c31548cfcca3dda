//! The fleet: the processes of a deployment, each as it says itself. Whoever is on call sees by it who runs, what each
//! has done, and who holds which partition.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::ids::OwnerId;
use crate::time::Millis;

/// What one process says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// This start of it.
    pub id: OwnerId,
    /// `serve`, `ingest` or `dispatcher`.
    pub role: String,
    /// Where it runs: the host's name.
    pub host: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: Millis,
    /// When it said so last, by its own clock.
    pub seen_at: Millis,
    /// The partitions that it holds.
    pub partitions: Vec<u16>,
    /// The services that it needs, each with what is wrong: nothing when it answers.
    pub services: Vec<(String, Option<String>)>,
    /// The fingerprints of the master keys that it knows, that which encrypts first. A release that does not say so has
    /// none.
    #[serde(default)]
    pub keys: Vec<String>,
    /// What it has counted since it started.
    pub counts: Counts,
}

/// What a process has counted. Of deliveries, at any time:
/// `recovered + fanned_out = delivered + dead + dropped + released + pending`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Events that the queue confirmed.
    pub accepted: u64,
    /// Deliveries found at rest when a partition was taken over.
    pub recovered: u64,
    /// Deliveries made of accepted events.
    pub fanned_out: u64,
    /// Deliveries that their endpoint took.
    pub delivered: u64,
    /// Deliveries that became dead letters.
    pub dead: u64,
    /// Deliveries dropped with their webhook, or by a person.
    pub dropped: u64,
    /// Deliveries that were pending when a partition was given up.
    pub released: u64,
    /// Deliveries of the partitions held whose way has not ended.
    pub pending: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            recovered: self.recovered + other.recovered,
            fanned_out: self.fanned_out + other.fanned_out,
            delivered: self.delivered + other.delivered,
            dead: self.dead + other.dead,
            dropped: self.dropped + other.dropped,
            released: self.released + other.released,
            pending: self.pending + other.pending,
        }
    }

    /// Deliveries that came in.
    pub fn came(&self) -> u64 {
        self.recovered + self.fanned_out
    }

    /// Where they are.
    pub fn went(&self) -> u64 {
        self.delivered + self.dead + self.dropped + self.released + self.pending
    }
}

/// The register of the processes.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Says how a process is, and forgets those that have said nothing since `before`.
    async fn report(&self, member: &Member, before: Millis) -> Result<(), PortError>;

    /// It has ended in order.
    async fn leave(&self, id: OwnerId) -> Result<(), PortError>;

    /// Those that have said something since then, those that started first first; 1,000 at most.
    async fn members(&self, since: Millis) -> Result<Vec<Member>, PortError>;
}

//! Identities, one type each, so that no two kinds can be confused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Millis;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// A project: the owner of webhooks, and the user name of its credentials.
    ProjectId
);
uuid_id!(
    /// One registered URL of a project.
    WebhookId
);
uuid_id!(
    /// One event, given when it is accepted (UUIDv7). A resend has one of its own.
    EventId
);
uuid_id!(
    /// A job that sends many events again.
    ReplayId
);
uuid_id!(
    /// One start of one process: what a lease names as its owner.
    OwnerId
);

/// A UUID in its one usual form, of 36 characters.
pub fn usual(text: &str) -> Option<Uuid> {
    if text.len() == 36 { text.parse().ok() } else { None }
}

impl EventId {
    /// When it was given, by the clock of whoever gave it; `None` when it is no UUIDv7.
    pub fn given_at(self) -> Option<Millis> {
        let (seconds, nanos) = self.0.get_timestamp().filter(|_| self.0.get_version_num() == 7)?.to_unix();
        Some(Millis(i64::try_from(seconds).ok()?.checked_mul(1_000)?.checked_add(i64::from(nanos) / 1_000_000)?))
    }
}

/// A slice of the projects, numbered from 0; whoever holds its lease delivers all its events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PartitionId(pub u16);

impl PartitionId {
    /// The partition of a project among `count` partitions: a fixed hash (FNV-1a, 64 bits, of the id's 16 bytes)
    /// modulo `count`. It is stored data: it must never change.
    ///
    /// # Panics
    /// When `count` is zero, which the settings refuse.
    pub fn of(project: ProjectId, count: u16) -> Self {
        let hash = project.0.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        // The remainder is below `count`, so it fits.
        Self((hash % u64::from(count)) as u16)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The token of one ownership of a partition: greater than any before it, and than every sequence number given
    /// under one. Below 2^53.
    Epoch
);
number!(
    /// The place of an event in its partition, given by the owner in the order of the queue. Below 2^53; not dense.
    Sequence
);
number!(
    /// Counts the changes of a project's webhooks; 0 is a project that never had one.
    RegistryVersion
);

impl Epoch {
    /// The least distance between two epochs: more sequence numbers than one ownership can give.
    pub const STEP: i64 = 1_000_000_000;
}

//! The names of all keys. Those of a partition carry one hash tag, so that a script finds all of its keys on one node
//! of a Redis Cluster.

use spectrum_webhook_core::ids::{PartitionId, ProjectId};

/// Names under a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    namespace: String,
}

impl Keys {
    pub(crate) fn new(namespace: String) -> Self {
        Self { namespace }
    }

    /// What all of them begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}:", self.namespace)
    }

    fn of(&self, partition: PartitionId, what: &str) -> String {
        format!("{}:{{{partition}}}:{what}", self.namespace)
    }

    pub(crate) fn lease(&self, partition: PartitionId) -> String {
        self.of(partition, "lease")
    }

    pub(crate) fn epoch(&self, partition: PartitionId) -> String {
        self.of(partition, "epoch")
    }

    /// There while an earlier holder may not have heard that it holds the partition no more.
    pub(crate) fn doubt(&self, partition: PartitionId) -> String {
        self.of(partition, "doubt")
    }

    /// The buckets of marks, in turn.
    pub(crate) fn done(&self, partition: PartitionId) -> [String; 4] {
        [0, 1, 2, 3].map(|number| self.bucket(partition, number))
    }

    /// One of them.
    pub(crate) fn bucket(&self, partition: PartitionId, number: u64) -> String {
        self.of(partition, &format!("done:{number}"))
    }

    /// Projects whose change the owner has not confirmed, with the version.
    pub(crate) fn news(&self, partition: PartitionId) -> String {
        self.of(partition, "news")
    }

    /// Changes of a project that are under way.
    pub(crate) fn changes(&self, partition: PartitionId, project: ProjectId) -> String {
        self.of(partition, &format!("changes:{project}"))
    }

    /// The copy of a project's registry version.
    pub(crate) fn registry(&self, partition: PartitionId, project: ProjectId) -> String {
        self.of(partition, &format!("registry:{project}"))
    }

    /// The version of a project that the owner has confirmed.
    pub(crate) fn confirmed(&self, partition: PartitionId, project: ProjectId) -> String {
        self.of(partition, &format!("confirmed:{project}"))
    }

    /// An idempotency record.
    pub(crate) fn record(&self, partition: PartitionId, project: ProjectId, key: &[u8; 32]) -> String {
        self.of(partition, &format!("post:{project}:{}", hex::encode(key)))
    }

    /// The dispatchers that live.
    pub(crate) fn live(&self) -> String {
        format!("{}:live", self.namespace)
    }

    /// The channel on which changes are told: a message is the number of a partition.
    pub(crate) fn channel(&self) -> String {
        format!("{}:changes", self.namespace)
    }
}

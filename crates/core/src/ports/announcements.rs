//! Announcements tell the owner of a partition that a project's webhooks changed, and tell whoever changed them that
//! the owner knows.

use std::time::Duration;

use async_trait::async_trait;

use super::{Lease, PortError};
use crate::ids::{PartitionId, ProjectId, RegistryVersion};

/// News of the registry, and their receipt.
#[async_trait]
pub trait Announcements: Send + Sync {
    /// Before a change is committed: from here on no copy of the project's version is trusted. If this fails, nothing
    /// may be changed.
    async fn begin_change(&self, partition: PartitionId, project: ProjectId) -> Result<(), PortError>;

    /// After the change is committed (or, with the old version, was not): copies hold this version from now on.
    async fn end_change(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError>;

    /// The same for a change that was not begun: by an owner, in its own transaction.
    async fn announce(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError>;

    /// Returns `true` when the partition's owner knows this version or a newer one, or when nobody can own the
    /// partition without having read it; `false` when `patience` ran out first.
    async fn confirmed(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
        patience: Duration,
    ) -> Result<bool, PortError>;

    /// For the owner: the projects of its partition whose version changed since the last call, each with a version
    /// that it has at least. Does not wait.
    async fn changed(&self, lease: &Lease) -> Result<Vec<(ProjectId, RegistryVersion)>, PortError>;

    /// For the owner: returns when [`Announcements::changed`] may have news. Safe to cancel.
    async fn news(&self, lease: &Lease) -> Result<(), PortError>;

    /// For the owner: it starts no attempt by an older version any more.
    async fn confirm(&self, lease: &Lease, project: ProjectId, version: RegistryVersion) -> Result<(), PortError>;
}

//! Admission answers, before an event is published: is it a repeat, and which registry version is it accepted under?

use async_trait::async_trait;

use super::PortError;
use crate::ids::{EventId, PartitionId, ProjectId, RegistryVersion};
use crate::time::Millis;

/// What makes two posts the same event. Both parts are SHA-256 digests, so that their size is bounded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// Digest of the key: the client's own, or one made of `event`, `message.id` and the body.
    pub key: [u8; 32],
    /// Digest of the body: the same explicit key with another body is refused.
    pub body: [u8; 32],
    /// When the record may be forgotten.
    pub expires_at: Millis,
}

/// What is to be done with a post.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Publish it under this id: the proposed one, or (`again`) that of an earlier post whose outcome is not known.
    Publish {
        /// The id.
        id: EventId,
        /// It may have been published before.
        again: bool,
    },
    /// It is durable already, under this id.
    Duplicate(EventId),
    /// The key was used with another body.
    Mismatch,
}

/// The answer of [`Admission::begin`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// What is to be done.
    pub verdict: Verdict,
    /// The project's registry version, if a copy that can be trusted is at hand; else it is read from the directory.
    pub registry: Option<RegistryVersion>,
}

/// The door that every event passes.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Looks a post up, and notes it as pending when it is to be published. A post that finds a pending one waits for
    /// its outcome, or is told to publish again under the same id. Without a key it is never a duplicate.
    async fn begin(
        &self,
        partition: PartitionId,
        project: ProjectId,
        proposed: EventId,
        key: Option<&IdempotencyKey>,
        now: Millis,
    ) -> Result<Admitted, PortError>;

    /// Says how the publish ended: `durable` makes later posts duplicates; otherwise the next one publishes again
    /// under the same id.
    async fn end(
        &self,
        partition: PartitionId,
        project: ProjectId,
        id: EventId,
        key: &IdempotencyKey,
        durable: bool,
    ) -> Result<(), PortError>;

    /// A version that was read from the directory because [`Admitted::registry`] was `None`: the next posts may be
    /// spared that. It replaces neither a higher version nor the mark of a change under way. A backend that keeps no
    /// copies ignores it.
    async fn learn(
        &self,
        _partition: PartitionId,
        _project: ProjectId,
        _version: RegistryVersion,
    ) -> Result<(), PortError> {
        Ok(())
    }

    /// A version that was read from the directory for another reason: a copy that is known here, and is as new, lasts
    /// anew, so that posts go on when the directory cannot be asked. A backend that keeps no copies ignores it.
    async fn renew(
        &self,
        _partition: PartitionId,
        _project: ProjectId,
        _version: RegistryVersion,
    ) -> Result<(), PortError> {
        Ok(())
    }
}

//! The directory: projects and their webhooks, as the management API and the command line see and change them.

use std::time::Duration;

use async_trait::async_trait;

use super::PortError;
use crate::headers::CustomHeaders;
use crate::ids::{ProjectId, RegistryVersion, WebhookId};
use crate::ordering::Ordering;
use crate::shape::{RateLimit, Shape};
use crate::time::Millis;
use crate::webhook::{SigningSecret, Webhook};

/// A project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its secret. The secret has 256 random bits, so that no slow hash is needed.
    pub secret_hash: [u8; 32],
    /// Counts the changes of its webhooks.
    pub registry: RegistryVersion,
    /// When it was created.
    pub created_at: Millis,
}

/// A webhook to register.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Its project.
    pub project: ProjectId,
    /// The URL as it was sent.
    pub url: String,
    /// Its key.
    pub secret: SigningSecret,
    /// [Patterns](crate::pattern) of the events that it takes; `None` is all.
    pub event_types: Option<Vec<String>>,
    /// How it wants its deliveries.
    pub shape: Shape,
}

/// What is to change of a webhook; `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WebhookPatch {
    /// Another URL.
    pub url: Option<String>,
    /// On or off. Off is by hand: [`crate::webhook::DisabledReason::Manual`].
    pub enabled: Option<bool>,
    /// Patterns of other events; `Some(None)` is all.
    pub event_types: Option<Option<Vec<String>>>,
    /// Other headers, all of them.
    pub headers: Option<CustomHeaders>,
    /// Another rate limit; `Some(None)` is none.
    pub rate_limit: Option<Option<RateLimit>>,
    /// Another time of an attempt; `Some(None)` is the deployment's.
    pub attempt_timeout: Option<Option<Duration>>,
    /// Which events wait for one another.
    pub ordering: Option<Ordering>,
}

/// Why the directory refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DirectoryError {
    /// No such project or webhook, or it is deleted.
    #[error("not found")]
    NotFound,
    /// The project has this URL registered.
    #[error("the URL is already registered for this project")]
    UrlTaken,
    /// The store could not do it.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Projects and webhooks. Every change of a webhook raises its project's registry version in the same transaction.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The number of partitions of this deployment: `wanted` is stored at the first start, and what is stored is
    /// returned ever after.
    async fn partitions(&self, wanted: u16) -> Result<u16, PortError>;

    /// Adds a project (its registry version is 0).
    async fn create_project(&self, project: &Project) -> Result<(), DirectoryError>;

    /// All projects, oldest first.
    async fn list_projects(&self) -> Result<Vec<Project>, DirectoryError>;

    /// One project, or [`DirectoryError::NotFound`].
    async fn project(&self, id: ProjectId) -> Result<Project, DirectoryError>;

    /// Replaces a project's secret.
    async fn rotate_project_secret(&self, id: ProjectId, secret_hash: [u8; 32]) -> Result<(), DirectoryError>;

    /// Deletes a project and its webhooks, logically; returns the raised version.
    async fn delete_project(&self, id: ProjectId, now: Millis) -> Result<RegistryVersion, DirectoryError>;

    /// Registers a webhook, unless the project has an undeleted one with the same URL, compared to the byte.
    async fn register(&self, webhook: NewWebhook, now: Millis) -> Result<(Webhook, RegistryVersion), DirectoryError>;

    /// A project's webhooks, oldest first, deleted ones left out.
    async fn list(&self, project: ProjectId) -> Result<Vec<Webhook>, DirectoryError>;

    /// Changes a webhook.
    async fn patch(
        &self,
        project: ProjectId,
        id: WebhookId,
        patch: WebhookPatch,
        now: Millis,
    ) -> Result<(Webhook, RegistryVersion), DirectoryError>;

    /// Deletes a webhook, logically.
    async fn delete(&self, project: ProjectId, id: WebhookId, now: Millis) -> Result<RegistryVersion, DirectoryError>;

    /// Makes `secret` the current key; the one before it stays valid until `overlap_until`.
    async fn rotate(
        &self,
        project: ProjectId,
        id: WebhookId,
        secret: SigningSecret,
        overlap_until: Millis,
        now: Millis,
    ) -> Result<(Webhook, RegistryVersion), DirectoryError>;
}

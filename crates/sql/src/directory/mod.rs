//! The directory: projects and their webhooks, as people see and change them.

mod projects;
mod webhooks;

use async_trait::async_trait;
use futures::future::BoxFuture;
use spectrum_webhook_core::ids::{ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{Directory, DirectoryError, NewWebhook, PortError, Project, WebhookPatch};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{SigningSecret, Webhook};

use crate::error::Fault;
use crate::sql::Conn;
use crate::store::SqlStore;

pub(crate) use projects::{lock, partitions, raise_version};

const PORT: &str = "directory";

/// A refusal by a rule, which is not a failure: it is found before anything is written.
#[derive(Debug)]
pub(crate) enum Refusal {
    NotFound,
    UrlTaken,
}

/// What a change comes to.
pub(crate) type Changed<T> = Result<Result<T, Refusal>, Fault>;

fn answer<T>(changed: Changed<T>, operation: &'static str) -> Result<T, DirectoryError> {
    match changed {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Refusal::NotFound)) => Err(DirectoryError::NotFound),
        Ok(Err(Refusal::UrlTaken)) => Err(DirectoryError::UrlTaken),
        Err(fault) => Err(DirectoryError::Port(fault.at(PORT, operation))),
    }
}

impl SqlStore {
    async fn change<T, F>(&self, operation: &'static str, work: F) -> Result<T, DirectoryError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Changed<T>> + Send + 'static,
    {
        answer(self.database.write(work).await, operation)
    }
}

#[async_trait]
impl Directory for SqlStore {
    async fn partitions(&self, wanted: u16) -> Result<u16, PortError> {
        let fixed = self.database.write(move |conn| Box::pin(projects::fix_partitions(conn, wanted))).await;
        fixed.map_err(|fault| fault.at(PORT, "read the number of partitions"))
    }

    async fn create_project(&self, project: &Project) -> Result<(), DirectoryError> {
        let project = project.clone();
        let done = self.database.write(move |conn| Box::pin(projects::create(conn, project))).await;
        done.map_err(|fault| DirectoryError::Port(fault.at(PORT, "create a project")))
    }

    async fn list_projects(&self) -> Result<Vec<Project>, DirectoryError> {
        let read = self.database.read(|conn| Box::pin(projects::list(conn))).await;
        read.map_err(|fault| DirectoryError::Port(fault.at(PORT, "list projects")))
    }

    async fn project(&self, id: ProjectId) -> Result<Project, DirectoryError> {
        answer(self.database.read(move |conn| Box::pin(projects::one(conn, id))).await, "read a project")
    }

    async fn rotate_project_secret(&self, id: ProjectId, secret_hash: [u8; 32]) -> Result<(), DirectoryError> {
        self.change("rotate a project's secret", move |conn| Box::pin(projects::rotate(conn, id, secret_hash))).await
    }

    async fn delete_project(&self, id: ProjectId, now: Millis) -> Result<RegistryVersion, DirectoryError> {
        self.change("delete a project", move |conn| Box::pin(projects::delete(conn, id, now))).await
    }

    async fn register(&self, webhook: NewWebhook, now: Millis) -> Result<(Webhook, RegistryVersion), DirectoryError> {
        let keys = self.database.keys().clone();
        self.change("register a webhook", move |conn| Box::pin(webhooks::register(conn, keys, webhook, now))).await
    }

    async fn list(&self, project: ProjectId) -> Result<Vec<Webhook>, DirectoryError> {
        let keys = self.database.keys().clone();
        answer(self.database.read(move |conn| Box::pin(webhooks::list(conn, keys, project))).await, "list webhooks")
    }

    async fn patch(
        &self,
        project: ProjectId,
        id: WebhookId,
        patch: WebhookPatch,
        now: Millis,
    ) -> Result<(Webhook, RegistryVersion), DirectoryError> {
        let keys = self.database.keys().clone();
        self.change("change a webhook", move |conn| Box::pin(webhooks::patch(conn, keys, project, id, patch, now)))
            .await
    }

    async fn delete(&self, project: ProjectId, id: WebhookId, now: Millis) -> Result<RegistryVersion, DirectoryError> {
        self.change("delete a webhook", move |conn| Box::pin(webhooks::delete(conn, project, id, now))).await
    }

    async fn rotate(
        &self,
        project: ProjectId,
        id: WebhookId,
        secret: SigningSecret,
        overlap_until: Millis,
        now: Millis,
    ) -> Result<(Webhook, RegistryVersion), DirectoryError> {
        let keys = self.database.keys().clone();
        let rotation = webhooks::Rotation { keys, secret, overlap_until };
        self.change("rotate a webhook's secret", move |conn| {
            Box::pin(webhooks::rotate(conn, project, id, rotation, now))
        })
        .await
    }
}

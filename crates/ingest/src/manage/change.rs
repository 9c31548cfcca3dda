//! A change of a project's webhooks and its announcement: no copy of the registry is trusted from before the change is
//! committed until it is announced.

use std::future::Future;
use std::sync::Arc;

use spectrum_webhook_core::ids::{ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Directory, DirectoryError, PortError};

use crate::problem::{NOT_CONFIRMED, Problem, UNAVAILABLE, URL_TAKEN};
use crate::state::Shared;

/// Why a change did not take place.
pub(crate) enum Refused {
    NotFound,
    UrlTaken,
    /// Nothing was changed.
    Unavailable(PortError),
    /// It may have been changed.
    Unknown,
}

impl From<DirectoryError> for Refused {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::NotFound => Self::NotFound,
            DirectoryError::UrlTaken => Self::UrlTaken,
            DirectoryError::Port(error) => Self::Unavailable(error),
        }
    }
}

impl Refused {
    pub(crate) fn problem(self) -> Problem {
        self.or("the change may have been stored: repeat the request after Retry-After")
    }

    /// The problem of a registration: its secret, if it was stored, has not been shown.
    pub(crate) fn registration(self) -> Problem {
        match self {
            // The project was there a moment ago.
            Self::NotFound => Problem::unauthorized(),
            other => other.or("the registration may have been stored, without its secret being shown: list the \
                               webhooks, delete the URL if it is there, and register it again"),
        }
    }

    /// The problem of a rotation: likewise.
    pub(crate) fn rotation(self) -> Problem {
        self.or("the rotation may have been stored, without the new secret being shown: repeat it after Retry-After")
    }

    fn or(self, unknown: &'static str) -> Problem {
        match self {
            Self::NotFound => Problem::no_webhook(),
            Self::UrlTaken => Problem::new(
                URL_TAKEN,
                "this URL is already registered for this project: use that webhook, or delete it first",
            ),
            Self::Unavailable(error) => Problem::unavailable(&error),
            Self::Unknown => Problem::new(UNAVAILABLE, unknown),
        }
    }
}

impl Shared {
    /// Makes a change and announces it. It runs to its end if the caller goes away, so that no change stays
    /// unannounced.
    pub(crate) async fn change<T, F>(
        self: &Arc<Self>,
        project: ProjectId,
        operation: impl FnOnce(Arc<dyn Directory>) -> F + Send + 'static,
    ) -> Result<(T, RegistryVersion), Refused>
    where
        T: Send + 'static,
        F: Future<Output = Result<(T, RegistryVersion), DirectoryError>> + Send,
    {
        let shared = Arc::clone(self);
        let work = async move {
            let partition = shared.partition(project);
            shared.ports.announcements.begin_change(partition, project).await.map_err(Refused::Unavailable)?;
            match operation(Arc::clone(&shared.ports.directory)).await {
                Ok((changed, version)) => {
                    shared.announce(project, version).await;
                    Ok((changed, version))
                }
                Err(DirectoryError::Port(error)) => {
                    // It may be committed yet. The announcement that no copy is to be trusted stands until it expires,
                    // which is later than any commit.
                    tracing::error!(%error, %project, "whether a change was stored is not known");
                    Err(Refused::Unknown)
                }
                Err(refused) => {
                    if let Ok(unchanged) = shared.ports.directory.project(project).await {
                        shared.announce(project, unchanged.registry).await;
                    }
                    Err(refused.into())
                }
            }
        };
        self.finish(work).await.unwrap_or(Err(Refused::Unknown))
    }

    /// A failure is only noted: without a version that can be trusted, everybody reads the directory.
    async fn announce(&self, project: ProjectId, version: RegistryVersion) {
        let partition = self.partition(project);
        if let Err(error) = self.ports.announcements.end_change(partition, project, version).await {
            tracing::warn!(%error, %project, %version, "a change of webhooks was not announced");
        }
    }

    /// Waits until the owner of the partition starts nothing by an older version.
    pub(crate) async fn confirmed(&self, project: ProjectId, version: RegistryVersion) -> Result<(), Problem> {
        let patience = self.settings.change_patience;
        let partition = self.partition(project);
        match self.ports.announcements.confirmed(partition, project, version, patience).await {
            Ok(true) => return Ok(()),
            Ok(false) => tracing::warn!(%project, %version, "a change of webhooks was not confirmed in time"),
            Err(error) => tracing::warn!(%error, %project, %version, "a change of webhooks was not confirmed"),
        }
        Err(Problem::new(
            NOT_CONFIRMED,
            "the change is stored, but an attempt by the old state may still start: repeat the request after \
             Retry-After until it answers otherwise (a repeated DELETE then answers 404)",
        )
        .retry_after(5))
    }
}

//! Who calls: a project by HTTP Basic, or an operator by a bearer token.
//!
//! A wrong secret, an unknown project and another project's credentials get the same answer, so that nobody learns
//! here which projects there are.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use parking_lot::Mutex;
use spectrum_webhook_core::credentials::{self, Basic};
use spectrum_webhook_core::ids::{self, EventId, ProjectId, ReplayId, WebhookId};
use spectrum_webhook_core::ports::{Directory, DirectoryError, PortError, Project};
use tokio::time::Instant;

use crate::problem::Problem;
use crate::state::Shared;

/// The ids in a path; `None` is one that is not there or not a UUID.
pub(crate) struct Ids {
    pub(crate) project: Option<ProjectId>,
    pub(crate) webhook: Option<WebhookId>,
    /// It stands where a webhook's does.
    pub(crate) event: Option<EventId>,
    /// A dead letter's, or a replay's.
    pub(crate) third: Option<uuid::Uuid>,
}

impl Ids {
    pub(crate) fn letter(&self) -> Option<EventId> {
        self.third.map(EventId)
    }

    pub(crate) fn replay(&self) -> Option<ReplayId> {
        self.third.map(ReplayId)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Ids {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Every route is /projects/{project}[/webhooks/{webhook}[/…/{third}…]…] or /projects/{project}/events/{event}. A
        // UUID has nothing to be percent-decoded, and axum's extractor would answer for one segment that cannot be,
        // whatever the others are.
        let mut segments = parts.uri.path().split('/').skip(2);
        let project = segments.next().and_then(ids::usual).map(ProjectId);
        let second = segments.nth(1).and_then(ids::usual);
        let third = segments.nth(1).and_then(ids::usual);
        Ok(Self { project, webhook: second.map(WebhookId), event: second.map(EventId), third })
    }
}

/// The one `Authorization` header, if it has this scheme.
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    credentials::of_scheme(value.to_str().ok()?, scheme)
}

fn basic(headers: &HeaderMap) -> Option<Basic> {
    Basic::read(authorization(headers, "Basic")?)
}

impl Shared {
    /// The project of the path, if the call carries its credentials or an operator's. Always read anew: for the
    /// management API.
    pub(crate) async fn project(&self, headers: &HeaderMap, ids: &Ids) -> Result<Project, Problem> {
        if self.is_operator(headers)? {
            let project = ids.project.ok_or_else(Problem::no_project)?;
            return match self.ports.directory.project(project).await {
                Ok(project) => Ok(project),
                Err(DirectoryError::Port(error)) => Err(Problem::unavailable(&error)),
                Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => Err(Problem::no_project()),
            };
        }
        let basic =
            basic(headers).filter(|basic| ids.project == Some(basic.project)).ok_or_else(Problem::unauthorized)?;
        let project = match self.ports.directory.project(basic.project).await {
            Ok(project) => Some(project),
            Err(DirectoryError::Port(error)) => return Err(Problem::unavailable(&error)),
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => None,
        };
        let fits = basic.fits(project.as_ref().map(|project| project.secret_hash));
        project.filter(|_| fits).ok_or_else(Problem::unauthorized)
    }

    /// Whether the call carries an operator's token; a wrong one is refused.
    fn is_operator(&self, headers: &HeaderMap) -> Result<bool, Problem> {
        match authorization(headers, "Bearer") {
            None => Ok(false),
            Some(token) if self.settings.operator_token.as_ref().is_some_and(|operator| operator.is(token)) => Ok(true),
            Some(_) => Err(Problem::unauthorized()),
        }
    }

    /// The project of the path, if the call carries its credentials or an operator's: for posting events.
    pub(crate) async fn poster(&self, headers: &HeaderMap, ids: &Ids) -> Result<ProjectId, Problem> {
        let directory = &*self.ports.directory;
        if self.is_operator(headers)? {
            let project = ids.project.ok_or_else(Problem::no_project)?;
            let known = match self.credentials.fresh(project) {
                Some(_) => true,
                None => self.credentials.load(directory, project).await?.is_some(),
            };
            return if known { Ok(project) } else { Err(Problem::no_project()) };
        }
        let basic =
            basic(headers).filter(|basic| ids.project == Some(basic.project)).ok_or_else(Problem::unauthorized)?;
        let fresh = self.credentials.fresh(basic.project);
        // A secret that does not fit what was read earlier may be a new one.
        if (fresh.is_some() && basic.fits(fresh)) || basic.fits(self.credentials.load(directory, basic.project).await?)
        {
            Ok(basic.project)
        } else {
            Err(Problem::unauthorized())
        }
    }
}

/// The most projects whose credentials are kept.
const KEPT: usize = 10_000;

/// For how long credentials are used past their time when the directory cannot be asked: events are still accepted
/// while the store fails over.
const STALE: Duration = Duration::from_secs(300);

/// The hashes of the secrets of projects that posted lately.
pub(crate) struct Credentials {
    ttl: Duration,
    kept: Mutex<HashMap<ProjectId, Kept>>,
}

#[derive(Clone, Copy)]
struct Kept {
    secret_hash: [u8; 32],
    read_at: Instant,
}

impl Credentials {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, kept: Mutex::default() }
    }

    /// The hash, if it was read lately.
    fn fresh(&self, project: ProjectId) -> Option<[u8; 32]> {
        self.younger(project, self.ttl)
    }

    fn younger(&self, project: ProjectId, age: Duration) -> Option<[u8; 32]> {
        self.kept.lock().get(&project).filter(|kept| kept.read_at.elapsed() < age).map(|kept| kept.secret_hash)
    }

    /// Reads the hash anew; `None` is an unknown project.
    async fn load(&self, directory: &dyn Directory, project: ProjectId) -> Result<Option<[u8; 32]>, Problem> {
        let read_at = Instant::now();
        match directory.project(project).await {
            Ok(found) => {
                let mut kept = self.kept.lock();
                if kept.len() >= KEPT && !kept.contains_key(&project) {
                    kept.retain(|_, kept| kept.read_at.elapsed() < self.ttl);
                    if kept.len() >= KEPT {
                        kept.clear();
                    }
                }
                kept.insert(project, Kept { secret_hash: found.secret_hash, read_at });
                Ok(Some(found.secret_hash))
            }
            Err(DirectoryError::Port(error @ PortError::Unavailable { .. })) => {
                match self.younger(project, self.ttl + STALE) {
                    Some(secret_hash) => Ok(Some(secret_hash)),
                    None => Err(Problem::unavailable(&error)),
                }
            }
            Err(DirectoryError::Port(error)) => Err(Problem::unavailable(&error)),
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => {
                self.kept.lock().remove(&project);
                Ok(None)
            }
        }
    }
}

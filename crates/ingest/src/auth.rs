//! Who calls: a project by HTTP Basic, or an operator by a bearer token.
//!
//! A wrong secret, an unknown project and another project's credentials get the same answer, so that nobody learns
//! here which projects there are.
//!
//! A third caller is within this process: the dashboard, which has checked its session, says so with the request.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use parking_lot::Mutex;
use spectrum_webhook_core::credentials::{self, Basic, Vouched};
use spectrum_webhook_core::ids::{self, EventId, ProjectId, RegistryVersion, ReplayId, WebhookId};
use spectrum_webhook_core::ports::{Directory, DirectoryError, PortError, Project};
use tokio::time::{Instant, timeout};

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
    /// The project whose credentials were checked before, within this process.
    vouched: Option<ProjectId>,
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
        let vouched = parts.extensions.get::<Vouched>().map(|vouched| vouched.0);
        Ok(Self { project, webhook: second.map(WebhookId), event: second.map(EventId), third, vouched })
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
        let is_vouched = ids.vouched.is_some() && ids.vouched == ids.project;
        if is_vouched || self.is_operator(headers)? {
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
        if self.is_operator(headers)? {
            let project = ids.project.ok_or_else(Problem::no_project)?;
            let known = match self.credentials.usable(project) {
                Some(_) => true,
                None => self.load(project).await?.hash().is_some(),
            };
            return if known { Ok(project) } else { Err(Problem::no_project()) };
        }
        let basic =
            basic(headers).filter(|basic| ids.project == Some(basic.project)).ok_or_else(Problem::unauthorized)?;
        let usable = self.credentials.usable(basic.project);
        if usable.is_some() && basic.fits(usable) {
            return Ok(basic.project);
        }
        // A secret that does not fit what was read earlier may be a new one.
        match self.load(basic.project).await? {
            read if basic.fits(read.hash()) => Ok(basic.project),
            Read::Earlier(_, error) => Err(Problem::unavailable(&error)),
            Read::Now(_) => Err(Problem::unauthorized()),
        }
    }

    /// Reads a project's credentials anew. What is read with them renews the copy of its registry version in time, so
    /// that one who posts all the time goes on when the directory cannot be asked.
    async fn load(&self, project: ProjectId) -> Result<Read, Problem> {
        let read = self.credentials.load(&*self.ports.directory, project).await?;
        if let Read::Now(Some((_, version))) = read
            && self.credentials.renews(project)
        {
            let renewed = self.ports.admission.renew(self.partition(project), project, version);
            if let Err(error) = timeout(PATIENCE, renewed).await.unwrap_or(Ok(())) {
                tracing::debug!(%error, %project, "the copy of a registry version was not renewed");
            }
        }
        Ok(read)
    }
}

/// The most projects whose credentials are kept.
const KEPT: usize = 10_000;

/// For how long credentials are used past their time when the directory cannot be asked: events are still accepted
/// while the store fails over.
const STALE: Duration = Duration::from_secs(300);

/// How long a post waits for the directory when there are credentials from earlier.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the copy of a registry version is renewed: much sooner than it expires.
const RENEWED: Duration = Duration::from_secs(15);

/// The hashes of the secrets of projects that posted lately.
pub(crate) struct Credentials {
    ttl: Duration,
    kept: Mutex<HashMap<ProjectId, Kept>>,
}

#[derive(Clone, Copy)]
struct Kept {
    secret_hash: [u8; 32],
    read_at: Instant,
    /// When the directory was asked in vain.
    missed_at: Option<Instant>,
    /// When the copy of the registry version was renewed.
    renewed_at: Option<Instant>,
}

/// The hash of a project's secret.
enum Read {
    /// As it is, with the registry version; `None` is an unknown project.
    Now(Option<([u8; 32], RegistryVersion)>),
    /// As it was, for the directory does not answer.
    Earlier([u8; 32], PortError),
}

impl Read {
    fn hash(&self) -> Option<[u8; 32]> {
        match self {
            Self::Now(read) => read.map(|(hash, _)| hash),
            Self::Earlier(hash, _) => Some(*hash),
        }
    }
}

impl Credentials {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, kept: Mutex::default() }
    }

    /// The hash, if there is no need to ask for it: it was read lately, or was lately asked for in vain.
    fn usable(&self, project: ProjectId) -> Option<[u8; 32]> {
        let kept = self.kept.lock().get(&project).copied()?;
        let missed = kept.missed_at.is_some_and(|at| at.elapsed() < self.ttl);
        let age = if missed { self.ttl + STALE } else { self.ttl };
        (kept.read_at.elapsed() < age).then_some(kept.secret_hash)
    }

    /// The hash from earlier, once the directory did not answer.
    fn miss(&self, project: ProjectId) -> Option<[u8; 32]> {
        let mut kept = self.kept.lock();
        let kept = kept.get_mut(&project).filter(|kept| kept.read_at.elapsed() < self.ttl + STALE)?;
        kept.missed_at = Some(Instant::now());
        Some(kept.secret_hash)
    }

    /// Reads the hash anew.
    async fn load(&self, directory: &dyn Directory, project: ProjectId) -> Result<Read, Problem> {
        let read_at = Instant::now();
        let has_earlier = self.kept.lock().contains_key(&project);
        let asked = directory.project(project);
        let answer = if has_earlier { timeout(PATIENCE, asked).await } else { Ok(asked.await) };
        let error = match answer {
            Ok(Ok(found)) => {
                self.keep(project, found.secret_hash, read_at);
                return Ok(Read::Now(Some((found.secret_hash, found.registry))));
            }
            Ok(Err(DirectoryError::NotFound | DirectoryError::UrlTaken)) => {
                self.kept.lock().remove(&project);
                return Ok(Read::Now(None));
            }
            Ok(Err(DirectoryError::Port(error @ PortError::Unavailable { .. }))) => error,
            Ok(Err(DirectoryError::Port(error))) => return Err(Problem::unavailable(&error)),
            Err(_) => PortError::Unavailable {
                port: "directory",
                operation: "read a project",
                detail: format!("no answer within {PATIENCE:?}"),
            },
        };
        match self.miss(project) {
            Some(secret_hash) => Ok(Read::Earlier(secret_hash, error)),
            None => Err(Problem::unavailable(&error)),
        }
    }

    fn keep(&self, project: ProjectId, secret_hash: [u8; 32], read_at: Instant) {
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT && !kept.contains_key(&project) {
            kept.retain(|_, kept| kept.read_at.elapsed() < self.ttl);
            if kept.len() >= KEPT {
                kept.clear();
            }
        }
        let renewed_at = kept.get(&project).and_then(|kept| kept.renewed_at);
        kept.insert(project, Kept { secret_hash, read_at, missed_at: None, renewed_at });
    }

    /// Whether it is time to renew the copy of the registry version.
    fn renews(&self, project: ProjectId) -> bool {
        let mut kept = self.kept.lock();
        let Some(kept) = kept.get_mut(&project) else { return false };
        let due = kept.renewed_at.is_none_or(|at| at.elapsed() >= RENEWED);
        if due {
            kept.renewed_at = Some(Instant::now());
        }
        due
    }
}

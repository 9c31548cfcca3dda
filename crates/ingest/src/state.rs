//! What every request shares, and how it ends.

use std::future::Future;
use std::sync::Arc;

use spectrum_webhook_core::ids::{PartitionId, ProjectId};
use spectrum_webhook_core::ports::{
    Admission, Announcements, DeadLetters, Directory, Insight, Notices, Queue, Replays, Spans, Steerings,
};
use spectrum_webhook_core::time::Millis;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::auth::Credentials;
use crate::body::Budget;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// The wall clock.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The backends.
#[derive(Clone)]
pub struct Ports {
    /// Is it a repeat?
    pub admission: Arc<dyn Admission>,
    /// News of webhooks for the partitions' owners.
    pub announcements: Arc<dyn Announcements>,
    /// Where events go.
    pub queue: Arc<dyn Queue>,
    /// Projects and webhooks.
    pub directory: Arc<dyn Directory>,
    /// What became of events.
    pub insight: Arc<dyn Insight>,
    /// What was given up.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What people wanted of lanes.
    pub steerings: Arc<dyn Steerings>,
    /// Jobs that send many events again.
    pub replays: Arc<dyn Replays>,
    /// What a platform wants to hear of.
    pub notices: Arc<dyn Notices>,
    /// Where spans go; `None`: nothing is traced.
    pub spans: Option<Arc<dyn Spans>>,
}

/// The state of the HTTP door; clones share it.
#[derive(Clone)]
pub struct Ingest(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) credentials: Credentials,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) budget: Budget,
    tasks: TaskTracker,
}

impl Ingest {
    /// The state over these backends. The settings must hold ([`Settings::problems`]).
    pub fn new(ports: Ports, settings: Settings, clock: Clock, metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            credentials: Credentials::new(settings.credentials_ttl),
            in_flight: Arc::new(Semaphore::new(settings.max_in_flight)),
            budget: Budget::new(settings.max_buffered),
            tasks: TaskTracker::new(),
            ports,
            settings,
            clock,
            metrics,
        }))
    }

    /// Waits until what was begun for callers that went away has ended: publishes and changes of webhooks. Call it
    /// after the server has stopped; safe to cancel. It ends by itself, for every such task is bounded by time-outs.
    pub async fn drain(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Millis {
        (self.clock)()
    }

    pub(crate) fn partition(&self, project: ProjectId) -> PartitionId {
        PartitionId::of(project, self.settings.partitions)
    }

    /// Runs what must reach its end although its caller may go away. `None` means that it panicked, so that its
    /// outcome is not known.
    pub(crate) async fn finish<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        match self.tasks.spawn(work).await {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                tracing::error!(%error, "a request's task ended without an outcome");
                None
            }
        }
    }
}

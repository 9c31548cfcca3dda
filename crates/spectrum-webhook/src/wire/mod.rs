//! Puts the parts together: over which backends, [`backends`] knows. [`moving`] goes from some to others.

mod backends;
mod keys;
pub(crate) mod moving;

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use axum::Router;
use parking_lot::Mutex;
use prometheus::Registry;
use spectrum_webhook_core::ids::OwnerId;
use spectrum_webhook_core::lane::LaneSettings;
use spectrum_webhook_core::partition::PartitionSettings;
use spectrum_webhook_core::ports::{Reach, Spans};
use spectrum_webhook_core::retry::Schedule;
use spectrum_webhook_dashboard::{self as dashboard, Dashboard};
pub use spectrum_webhook_dispatcher::Ports;
use spectrum_webhook_dispatcher::archive::{Archive, ArchiveSettings};
use spectrum_webhook_dispatcher::guard::{Guard, GuardSettings};
use spectrum_webhook_dispatcher::post::{Poster, PosterSettings};
use spectrum_webhook_dispatcher::record::{AttemptMetrics, PruneSettings, Pruner, Recorder, RecorderSettings};
use spectrum_webhook_dispatcher::resolve::SystemResolver;
use spectrum_webhook_dispatcher::slots::{SlotGate, SlotSettings};
use spectrum_webhook_dispatcher::{self as dispatcher, Clock, Dispatcher, LoadGauges, MemoryBudget};
use spectrum_webhook_ingest::{self as ingest, Ingest, OperatorToken};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use backends::Registry as ProjectRegistry;
use backends::{Backends, may_be_used};
use keys::MasterKeys;

use crate::config::Settings;
use crate::fleet::{Keys, Partitions, Reported, Reporter};
use crate::gauges::{Certificates, FolderGauges, Ownership, StoreGauges};
use crate::telemetry::Check;
use crate::traces::Traces;

/// How often the share of partitions is looked at.
const SHARE_EVERY: Duration = Duration::from_secs(1);
/// The longest that TCP, TLS and HTTP may take until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// How much longer than a lease a change of a webhook waits for the owner's word.
const CHANGE_MARGIN: Duration = Duration::from_secs(5);
/// How long readiness waits for the queue.
const READY: Duration = Duration::from_secs(2);
/// The largest batch that ingest takes, unless one event may be larger.
const LARGEST_BATCH: usize = 32 << 20;

/// How much longer than another body a batch may take.
const BATCHES_TAKE: u32 = 10;

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Takes events and delivers them.
    Serve,
    /// Takes events.
    Ingest,
    /// Delivers them.
    Dispatcher,
}

impl Role {
    /// As its command is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Ingest => "ingest",
            Self::Dispatcher => "dispatcher",
        }
    }
}

/// Changes what the dispatcher gets as its backends.
pub type Between = fn(Ports) -> Ports;

/// Ingest, dispatcher, or both, over their backends.
pub(crate) struct Node {
    backends: Backends,
    ingest: Option<Ingest>,
    /// Where it is served, beside the API.
    dashboard: Option<dashboard::Settings>,
    /// Replays and notices, where events can be published.
    background: Option<ingest::Background>,
    /// Shared with readiness; [`Node::stop_delivering`] takes it out.
    dispatcher: Arc<Mutex<Option<Dispatcher>>>,
    /// What looks after the store in the background.
    keepers: Option<(Pruner, StoreGauges)>,
    /// Says how this process does.
    reporter: Reporter,
    /// Where spans go, if anywhere.
    traces: Option<Traces>,
    /// What looks at the deployment for the metrics.
    looks: (Ownership, Certificates),
}

impl Node {
    /// Opens the backends and starts to work. Dropped meanwhile, it has accepted and delivered nothing.
    ///
    /// # Errors
    /// What a person has to change: see [`Backends::open`].
    pub(crate) async fn start(
        role: Role,
        settings: &Settings,
        registry: &Registry,
        between: Between,
    ) -> anyhow::Result<Self> {
        let operator_token = operator_token(settings)?;
        let traces = Traces::start(role, settings, registry)?;
        let spans = traces.as_ref().map(Traces::spans);
        let backends = Backends::open(settings).await?;
        match Parts::new(role, settings, registry, &backends, spans) {
            Ok(Parts { ingest, dispatcher: parts, keepers, looks }) => {
                let dispatcher = Arc::new(Mutex::new(None));
                let reported = Reported {
                    role: role.name(),
                    registry: registry.clone(),
                    services: backends.services.clone(),
                    partitions: held(&dispatcher),
                    keys: known(&backends.keys),
                };
                let owner = OwnerId(Uuid::now_v7());
                let reporter = Reporter::start(backends.store.clone(), owner, reported, Clock::default()).await;
                let reporter = match reporter {
                    Ok(reporter) => reporter,
                    Err(error) => {
                        backends.abandon().await;
                        return Err(error);
                    }
                };
                // A move that began while the services were connected sees this process from here on, or is seen.
                if let Err(error) = may_be_used(&backends.store).await {
                    reporter.leave().await;
                    backends.abandon().await;
                    return Err(error);
                }
                *dispatcher.lock() = parts.map(|mut parts| {
                    parts.ports = between(parts.ports);
                    Dispatcher::start(parts)
                });
                let background = ingest.as_ref().map(ingest::Background::start);
                let (key, other_keys) = backends.keys.sessions();
                let dashboard = ingest.as_ref().filter(|_| settings.dashboard).map(|_| dashboard::Settings {
                    key,
                    other_keys,
                    operator_token,
                    session: settings.dashboard_session,
                    partitions: settings.partitions,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                });
                Ok(Self { backends, ingest, dashboard, background, dispatcher, keepers, reporter, traces, looks })
            }
            Err(error) => {
                backends.abandon().await;
                Err(error)
            }
        }
    }

    /// The API, of a process that has one, and the dashboard; `stopping` ends its live pages.
    pub(crate) fn router(&self, stopping: &CancellationToken) -> Option<Router> {
        let api = self.ingest.clone().map(ingest::router)?;
        let Some(settings) = self.dashboard.clone() else { return Some(api) };
        let store = &self.backends.store;
        let ports = dashboard::Ports {
            directory: store.clone(),
            insight: store.clone(),
            survey: store.clone(),
            fleet: store.clone(),
            dead_letters: store.clone(),
            steerings: store.clone(),
            replays: store.clone(),
        };
        let clock = Clock::default();
        let clock = Arc::new(move || clock.now().wall);
        let dashboard = Dashboard::new(ports, api.clone(), settings, clock, stopping.clone());
        Some(api.merge(dashboard::router(dashboard)))
    }

    /// The services that it needs; none embedded.
    pub(crate) fn services(&self) -> Vec<Arc<Reach>> {
        self.backends.services.clone()
    }

    /// What readiness asks: can it publish, and does it consume?
    pub(crate) fn checks(&self) -> Vec<Check> {
        let mut checks: Vec<Check> = Vec::new();
        if self.ingest.is_some() {
            let queue = Arc::clone(&self.backends.queue);
            checks.push(Arc::new(move || {
                let queue = Arc::clone(&queue);
                Box::pin(async move {
                    match tokio::time::timeout(READY, queue.check()).await {
                        Ok(checked) => checked.map_err(|error| error.to_string()),
                        Err(_) => Err("the queue does not answer".to_owned()),
                    }
                })
            }));
        }
        if self.dispatcher.lock().is_some() {
            let dispatcher = Arc::clone(&self.dispatcher);
            checks.push(Arc::new(move || {
                let delivers = dispatcher.lock().as_ref().map_or(Ok(()), Dispatcher::check);
                Box::pin(std::future::ready(delivers))
            }));
        }
        checks
    }

    /// Stops delivering: attempts in flight end, and what they settled is written. Call it when the API takes no more.
    pub(crate) async fn stop_delivering(&self) {
        let dispatcher = self.dispatcher.lock().take();
        if let Some(dispatcher) = dispatcher {
            dispatcher.drain().await;
        }
    }

    /// Waits for what ingest began for callers that went away, and closes the backends. Call it at the very end.
    ///
    /// # Errors
    /// When the database could not be tidied: nothing is lost.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        if let Some(background) = &self.background {
            background.stop().await;
        }
        if let Some(ingest) = &self.ingest {
            ingest.drain().await;
        }
        drop((self.keepers, self.looks));
        self.reporter.leave().await;
        let closed = self.backends.close().await;
        if let Some(traces) = &self.traces {
            traces.stop().await;
        }
        closed
    }
}

/// Everything that can fail, before anything runs.
struct Parts {
    ingest: Option<Ingest>,
    dispatcher: Option<dispatcher::Parts>,
    keepers: Option<(Pruner, StoreGauges)>,
    looks: (Ownership, Certificates),
}

impl Parts {
    fn new(
        role: Role,
        settings: &Settings,
        registry: &Registry,
        backends: &Backends,
        spans: Option<Arc<dyn Spans>>,
    ) -> anyhow::Result<Self> {
        let clock = Clock::default();
        // A process that does both gives a quarter of the budget to ingest.
        let (of_ingest, of_dispatcher) = match role {
            Role::Serve => (settings.memory_budget / 4, settings.memory_budget / 4 * 3),
            Role::Ingest | Role::Dispatcher => (settings.memory_budget, settings.memory_budget),
        };
        let ownership = Ownership::start(registry, backends.store.clone(), clock, settings.partitions)?;
        let looks = (ownership, Certificates::start(registry, settings)?);
        if settings.cluster.is_none() {
            registry.register(Box::new(FolderGauges::new(&settings.data_dir)?))?;
        }
        let mut parts = Self { ingest: None, dispatcher: None, keepers: None, looks };
        if role != Role::Dispatcher {
            parts.ingest = Some(ingest(settings, registry, backends, spans.clone(), clock, of_ingest)?);
        }
        if role != Role::Ingest {
            parts.dispatcher = Some(dispatcher_parts(settings, registry, backends, spans, clock, of_dispatcher)?);
            let pruning = PruneSettings { keep_attempts: settings.delivery_log_keep, ..PruneSettings::default() };
            let gauges = StoreGauges::start(registry, backends.store.clone(), clock)?;
            let pruner = Pruner::start(backends.store.clone(), pruning, move || clock.now().wall);
            parts.keepers = Some((pruner, gauges));
        }
        Ok(parts)
    }
}

fn dispatcher_parts(
    settings: &Settings,
    registry: &Registry,
    backends: &Backends,
    spans: Option<Arc<dyn Spans>>,
    clock: Clock,
    memory: usize,
) -> anyhow::Result<dispatcher::Parts> {
    let guard = GuardSettings { allow_http: settings.allow_http, allow_networks: settings.allow_networks.clone() };
    let guard = Guard::new(guard, Arc::new(SystemResolver::new()?));
    let slots = settings.attempt_slots;
    let recorder = AttemptMetrics::register(registry)?;
    let archive = ArchiveSettings { keep: settings.archive_keep, ..ArchiveSettings::default() };
    let gate = SlotGate::new(SlotSettings { healthy: slots, failing: slots.div_ceil(2), outage: slots.div_ceil(4) });
    let memory = Arc::new(MemoryBudget::new(memory));
    registry.register(Box::new(LoadGauges::new(gate.clone(), Arc::clone(&memory))?))?;
    Ok(dispatcher::Parts {
        ports: Ports {
            queue: backends.queue.clone(),
            lock: backends.lock.clone(),
            announcements: backends.announcements.clone(),
            store: backends.store.clone(),
        },
        settings: dispatcher::Settings {
            partitions: settings.partitions,
            partition: PartitionSettings {
                lane: Arc::new(lane(settings)),
                window: settings.prefetch,
                ..PartitionSettings::default()
            },
            renew_every: settings.lease / 3,
            hold_lease_for: settings.lease / 5 * 4,
            share_every: SHARE_EVERY,
            grace: settings.grace,
        },
        poster: Poster::new(poster(settings), Arc::new(guard))?,
        gate,
        metrics: dispatcher::Metrics::new(registry)?,
        archive: Archive::start(backends.store.clone(), registry, archive)?,
        spans,
        recorder: Recorder::start(backends.store.clone(), recorder, RecorderSettings::default()),
        memory,
        clock,
        seed: rand::random(),
        owner: OwnerId(Uuid::now_v7()),
    })
}

fn ingest(
    settings: &Settings,
    registry: &Registry,
    backends: &Backends,
    spans: Option<Arc<dyn Spans>>,
    clock: Clock,
    memory: usize,
) -> anyhow::Result<Ingest> {
    let token = operator_token(settings)?;
    let of_ingest = ingest::Settings {
        max_event_size: settings.max_event_size,
        max_batch_size: LARGEST_BATCH.max(settings.max_event_size),
        idempotency_window: settings.idempotency_window,
        partitions: settings.partitions,
        operator_token: token,
        // A lease that nobody holds any more is known to be over after its time.
        change_patience: settings.lease + CHANGE_MARGIN,
        max_buffered: memory,
        read_timeout: settings.read_timeout,
        batch_timeout: settings.read_timeout * BATCHES_TAKE,
        attempt_timeout: settings.attempt_timeout,
        ..ingest::Settings::default()
    };
    let problems = of_ingest.problems();
    if !problems.is_empty() {
        bail!("the settings cannot hold: {}", problems.join("; "));
    }
    let ports = ingest::Ports {
        admission: backends.admission.clone(),
        announcements: backends.announcements.clone(),
        queue: backends.queue.clone(),
        directory: backends.store.clone(),
        insight: backends.store.clone(),
        dead_letters: backends.store.clone(),
        steerings: backends.store.clone(),
        replays: backends.store.clone(),
        notices: backends.store.clone(),
        spans,
    };
    let metrics = ingest::Metrics::register(registry)?;
    Ok(Ingest::new(ports, of_ingest, Arc::new(move || clock.now().wall), metrics))
}

/// What an operator shows to the API and to the dashboard.
fn operator_token(settings: &Settings) -> anyhow::Result<Option<OperatorToken>> {
    Ok(settings.operator_token.as_ref().map(|token| OperatorToken::new(token.expose())).transpose()?)
}

/// The partitions that a dispatcher holds, as long as it runs.
fn held(dispatcher: &Arc<Mutex<Option<Dispatcher>>>) -> Partitions {
    let dispatcher = Arc::clone(dispatcher);
    Arc::new(move || dispatcher.lock().as_ref().map(Dispatcher::partitions).unwrap_or_default())
}

/// The master keys that are known, as they are at the time.
fn known(keys: &Arc<MasterKeys>) -> Keys {
    let keys = Arc::clone(keys);
    Arc::new(move || {
        keys.refresh();
        keys.ring().fingerprints().iter().map(ToString::to_string).collect()
    })
}

/// How many files the process may have open.
fn open_files() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn poster(settings: &Settings) -> PosterSettings {
    let default = PosterSettings::default();
    PosterSettings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        attempt_timeout: settings.attempt_timeout,
        connect_timeout: CONNECT.min(settings.attempt_timeout),
        extra_ca: settings.extra_authorities.clone(),
        idle_connections: default.idle_connections.min(open_files() / 4),
        ..default
    }
}

fn lane(settings: &Settings) -> LaneSettings {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    LaneSettings {
        attempts: settings.retry.attempts,
        retry: Schedule::new(&settings.retry),
        hold_after: millis(settings.hold_after),
        outage_after: settings.outage.after,
        probe: Schedule::new(&settings.outage.probe),
        outage_budget: millis(settings.outage.budget),
        keep: millis(settings.outage.keep),
        ..LaneSettings::default()
    }
}

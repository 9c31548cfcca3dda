//! Puts the parts together. The one file that knows which backends are in use.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use parking_lot::Mutex;
use prometheus::Registry;
use spectrum_webhook_core::ids::OwnerId;
use spectrum_webhook_core::lane::LaneSettings;
use spectrum_webhook_core::partition::PartitionSettings;
use spectrum_webhook_core::ports::{Directory as _, Queue as _};
use spectrum_webhook_core::retry::Schedule;
use spectrum_webhook_dispatcher::guard::{Guard, GuardSettings};
use spectrum_webhook_dispatcher::post::{Poster, PosterSettings};
use spectrum_webhook_dispatcher::record::{AttemptMetrics, PruneSettings, Pruner, Recorder, RecorderSettings};
use spectrum_webhook_dispatcher::resolve::SystemResolver;
use spectrum_webhook_dispatcher::slots::{SlotGate, SlotSettings};
use spectrum_webhook_dispatcher::{self as dispatcher, Clock, Dispatcher, MemoryBudget};
use spectrum_webhook_ingest::{self as ingest, Ingest, OperatorToken};
use spectrum_webhook_sql::{Database, Embedded, MasterKey, Options};
use uuid::Uuid;

use crate::config::Settings;
use crate::gauges::StoreGauges;
use crate::telemetry::Check;

/// How often a lease is renewed, and how long it is good for after a renewal was sent; the lease itself lasts 15 s.
const RENEW_EVERY: Duration = Duration::from_secs(5);
const HOLD_LEASE_FOR: Duration = Duration::from_secs(12);
/// How often the share of partitions is looked at.
const SHARE_EVERY: Duration = Duration::from_secs(1);
/// The longest that TCP, TLS and HTTP may take until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// How long readiness waits for the queue.
const READY: Duration = Duration::from_secs(2);
/// The largest batch that ingest takes, unless one event may be larger.
const LARGEST_BATCH: usize = 32 << 20;

/// The database of the data folder, for commands: it works beside a running server.
///
/// # Errors
/// When there is no key, or the database cannot be opened.
pub(crate) async fn open_database(settings: &Settings) -> anyhow::Result<Database> {
    Ok(Database::open(Options::new(&settings.data_dir), master_key(settings)?).await?)
}

fn master_key(settings: &Settings) -> anyhow::Result<MasterKey> {
    match &settings.master_key {
        Some(key) => Ok(key.expose().parse()?),
        None => Ok(MasterKey::load_or_create(&settings.data_dir)?),
    }
}

/// Ingest and dispatcher over the embedded backends.
pub(crate) struct Node {
    embedded: Embedded,
    ingest: Ingest,
    /// Shared with readiness; [`Node::stop_delivering`] takes it out.
    dispatcher: Arc<Mutex<Option<Dispatcher>>>,
    pruner: Pruner,
    gauges: StoreGauges,
    partitions: u16,
}

impl Node {
    /// Opens the data folder and starts to deliver.
    ///
    /// # Errors
    /// When the folder is in use or cannot be used, or belongs to another number of partitions.
    pub(crate) async fn start(settings: &Settings, registry: &Registry) -> anyhow::Result<Self> {
        let embedded = Embedded::open(Options::new(&settings.data_dir), master_key(settings)?).await?;
        match parts(settings, registry, &embedded).await {
            Ok((ingest, parts, gauges)) => {
                let clock = parts.clock;
                let pruning = PruneSettings { keep_attempts: settings.delivery_log_keep, ..PruneSettings::default() };
                let pruner = Pruner::start(embedded.store.clone(), pruning, move || clock.now().wall);
                let dispatcher = Arc::new(Mutex::new(Some(Dispatcher::start(parts))));
                Ok(Self { embedded, ingest, dispatcher, pruner, gauges, partitions: settings.partitions })
            }
            Err(error) => {
                embedded.abandon().await;
                Err(error)
            }
        }
    }

    /// The API.
    pub(crate) fn router(&self) -> Router {
        ingest::router(self.ingest.clone())
    }

    /// What readiness asks: can it publish, and does it consume?
    pub(crate) fn checks(&self) -> Vec<Check> {
        let queue = Arc::clone(&self.embedded.queue);
        let publishing: Check = Arc::new(move || {
            let queue = Arc::clone(&queue);
            Box::pin(async move {
                match tokio::time::timeout(READY, queue.check()).await {
                    Ok(checked) => checked.map_err(|error| error.to_string()),
                    Err(_) => Err("the queue does not answer".to_owned()),
                }
            })
        });
        let dispatcher = Arc::clone(&self.dispatcher);
        // Alone on its folder, it delivers all of them or something is wrong.
        let all = i64::from(self.partitions);
        let consuming: Check = Arc::new(move || {
            let held = dispatcher.lock().as_ref().map_or(0, Dispatcher::partitions_held);
            let consumes = if held >= all { Ok(()) } else { Err(format!("{held} of {all} partitions are delivered")) };
            Box::pin(std::future::ready(consumes))
        });
        vec![publishing, consuming]
    }

    /// Stops delivering: attempts in flight end, and what they settled is written. Call it when the API takes no more.
    pub(crate) async fn stop_delivering(&self) {
        let dispatcher = self.dispatcher.lock().take();
        if let Some(dispatcher) = dispatcher {
            dispatcher.drain().await;
        }
    }

    /// Waits for what ingest began for callers that went away, and closes the data folder. Call it at the very end.
    ///
    /// # Errors
    /// When the database could not be tidied: nothing is lost.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.ingest.drain().await;
        drop((self.pruner, self.gauges));
        self.embedded.close().await.context("the database was not closed in order; nothing is lost")
    }
}

/// Everything that can fail, before anything runs.
async fn parts(
    settings: &Settings,
    registry: &Registry,
    embedded: &Embedded,
) -> anyhow::Result<(Ingest, dispatcher::Parts, StoreGauges)> {
    let partitions = embedded.store.partitions(settings.partitions).await?;
    if partitions != settings.partitions {
        bail!(
            "this data folder has {partitions} partitions, which never change, and SPECTRUM_PARTITIONS is {}: set it to \
             {partitions}",
            settings.partitions
        );
    }
    let clock = Clock::default();
    let ingest = ingest(settings, registry, embedded, clock)?;
    let guard = GuardSettings { allow_http: settings.allow_http, allow_networks: settings.allow_networks.clone() };
    let guard = Guard::new(guard, Arc::new(SystemResolver::new()?));
    let slots = settings.attempt_slots;
    let recorder = AttemptMetrics::register(registry)?;
    let metrics = dispatcher::Metrics::new(registry)?;
    let gauges = StoreGauges::start(registry, embedded.store.clone(), clock)?;
    let parts = dispatcher::Parts {
        ports: dispatcher::Ports {
            queue: embedded.queue.clone(),
            lock: embedded.lock.clone(),
            announcements: embedded.announcements.clone(),
            store: embedded.store.clone(),
        },
        settings: dispatcher::Settings {
            partitions,
            partition: PartitionSettings {
                lane: Arc::new(lane(settings)),
                window: settings.prefetch,
                ..PartitionSettings::default()
            },
            renew_every: RENEW_EVERY,
            hold_lease_for: HOLD_LEASE_FOR,
            share_every: SHARE_EVERY,
            grace: settings.grace,
        },
        poster: Poster::new(poster(settings), Arc::new(guard))?,
        gate: SlotGate::new(SlotSettings { healthy: slots, failing: slots.div_ceil(2), outage: slots.div_ceil(4) }),
        recorder: Recorder::start(embedded.store.clone(), recorder, RecorderSettings::default()),
        // A quarter of the budget is ingest's.
        memory: Arc::new(MemoryBudget::new(settings.memory_budget / 4 * 3)),
        metrics,
        clock,
        seed: rand::random(),
        owner: OwnerId(Uuid::now_v7()),
    };
    Ok((ingest, parts, gauges))
}

fn ingest(settings: &Settings, registry: &Registry, embedded: &Embedded, clock: Clock) -> anyhow::Result<Ingest> {
    let token = settings.operator_token.as_ref().map(|token| OperatorToken::new(token.expose())).transpose()?;
    let of_ingest = ingest::Settings {
        max_event_size: settings.max_event_size,
        max_batch_size: LARGEST_BATCH.max(settings.max_event_size),
        idempotency_window: settings.idempotency_window,
        partitions: settings.partitions,
        operator_token: token,
        max_buffered: settings.memory_budget / 4,
        ..ingest::Settings::default()
    };
    let problems = of_ingest.problems();
    if !problems.is_empty() {
        bail!("the settings cannot hold: {}", problems.join("; "));
    }
    let ports = ingest::Ports {
        admission: embedded.admission.clone(),
        announcements: embedded.announcements.clone(),
        queue: embedded.queue.clone(),
        directory: embedded.store.clone(),
    };
    let metrics = ingest::Metrics::register(registry)?;
    Ok(Ingest::new(ports, of_ingest, Arc::new(move || clock.now().wall), metrics))
}

fn poster(settings: &Settings) -> PosterSettings {
    PosterSettings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        attempt_timeout: settings.attempt_timeout,
        connect_timeout: CONNECT.min(settings.attempt_timeout),
        extra_ca: settings.extra_authorities.clone(),
        ..PosterSettings::default()
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

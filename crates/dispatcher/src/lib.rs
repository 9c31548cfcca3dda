//! The dispatcher: consumes, signs and delivers, for each URL in order.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `lease_keeper` | which partitions this process delivers |
//! | `partition` | one ownership: drives the pure state machine, performs what it asks for |
//! | `holding` | whether a lease is still good by this process's own clock |
//! | `standing` | what readiness says of it |
//! | `guard`, `resolve` | which URLs may be called, and at which addresses |
//! | `post` | one attempt on the wire |
//! | `slots` | how many attempts run at once, and whose |
//! | `record`, `archive` | the delivery log and the archive, written in the background |
//! | `trace` | the spans of deliveries, where traces are recorded |
//! | `memory`, `metrics`, `clock` | the byte budget, the counters, the clocks |

pub mod archive;
mod clock;
pub mod guard;
mod holding;
mod lease_keeper;
mod memory;
mod metrics;
mod partition;
pub mod post;
pub mod record;
pub mod resolve;
pub mod slots;
mod standing;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use spectrum_webhook_core::chance::{Chance as _, Seeded};
use spectrum_webhook_core::ids::OwnerId;
use spectrum_webhook_core::partition::PartitionSettings;
use spectrum_webhook_core::ports::{Announcements, Queue, SequenceLock, Spans, Store};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use clock::Clock;
pub use memory::MemoryBudget;
pub use metrics::{LoadGauges, Metrics};

/// The backends that the dispatcher works with.
#[derive(Clone)]
pub struct Ports {
    /// Events on their way.
    pub queue: Arc<dyn Queue>,
    /// Who delivers what.
    pub lock: Arc<dyn SequenceLock>,
    /// News of the registry.
    pub announcements: Arc<dyn Announcements>,
    /// What rests.
    pub store: Arc<dyn Store>,
}

/// The dispatcher's own numbers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many partitions the deployment has.
    pub partitions: u16,
    /// Those of every partition and lane.
    pub partition: PartitionSettings,
    /// How often a lease is renewed.
    pub renew_every: Duration,
    /// How long after a renewal was sent attempts may start: less than the lease's own time.
    pub hold_lease_for: Duration,
    /// How often the share of partitions is looked at.
    pub share_every: Duration,
    /// How long attempts in flight may go on after a stop was asked for.
    pub grace: Duration,
}

/// What all partitions of the process share.
struct Shared {
    ports: Ports,
    settings: Settings,
    poster: post::Poster,
    gate: slots::SlotGate,
    recorder: record::Recorder,
    archive: archive::Archive,
    spans: Option<Arc<dyn Spans>>,
    memory: Arc<MemoryBudget>,
    memory_freed: Notify,
    metrics: Metrics,
    clock: Clock,
    standing: standing::Standing,
    reads: Semaphore,
    checks: Semaphore,
    seeds: Mutex<Seeded>,
}

impl Shared {
    /// A source of chance of one's own.
    fn chance(&self) -> Seeded {
        Seeded::new(self.seeds.lock().next())
    }
}

/// Reads of the store that may be under way at once.
const READS: usize = 16;

/// Checks of webhooks that may be under way at once; each takes an attempt's time at most.
const CHECKS: usize = 16;

/// What a dispatcher is made of.
pub struct Parts {
    /// The backends.
    pub ports: Ports,
    /// The numbers.
    pub settings: Settings,
    /// Makes attempts.
    pub poster: post::Poster,
    /// Lets them start.
    pub gate: slots::SlotGate,
    /// Logs them.
    pub recorder: record::Recorder,
    /// Keeps the events for a while.
    pub archive: archive::Archive,
    /// Where spans go; `None`: nothing is traced.
    pub spans: Option<Arc<dyn Spans>>,
    /// Bytes for messages that are not acknowledged.
    pub memory: Arc<MemoryBudget>,
    /// Counters.
    pub metrics: Metrics,
    /// Clocks.
    pub clock: Clock,
    /// The seed of all jitter.
    pub seed: u64,
    /// This start of this process.
    pub owner: OwnerId,
}

/// A running dispatcher. Dropping it aborts it; [`Dispatcher::drain`] stops it cleanly.
pub struct Dispatcher {
    shared: Arc<Shared>,
    stop: CancellationToken,
    keeper: JoinHandle<()>,
    _tidier: AbortOnDropHandle<()>,
}

impl Dispatcher {
    /// Starts to take partitions and to deliver.
    pub fn start(parts: Parts) -> Self {
        let shared = Arc::new(Shared {
            ports: parts.ports,
            settings: parts.settings,
            poster: parts.poster,
            gate: parts.gate,
            recorder: parts.recorder,
            archive: parts.archive,
            spans: parts.spans,
            memory: parts.memory,
            memory_freed: Notify::new(),
            metrics: parts.metrics,
            clock: parts.clock,
            standing: standing::Standing::default(),
            reads: Semaphore::new(READS),
            checks: Semaphore::new(CHECKS),
            seeds: Mutex::new(Seeded::new(parts.seed)),
        });
        let stop = CancellationToken::new();
        let keeper = lease_keeper::LeaseKeeper::new(Arc::clone(&shared), parts.owner);
        let keeper = tokio::spawn(keeper.run(stop.clone()));
        let tidier = AbortOnDropHandle::new(tokio::spawn(tidy(Arc::clone(&shared))));
        Self { shared, stop, keeper, _tidier: tidier }
    }

    /// Whether it delivers its share of the partitions: what readiness asks.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn check(&self) -> Result<(), String> {
        let Shared { standing, settings, metrics, clock, .. } = &*self.shared;
        standing.check(
            usize::from(settings.partitions),
            metrics.partitions_held.get(),
            settings.share_every,
            clock.mono(),
        )
    }

    /// The partitions that it holds.
    pub fn partitions(&self) -> Vec<u16> {
        self.shared.standing.partitions()
    }

    /// Takes no new event, lets attempts in flight end, settles and acknowledges them, gives the leases back, and
    /// writes the rest of the delivery log and the archive.
    pub async fn drain(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.keeper).await {
            tracing::error!(%error, "the dispatcher did not stop cleanly");
        }
        tokio::join!(self.shared.recorder.shutdown(), self.shared.archive.shutdown());
    }
}

/// How often is closed what has been unused for its time.
const TIDY: Duration = Duration::from_secs(5);

async fn tidy(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TIDY).await;
        shared.poster.tidy();
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

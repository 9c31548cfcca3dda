//! One suite for each port, written from the rules of the design. Every backend goes through it.
//!
//! | suite | port |
//! | --- | --- |
//! | `queue` | `Queue` with its subscriptions |
//! | `sequence_lock` | `SequenceLock` |
//! | `admission` | `Admission` |
//! | `announcements` | `Announcements` |
//! | `store` | `Store` |
//! | `dead_letters` | `DeadLetters` and `Steerings`: what people do about what the store holds |
//! | `replays`, `notices` | `Replays`, `Notices` |
//! | `directory` | `Directory`, and the registry that the store reads of it |
//! | `insight` | `Insight`, over what a store and a directory wrote |
//! | `survey` | `Survey` and `Fleet`, likewise |
//!
//! A suite panics at the first check that fails; the last check logged (at `info`) is that one.

#![expect(clippy::expect_used, reason = "what is expected here is what is checked")]

mod admission;
mod announcements;
mod dead_letters;
mod directory;
mod insight;
mod insight_archive;
mod insight_log;
mod notices;
mod queue;
mod replays;
mod samples;
mod sequence_lock;
mod store;
mod store_moves;
mod store_readings;
mod survey;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spectrum_webhook_core::ports::{
    Admission, Announcements, DeadLetters, Directory, Fleet, Insight, Notices, Queue, Replays, SequenceLock, Steerings,
    Store, Survey,
};

pub use admission::admission;
pub use announcements::announcements;
pub use dead_letters::dead_letters;
pub use directory::directory;
pub use insight::insight;
pub use notices::notices;
pub use queue::queue;
pub use replays::replays;
pub use sequence_lock::sequence_lock;
pub use store::store;
pub use survey::survey;

/// What a world needs to stay alive, a temporary folder for instance.
pub type Keep = Box<dyn Any + Send + Sync>;

/// Makes worlds: backends with nothing in them.
#[async_trait]
pub trait Fixture<W>: Send + Sync {
    /// A new one.
    async fn fresh(&self) -> W;
}

/// What the queue's suite needs.
pub struct QueueWorld {
    /// The queue under test.
    pub queue: Arc<dyn Queue>,
    /// Whatever has to live as long.
    pub keep: Keep,
}

/// What the sequence lock's suite needs.
pub struct LockWorld {
    /// The lock under test.
    pub lock: Arc<dyn SequenceLock>,
    /// Where an event is before a delivery of it is marked: some locks keep marks beside the queue.
    pub queue: Arc<dyn Queue>,
    /// Whatever has to live as long.
    pub keep: Keep,
}

/// What admission's suite needs.
pub struct AdmissionWorld {
    /// Admission under test.
    pub admission: Arc<dyn Admission>,
    /// Where admitted events are published: some keep the record beside them.
    pub queue: Arc<dyn Queue>,
    /// Whatever has to live as long.
    pub keep: Keep,
}

/// What the announcements' suite needs.
pub struct AnnouncementsWorld {
    /// The announcements under test.
    pub announcements: Arc<dyn Announcements>,
    /// The lock that says who owns a partition.
    pub lock: Arc<dyn SequenceLock>,
    /// Whatever has to live as long.
    pub keep: Keep,
}

/// What the suites of store, directory and dead letters need.
pub struct StoreWorld {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The directory over the same data.
    pub directory: Arc<dyn Directory>,
    /// Dead letters among it.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What people wanted of lanes.
    pub steerings: Arc<dyn Steerings>,
    /// Replays of it.
    pub replays: Arc<dyn Replays>,
    /// Notices of it.
    pub notices: Arc<dyn Notices>,
    /// Whatever has to live as long.
    pub keep: Keep,
}

impl StoreWorld {
    /// One store behind all of these ports.
    pub fn of<S>(store: Arc<S>, keep: Keep) -> Self
    where
        S: Store + Directory + DeadLetters + Steerings + Replays + Notices + 'static,
    {
        Self {
            store: store.clone(),
            directory: store.clone(),
            dead_letters: store.clone(),
            steerings: store.clone(),
            replays: store.clone(),
            notices: store,
            keep,
        }
    }
}

/// What insight's suite needs.
pub struct InsightWorld {
    /// The insight under test.
    pub insight: Arc<dyn Insight>,
    /// What writes what it reads.
    pub store: StoreWorld,
}

/// What the survey's suite needs.
pub struct SurveyWorld {
    /// The survey under test.
    pub survey: Arc<dyn Survey>,
    /// The fleet under test.
    pub fleet: Arc<dyn Fleet>,
    /// What writes what it reads.
    pub insight: InsightWorld,
}

/// Longer than any check takes: one that hangs fails under its name.
const PATIENCE: Duration = Duration::from_secs(60);

async fn check(name: &str, check: Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
    tracing::info!(check = name);
    assert!(tokio::time::timeout(PATIENCE, check).await.is_ok(), "{name}: not done within {PATIENCE:?}");
}

/// Runs checks one after another, each in a world of its own.
macro_rules! checks {
    ($fixture:expr; $($check:path),* $(,)?) => {
        $(
            $crate::conformance::check(stringify!($check), Box::pin(async { $check($fixture.fresh().await).await })).await;
        )*
    };
}
use checks;

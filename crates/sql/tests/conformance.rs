//! Every port over SQLite goes through its suite.

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use spectrum_webhook_sql::Embedded;
use spectrum_webhook_testkit::conformance::{
    self, AdmissionWorld, AnnouncementsWorld, Fixture, InsightWorld, Keep, LockWorld, QueueWorld, StoreWorld,
    SurveyWorld,
};

struct Sqlite;

async fn open() -> (Arc<Embedded>, Keep) {
    let dir = common::folder();
    let embedded = Arc::new(common::open(&dir).await);
    let keep = Box::new((Arc::clone(&embedded), dir));
    (embedded, keep)
}

#[async_trait]
impl Fixture<QueueWorld> for Sqlite {
    async fn fresh(&self) -> QueueWorld {
        let (embedded, keep) = open().await;
        QueueWorld { queue: embedded.queue.clone(), keep }
    }
}

#[async_trait]
impl Fixture<LockWorld> for Sqlite {
    async fn fresh(&self) -> LockWorld {
        let (embedded, keep) = open().await;
        LockWorld { lock: embedded.lock.clone(), queue: embedded.queue.clone(), keep }
    }
}

#[async_trait]
impl Fixture<AdmissionWorld> for Sqlite {
    async fn fresh(&self) -> AdmissionWorld {
        let (embedded, keep) = open().await;
        AdmissionWorld { admission: embedded.admission.clone(), queue: embedded.queue.clone(), keep }
    }
}

#[async_trait]
impl Fixture<AnnouncementsWorld> for Sqlite {
    async fn fresh(&self) -> AnnouncementsWorld {
        let (embedded, keep) = open().await;
        AnnouncementsWorld { announcements: embedded.announcements.clone(), lock: embedded.lock.clone(), keep }
    }
}

#[async_trait]
impl Fixture<StoreWorld> for Sqlite {
    async fn fresh(&self) -> StoreWorld {
        let (embedded, keep) = open().await;
        StoreWorld::of(embedded.store.clone(), keep)
    }
}

#[async_trait]
impl Fixture<InsightWorld> for Sqlite {
    async fn fresh(&self) -> InsightWorld {
        let (embedded, keep) = open().await;
        let insight = embedded.store.clone();
        InsightWorld { insight, store: StoreWorld::of(embedded.store.clone(), keep) }
    }
}

#[async_trait]
impl Fixture<SurveyWorld> for Sqlite {
    async fn fresh(&self) -> SurveyWorld {
        let (embedded, keep) = open().await;
        let store = embedded.store.clone();
        let insight = InsightWorld { insight: store.clone(), store: StoreWorld::of(store.clone(), keep) };
        SurveyWorld { survey: store.clone(), fleet: store, insight }
    }
}

#[tokio::test]
async fn the_embedded_queue_conforms() {
    conformance::queue(&Sqlite).await;
}

#[tokio::test]
async fn the_embedded_sequence_lock_conforms() {
    conformance::sequence_lock(&Sqlite).await;
}

#[tokio::test]
async fn the_embedded_admission_conforms() {
    conformance::admission(&Sqlite).await;
}

#[tokio::test]
async fn the_embedded_announcements_conform() {
    conformance::announcements(&Sqlite).await;
}

#[tokio::test]
async fn the_store_conforms_on_sqlite() {
    conformance::store(&Sqlite).await;
}

#[tokio::test]
async fn the_directory_conforms_on_sqlite() {
    conformance::directory(&Sqlite).await;
}

#[tokio::test]
async fn the_insight_conforms_on_sqlite() {
    conformance::insight(&Sqlite).await;
}

#[tokio::test]
async fn the_survey_conforms_on_sqlite() {
    conformance::survey(&Sqlite).await;
}

#[tokio::test]
async fn dead_letters_conform_on_sqlite() {
    conformance::dead_letters(&Sqlite).await;
}

#[tokio::test]
async fn replays_conform_on_sqlite() {
    conformance::replays(&Sqlite).await;
}

#[tokio::test]
async fn notices_conform_on_sqlite() {
    conformance::notices(&Sqlite).await;
}

/// The parts share one writer: on many threads they must hold as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_queue_conforms_on_many_threads() {
    conformance::queue(&Sqlite).await;
}

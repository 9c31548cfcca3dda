//! PostgreSQL: it passes the suites of store, directory and insight, and what is its own. It passes them on a schema that
//! has what the next release may add, as they run beside one another in an upgrade.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/next.rs"]
mod next;

use std::sync::Arc;

use async_trait::async_trait;
use spectrum_webhook_sql::{Database, MasterKey, PostgresOptions, SqlStore};
use spectrum_webhook_testkit::conformance::{self, Fixture, InsightWorld, StoreWorld, SurveyWorld};
use spectrum_webhook_testkit::services::shared;

const KEY: [u8; 32] = [7; 32];

async fn open(url: String) -> Database {
    Database::connect(PostgresOptions::new(url), MasterKey::from_bytes(KEY)).await.expect("a database")
}

struct Postgres;

async fn fresh() -> (Arc<SqlStore>, StoreWorld) {
    let url = shared().postgres().await.database().await;
    let database = open(url.clone()).await;
    next::migrate(&url, 1).await;
    let store = Arc::new(SqlStore::new(database.clone()));
    (store.clone(), StoreWorld::of(store, Box::new(database)))
}

#[async_trait]
impl Fixture<StoreWorld> for Postgres {
    async fn fresh(&self) -> StoreWorld {
        fresh().await.1
    }
}

#[async_trait]
impl Fixture<InsightWorld> for Postgres {
    async fn fresh(&self) -> InsightWorld {
        let (insight, store) = fresh().await;
        InsightWorld { insight, store }
    }
}

#[async_trait]
impl Fixture<SurveyWorld> for Postgres {
    async fn fresh(&self) -> SurveyWorld {
        let (survey, store) = fresh().await;
        SurveyWorld { survey: survey.clone(), fleet: survey.clone(), insight: InsightWorld { insight: survey, store } }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_conforms_on_postgresql() {
    conformance::store(&Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_conforms_on_postgresql() {
    conformance::directory(&Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_insight_conforms_on_postgresql() {
    conformance::insight(&Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_survey_conforms_on_postgresql() {
    conformance::survey(&Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_conform_on_postgresql() {
    conformance::dead_letters(&Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_conform_on_postgresql() {
    conformance::replays(&Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_conform_on_postgresql() {
    conformance::notices(&Postgres).await;
}

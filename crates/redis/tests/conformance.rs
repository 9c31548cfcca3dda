//! Redis passes the suites of its three ports: single, behind sentinels, and as a cluster.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use spectrum_webhook_core::ids::{Epoch, OwnerId, PartitionId};
use spectrum_webhook_core::ports::{Queue, SequenceLock as _};
use spectrum_webhook_redis::{Options, Redis};
use spectrum_webhook_sql::{Embedded, MasterKey};
use spectrum_webhook_testkit::conformance::{self, AdmissionWorld, AnnouncementsWorld, Fixture, Keep, LockWorld};
use spectrum_webhook_testkit::services::{self, shared};
use uuid::Uuid;

/// Each world is a namespace.
struct Worlds {
    url: String,
}

impl Worlds {
    async fn redis(&self) -> Redis {
        let namespace = format!("test-{}", rand::random::<u64>());
        // Where nobody ever held a lease, a change waits for the time of one.
        let options = Options { lease: Duration::from_secs(2), ..Options::new(self.url.clone(), namespace) };
        Redis::connect(options).await.expect("Redis")
    }
}

/// Some worlds want a queue; any will do.
async fn queue() -> (Arc<dyn Queue>, Keep) {
    let dir = tempfile::tempdir().expect("a folder");
    let options =
        spectrum_webhook_sql::Options { synchronous_off: true, ..spectrum_webhook_sql::Options::new(dir.path()) };
    let embedded = Embedded::open(options, MasterKey::from_bytes([7; 32])).await.expect("a queue");
    (embedded.queue.clone(), Box::new((embedded, dir)))
}

#[async_trait]
impl Fixture<LockWorld> for Worlds {
    async fn fresh(&self) -> LockWorld {
        let (redis, (queue, keep)) = (self.redis().await, queue().await);
        LockWorld { lock: redis.lock.clone(), queue, keep: Box::new((redis, keep)) }
    }
}

#[async_trait]
impl Fixture<AdmissionWorld> for Worlds {
    async fn fresh(&self) -> AdmissionWorld {
        let (redis, (queue, keep)) = (self.redis().await, queue().await);
        AdmissionWorld { admission: redis.admission.clone(), queue, keep: Box::new((redis, keep)) }
    }
}

#[async_trait]
impl Fixture<AnnouncementsWorld> for Worlds {
    async fn fresh(&self) -> AnnouncementsWorld {
        let redis = self.redis().await;
        AnnouncementsWorld {
            announcements: redis.announcements.clone(),
            lock: redis.lock.clone(),
            keep: Box::new(redis),
        }
    }
}

async fn all_suites(url: String) {
    let worlds = Worlds { url };
    conformance::sequence_lock(&worlds).await;
    conformance::admission(&worlds).await;
    conformance::announcements(&worlds).await;
    forgets(&worlds).await;
}

/// Its own keys on all nodes, and no other's.
async fn forgets(worlds: &Worlds) {
    let (redis, other) = (worlds.redis().await, worlds.redis().await);
    // More than one look at them brings.
    let partitions: Vec<PartitionId> = (0..1_500).map(PartitionId).collect();
    for redis in [&redis, &other] {
        let take =
            partitions.iter().map(|partition| redis.lock.acquire(*partition, OwnerId(Uuid::from_u128(1)), Epoch(0)));
        for taken in join_all(take).await {
            taken.expect("an answer").expect("a lease");
        }
    }
    for redis in [&redis, &other] {
        let deleted = redis.forget().await.expect("deleted");
        assert!(deleted >= 1_500, "{deleted}");
        assert_eq!(redis.forget().await.expect("deleted"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_redis_passes_all_suites() {
    all_suites(shared().redis().await.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_behind_a_sentinel_passes_all_suites() {
    let redis = services::Redis::sentinel().await;
    all_suites(redis.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_cluster_passes_all_suites() {
    let redis = services::Redis::cluster().await;
    all_suites(redis.url()).await;
}

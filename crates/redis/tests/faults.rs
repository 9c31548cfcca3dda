//! A Redis that forgets, fails over, freezes, or is set up such that it cannot be trusted.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::ids::{Epoch, EventId, OwnerId, PartitionId, ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{
    Admission as _, Announcements as _, IdempotencyKey, Lease, Mark, PortError, SequenceLock as _, Verdict,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_redis::{Options, Redis};
use spectrum_webhook_testkit::services::{self, RedisSetup, shared};
use tokio::time::Instant;
use uuid::Uuid;

const PARTITION: PartitionId = PartitionId(3);
const LEASE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

fn options(url: String) -> Options {
    Options { lease: LEASE, ..Options::new(url, format!("test-{}", rand::random::<u64>())) }
}

async fn connect(options: &Options) -> Redis {
    Redis::connect(options.clone()).await.expect("Redis")
}

fn owner() -> OwnerId {
    OwnerId(Uuid::now_v7())
}

async fn acquire(redis: &Redis, floor: Epoch) -> Lease {
    redis.lock.acquire(PARTITION, owner(), floor).await.expect("acquire").expect("free")
}

/// Asks until Redis answers.
async fn acquire_again(redis: &Redis, floor: Epoch) -> Lease {
    let begun = Instant::now();
    loop {
        match redis.lock.acquire(PARTITION, owner(), floor).await {
            Ok(Some(lease)) => return lease,
            Ok(None) => {}
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
        assert!(begun.elapsed() < PATIENCE, "the partition is not given");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn mark() -> Mark {
    let key = DeliveryKey { event: EventId(Uuid::now_v7()), webhook: WebhookId(Uuid::now_v7()) };
    Mark { key, last: false }
}

fn is_fenced<T: std::fmt::Debug>(outcome: Result<T, PortError>) -> bool {
    matches!(outcome, Err(PortError::Fenced { .. }))
}

/// Whatever an owner of the past does is refused.
async fn is_powerless(redis: &Redis, old: &Lease) {
    assert!(!redis.lock.renew(old).await.expect("renew"));
    assert!(is_fenced(redis.lock.settle(old, &[mark()]).await));
    assert!(is_fenced(redis.lock.look_up(old, &[mark().key]).await));
    let confirm = redis.announcements.confirm(old, ProjectId(Uuid::now_v7()), RegistryVersion(1)).await;
    assert!(is_fenced(confirm));
    redis.lock.release(old).await.expect("release");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_never_repeats_after_everything_was_forgotten() {
    let server = services::Redis::start().await;
    let redis = connect(&options(server.url())).await;
    let old = acquire(&redis, Epoch(0)).await;
    server.flush_all();
    is_powerless(&redis, &old).await;
    let current = acquire(&redis, old.epoch).await;
    assert!(current.epoch.0 >= old.epoch.0 + Epoch::STEP);
    is_powerless(&redis, &old).await;
    assert!(redis.lock.renew(&current).await.expect("renew"), "the old one took nothing from it");

    server.kill().await;
    assert!(redis.lock.renew(&current).await.expect_err("nobody is there").is_retriable());
    server.start_again().await;
    let next = acquire_again(&redis, current.epoch).await;
    assert!(next.epoch.0 >= current.epoch.0 + Epoch::STEP);
    assert!(redis.reach().losses() > 0 && redis.reach().state().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_is_above_the_stores_whatever_the_clock_says() {
    let redis = connect(&options(shared().redis().await.url())).await;
    // An owner's epoch of a clock that ran ahead by years.
    let ahead = Epoch((1_i64 << 53) - 4 * Epoch::STEP);
    let first = acquire(&redis, ahead).await;
    assert_eq!(first.epoch.0, ahead.0 + Epoch::STEP);
    redis.lock.release(&first).await.expect("release");
    assert_eq!(acquire(&redis, Epoch(0)).await.epoch.0, first.epoch.0 + Epoch::STEP, "exactly, at 16 digits");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_never_repeats_when_a_replica_that_lags_is_promoted() {
    let server = services::Redis::with_replica().await;
    let options = options(server.url());
    let redis = connect(&options).await;
    let first = acquire(&redis, Epoch(0)).await;
    server.cut_replica_off();
    redis.lock.release(&first).await.expect("release");
    let second = acquire(&redis, first.epoch).await;
    // The replica knows nothing of the second one.
    let promoted = connect(&Options { url: server.url_of(1), ..options }).await;
    let third = acquire_again(&promoted, second.epoch).await;
    assert!(third.epoch > second.epoch);
    is_powerless(&promoted, &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fail_over_the_new_master_is_found() {
    let server = services::Redis::sentinel().await;
    let redis = connect(&options(server.url())).await;
    let old = acquire(&redis, Epoch(0)).await;
    tokio::task::block_in_place(|| server.fail_over());
    let begun = Instant::now();
    // Renewed on the new master, or lost with the old one; but it answers, and it writes.
    while redis.lock.renew(&old).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "the new master is not found");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.lock.release(&old).await.expect("release");
    assert!(acquire_again(&redis, old.epoch).await.epoch > old.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_counter_stands_still_is_taken_though_the_server_never_lets_it_expire() {
    let server = services::Redis::start().await;
    let options = options(server.url());
    let (holder, taker) = (connect(&options).await, connect(&options).await);
    let old = acquire(&holder, Epoch(0)).await;
    let key = format!("{}:{{{PARTITION}}}:lease", options.namespace);
    server.command(0, &["PERSIST", &key]);
    let asked = Instant::now();
    let next = owner();
    // It is alive for a while: the counter moves.
    while asked.elapsed() < LEASE * 3 / 2 {
        assert!(taker.lock.acquire(PARTITION, next, Epoch(0)).await.expect("acquire").is_none());
        assert!(holder.lock.renew(&old).await.expect("renew"));
        server.command(0, &["PERSIST", &key]);
        tokio::time::sleep(LEASE / 4).await;
    }
    let silent = Instant::now();
    let current = acquire_again(&taker, Epoch(0)).await;
    assert!(silent.elapsed() > LEASE / 2, "{:?}", silent.elapsed());
    assert!(current.epoch > old.epoch);
    is_powerless(&holder, &old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_the_living_within_seconds() {
    let redis = connect(&options(shared().redis().await.url())).await;
    let (one, two) = (owner(), owner());
    assert_eq!(redis.lock.heartbeat(one).await.expect("heartbeat"), 1);
    assert_eq!(redis.lock.heartbeat(two).await.expect("heartbeat"), 2);
    let begun = Instant::now();
    while redis.lock.heartbeat(one).await.expect("heartbeat") > 1 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the silent one still counts");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn key(number: u8) -> IdempotencyKey {
    IdempotencyKey { key: [number; 32], body: [9; 32], expires_at: Millis(3_600_000) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_whose_publisher_died_is_published_again_under_its_id() {
    let options = Options { patience: Duration::from_millis(300), ..options(shared().redis().await.url()) };
    let redis = connect(&options).await;
    let (project, first) = (ProjectId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    let begin = async |proposed| {
        let admitted = redis.admission.begin(PARTITION, project, proposed, Some(&key(1)), Millis(1)).await;
        admitted.expect("begin").verdict
    };
    assert_eq!(begin(first).await, Verdict::Publish { id: first, again: false });
    // Nobody ever says how it ended.
    assert_eq!(begin(EventId(Uuid::now_v7())).await, Verdict::Publish { id: first, again: true });
    redis.admission.end(PARTITION, project, first, &key(1), true).await.expect("end");
    assert_eq!(begin(EventId(Uuid::now_v7())).await, Verdict::Duplicate(first));
}

/// The version that a post is accepted under, if a copy is at hand.
async fn copy(redis: &Redis, project: ProjectId) -> Option<RegistryVersion> {
    let proposed = EventId(Uuid::now_v7());
    redis.admission.begin(PARTITION, project, proposed, None, Millis(1)).await.expect("begin").registry
}

#[tokio::test(flavor = "multi_thread")]
async fn no_copy_of_a_version_is_trusted_while_any_change_is_under_way() {
    let options = options(shared().redis().await.url());
    let (one, two) = (connect(&options).await, connect(&options).await);
    let project = ProjectId(Uuid::now_v7());
    let version = RegistryVersion;
    assert_eq!(copy(&one, project).await, None);
    one.admission.learn(PARTITION, project, version(4)).await.expect("learn");
    assert_eq!(copy(&one, project).await, Some(version(4)));
    one.announcements.begin_change(PARTITION, project).await.expect("begin");
    two.announcements.begin_change(PARTITION, project).await.expect("begin");
    assert_eq!(copy(&one, project).await, None);
    one.admission.learn(PARTITION, project, version(4)).await.expect("learn");
    assert_eq!(copy(&one, project).await, None, "what was read before the change counts for nothing");
    one.announcements.end_change(PARTITION, project, version(5)).await.expect("end");
    assert_eq!(copy(&one, project).await, None, "the other change may be committed by now");
    two.announcements.end_change(PARTITION, project, version(6)).await.expect("end");
    assert_eq!(copy(&one, project).await, Some(version(6)));
    // The owner disables a webhook: a change that it does not begin.
    two.announcements.end_change(PARTITION, project, version(7)).await.expect("end");
    one.admission.learn(PARTITION, project, version(6)).await.expect("learn");
    assert_eq!(copy(&one, project).await, Some(version(7)), "an older version replaces no newer one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_confirmed_by_the_owners_word_or_by_its_end_and_by_nothing_else() {
    let server = services::Redis::start().await;
    let redis = Arc::new(connect(&options(server.url())).await);
    let project = ProjectId(Uuid::now_v7());
    let confirmed = async |version, patience| {
        let confirmed = redis.announcements.confirmed(PARTITION, project, RegistryVersion(version), patience).await;
        confirmed.expect("an answer")
    };
    let lease = acquire(&redis, Epoch(0)).await;
    let alive = {
        let redis = Arc::clone(&redis);
        tokio::spawn(async move {
            loop {
                redis.lock.renew(&lease).await.expect("renew");
                tokio::time::sleep(LEASE / 4).await;
            }
        })
    };
    assert!(!confirmed(1, LEASE * 2).await, "an owner that lives and says nothing");
    redis.announcements.confirm(&lease, project, RegistryVersion(1)).await.expect("confirm");
    assert!(confirmed(1, LEASE).await);
    // It is killed: nothing is known until its lease has run out.
    alive.abort();
    let begun = Instant::now();
    assert!(confirmed(2, LEASE * 4).await);
    assert!(begun.elapsed() >= LEASE, "{:?}", begun.elapsed());
    // Redis forgets everything: whoever holds the partition may not know it yet.
    acquire(&redis, Epoch(0)).await;
    server.flush_all();
    let begun = Instant::now();
    assert!(confirmed(3, LEASE * 4).await);
    assert!(begun.elapsed() >= LEASE, "{:?}", begun.elapsed());
    // Redis is gone: nothing is known.
    server.kill().await;
    assert!(!confirmed(4, LEASE * 2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_is_noticed_at_once_and_slows_nobody() {
    let server = services::Redis::start().await;
    let redis = connect(&options(server.url())).await;
    server.kill().await;
    while redis.reach().state().is_ok() {
        let _ = redis.lock.heartbeat(owner()).await;
    }
    let begun = Instant::now();
    for _ in 0..100 {
        redis.lock.heartbeat(owner()).await.expect_err("nobody is there");
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_not_grow_with_the_number_of_deliveries() {
    let server = services::Redis::start().await;
    let redis = connect(&options(server.url())).await;
    let lease = acquire(&redis, Epoch(0)).await;
    let marks: Vec<Mark> = (0..2_000).map(|_| mark()).collect();
    redis.lock.settle(&lease, &marks).await.expect("settle");
    let keys: Vec<DeliveryKey> = marks.iter().map(|mark| mark.key).collect();
    assert_eq!(redis.lock.look_up(&lease, &keys).await.expect("look up"), keys);
    let size: usize = server.command(0, &["DBSIZE"]).trim().parse().expect("a number");
    assert!(size <= 4, "{size} keys: lease, epoch, and one or two buckets of marks");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_the_authority_that_is_named_and_refused_without() {
    let server = services::Redis::start_with(RedisSetup { tls: true, ..RedisSetup::default() }).await;
    let trusting = Options { ca: server.authority().map(ToOwned::to_owned), ..options(server.url()) };
    acquire(&connect(&trusting).await, Epoch(0)).await;
    let refused = Redis::connect(options(server.url())).await.err().expect("refused");
    assert!(refused.to_string().contains("SPECTRUM_SERVICES_CA_FILE"), "{refused}");
    assert!(!format!("{refused} {trusting:?}").contains(server.password()));
}

//! What may have been forgotten counts for nothing: a copy that may be old, a holder that may not know, a word that is
//! told once more.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use spectrum_webhook_core::ids::{Epoch, EventId, OwnerId, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Admission as _, Announcements as _, IdempotencyKey, SequenceLock as _, Verdict};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_redis::{Options, Redis};
use spectrum_webhook_testkit::services::{self, shared};
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

/// Asks until it is answered.
async fn until_ok<T, E: std::fmt::Display>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_redis_forgot_a_lease_a_new_owners_word_counts_when_the_old_one_has_stopped() {
    let server = services::Redis::start().await;
    let redis = connect(&options(server.url())).await;
    let project = ProjectId(Uuid::now_v7());
    let confirmed = async |patience| {
        let confirmed = redis.announcements.confirmed(PARTITION, project, RegistryVersion(1), patience).await;
        confirmed.expect("an answer")
    };
    let old = redis.lock.acquire(PARTITION, owner(), Epoch(0)).await.expect("acquire").expect("free");
    server.flush_all();
    let flushed = Instant::now();
    // Somebody takes the partition over, loads the newest registry, and says so. The old one still counts down.
    let new = redis.lock.acquire(PARTITION, owner(), old.epoch).await.expect("acquire").expect("free");
    redis.announcements.confirm(&new, project, RegistryVersion(1)).await.expect("confirm");
    assert!(!confirmed(LEASE / 4).await, "the old one may start an attempt yet");
    assert!(confirmed(LEASE * 2).await);
    assert!(flushed.elapsed() >= LEASE * 3 / 4, "{:?}", flushed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_new_connection_no_copy_of_a_version_is_trusted_before_the_directory_was_read() {
    let server = services::Redis::start().await;
    let options = options(server.url());
    let (one, other) = (connect(&options).await, connect(&options).await);
    let project = ProjectId(Uuid::now_v7());
    let copy = async || {
        let proposed = EventId(Uuid::now_v7());
        one.admission.begin(PARTITION, project, proposed, None, Millis(1)).await.map(|admitted| admitted.registry)
    };
    assert_eq!(copy().await.expect("begin"), None);
    one.admission.learn(PARTITION, project, RegistryVersion(4)).await.expect("learn");
    assert_eq!(copy().await.expect("begin"), Some(RegistryVersion(4)));
    // A Redis takes its place that knows an older version: a snapshot, or a replica that lagged.
    server.kill().await;
    server.start_again().await;
    until_ok(async || other.admission.learn(PARTITION, project, RegistryVersion(3)).await).await;
    assert_eq!(until_ok(copy).await, None, "it may be old");
    one.admission.learn(PARTITION, project, RegistryVersion(5)).await.expect("learn");
    assert_eq!(copy().await.expect("begin"), Some(RegistryVersion(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_renewed_lasts_anew_unless_it_is_newer_or_not_known_here() {
    let server = services::Redis::start().await;
    let options = options(server.url());
    let redis = connect(&options).await;
    let project = ProjectId(Uuid::now_v7());
    let life = |script| server.command(0, &["EVAL", script, "0"]).trim().parse::<u64>().expect("milliseconds");
    let shorten = "redis.call('PEXPIRE', redis.call('KEYS', '*')[1], 2000) return #redis.call('KEYS', '*')";
    let ask = "return redis.call('PTTL', redis.call('KEYS', '*')[1])";
    redis.admission.learn(PARTITION, project, RegistryVersion(4)).await.expect("learn");
    assert_eq!(life(shorten), 1, "there is the copy alone");
    redis.admission.renew(PARTITION, project, RegistryVersion(3)).await.expect("renew");
    let other = connect(&options).await;
    other.admission.renew(PARTITION, project, RegistryVersion(4)).await.expect("renew");
    assert!(life(ask) <= 2_000, "an older version renews nothing, nor does who has not learned it");
    redis.admission.renew(PARTITION, project, RegistryVersion(4)).await.expect("renew");
    assert!(life(ask) > 30_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_confirmed_stays_so_whatever_becomes_of_another_try() {
    let redis = connect(&options(shared().redis().await.url())).await;
    let (project, id) = (ProjectId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    let key = IdempotencyKey { key: [1; 32], body: [9; 32], expires_at: Millis(3_600_000) };
    let begin = async |id| {
        let admitted = redis.admission.begin(PARTITION, project, id, Some(&key), Millis(1)).await;
        admitted.expect("begin").verdict
    };
    assert_eq!(begin(id).await, Verdict::Publish { id, again: false });
    redis.admission.end(PARTITION, project, id, &key, true).await.expect("end");
    // The first try hears nothing in time, after the second was confirmed.
    redis.admission.end(PARTITION, project, id, &key, false).await.expect("end");
    assert_eq!(begin(EventId(Uuid::now_v7())).await, Verdict::Duplicate(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_that_nobody_waited_for_are_noted_before_a_process_ends() {
    let server = services::Redis::start().await;
    let redis = connect(&options(server.url())).await;
    let project = ProjectId(Uuid::now_v7());
    for number in 0..200 {
        let id = EventId(Uuid::now_v7());
        let key = IdempotencyKey { key: [number; 32], body: [9; 32], expires_at: Millis(3_600_000) };
        redis.admission.begin(PARTITION, project, id, Some(&key), Millis(1)).await.expect("begin");
        redis.admission.end(PARTITION, project, id, &key, number % 2 == 0).await.expect("end");
    }
    redis.close().await;
    let states = "local count = {c = 0, o = 0, p = 0} for _, key in ipairs(redis.call('KEYS', '*:post:*')) do \
                  local state = string.sub(redis.call('GET', key), 1, 1) count[state] = count[state] + 1 end \
                  return count.c .. ' ' .. count.o .. ' ' .. count.p";
    assert_eq!(server.command(0, &["EVAL", states, "0"]).trim(), "100 100 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_asked_for_again_because_the_answer_was_lost_does_not_wait_for_itself() {
    let redis = connect(&options(shared().redis().await.url())).await;
    let (project, id) = (ProjectId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    let key = IdempotencyKey { key: [1; 32], body: [9; 32], expires_at: Millis(3_600_000) };
    let begun = Instant::now();
    for _ in 0..2 {
        let admitted = redis.admission.begin(PARTITION, project, id, Some(&key), Millis(1)).await.expect("begin");
        assert_eq!(admitted.verdict, Verdict::Publish { id, again: false });
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_announces_ends_no_change_of_a_person() {
    let redis = connect(&options(shared().redis().await.url())).await;
    let project = ProjectId(Uuid::now_v7());
    redis.admission.learn(PARTITION, project, RegistryVersion(1)).await.expect("learn");
    redis.announcements.begin_change(PARTITION, project).await.expect("begin");
    redis.announcements.announce(PARTITION, project, RegistryVersion(2)).await.expect("announce");
    let proposed = EventId(Uuid::now_v7());
    let admitted = redis.admission.begin(PARTITION, project, proposed, None, Millis(1)).await.expect("begin");
    assert_eq!(admitted.registry, None, "the person's change is still under way");
    redis.announcements.end_change(PARTITION, project, RegistryVersion(3)).await.expect("end");
    let admitted = redis.admission.begin(PARTITION, project, proposed, None, Millis(1)).await.expect("begin");
    assert_eq!(admitted.registry, Some(RegistryVersion(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_that_overlap_the_one_that_ends_last_does_not_bring_an_older_version_back() {
    let options = options(shared().redis().await.url());
    let (one, other) = (connect(&options).await, connect(&options).await);
    let lease = one.lock.acquire(PARTITION, owner(), Epoch(0)).await.expect("acquire").expect("free");
    for confirms in [false, true] {
        let project = ProjectId(Uuid::now_v7());
        one.admission.learn(PARTITION, project, RegistryVersion(1)).await.expect("learn");
        one.announcements.begin_change(PARTITION, project).await.expect("begin");
        other.announcements.begin_change(PARTITION, project).await.expect("begin");
        // The first one commits version 2, the other one version 3, which is announced, and may be confirmed, before.
        other.announcements.end_change(PARTITION, project, RegistryVersion(3)).await.expect("end");
        if confirms {
            one.announcements.confirm(&lease, project, RegistryVersion(3)).await.expect("confirm");
        }
        one.announcements.end_change(PARTITION, project, RegistryVersion(2)).await.expect("end");
        let proposed = EventId(Uuid::now_v7());
        let admitted = one.admission.begin(PARTITION, project, proposed, None, Millis(1)).await.expect("begin");
        assert_eq!(admitted.registry, Some(RegistryVersion(3)), "confirmed: {confirms}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_late_after_redis_forgot_newer_versions_is_no_copy() {
    let server = services::Redis::start().await;
    let redis = connect(&options(server.url())).await;
    let (project, proposed) = (ProjectId(Uuid::now_v7()), EventId(Uuid::now_v7()));
    redis.admission.learn(PARTITION, project, RegistryVersion(7)).await.expect("learn");
    let begin = || redis.admission.begin(PARTITION, project, proposed, None, Millis(1));
    assert_eq!(begin().await.expect("begin").registry, Some(RegistryVersion(7)));
    server.flush_all();
    redis.announcements.announce(PARTITION, project, RegistryVersion(6)).await.expect("announce");
    assert_eq!(begin().await.expect("begin").registry, None, "6 may be old");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_and_is_told_once_more_is_news_again() {
    let redis = connect(&options(shared().redis().await.url())).await;
    let project = ProjectId(Uuid::now_v7());
    let lease = redis.lock.acquire(PARTITION, owner(), Epoch(0)).await.expect("acquire").expect("free");
    for _ in 0..2 {
        redis.announcements.announce(PARTITION, project, RegistryVersion(5)).await.expect("announce");
        let changed = redis.announcements.changed(&lease).await.expect("news");
        assert_eq!(changed, [(project, RegistryVersion(5))]);
        redis.announcements.confirm(&lease, project, RegistryVersion(5)).await.expect("confirm");
    }
}

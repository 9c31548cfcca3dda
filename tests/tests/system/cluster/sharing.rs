//! Dispatchers come and go: they share the partitions, hand over, and take over from one that is killed or frozen.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use spectrum_webhook_testkit::services::shared;

use super::stage::{LEASE, Stage, settings};
use crate::contract::stops::ends_its_requests_at;

async fn stage(dispatchers: usize) -> Stage {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    Stage::start(settings(&rabbit.url(), &redis.url(), &postgres.database().await), dispatchers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_dispatcher_has_its_share_soon_and_nothing_is_repeated() {
    let mut stage = stage(2).await;
    stage.wait_for_shares(&[6, 6]).await;
    let load = stage.load().await;
    load.more(100).await;
    let begun = Instant::now();
    stage.add_dispatcher().await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    let took = begun.elapsed();
    println!("the new dispatcher had its share {took:?} after its start");
    assert!(took < Duration::from_secs(10), "{took:?}");
    load.more(100).await;
    assert_eq!(load.all_arrive(&stage, "a dispatcher is added").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_stops_hands_over_at_once_and_nothing_is_repeated() {
    let mut stage = stage(3).await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    let load = stage.load().await;
    load.more(100).await;
    let mut leaving = stage.dispatchers.remove(0);
    let begun = Instant::now();
    assert_eq!(leaving.terminate().await.0, Some(0));
    stage.wait_for_shares(&[6, 6]).await;
    let took = begun.elapsed();
    println!("the others had its partitions {took:?} after SIGTERM");
    assert!(took < LEASE, "at once, not after its lease: {took:?}");
    load.more(100).await;
    assert_eq!(load.all_arrive(&stage, "a dispatcher is stopped").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_take_over_from_a_dispatcher_that_is_killed() {
    let mut stage = stage(3).await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    let load = stage.load().await;
    load.more(100).await;
    let mut dead = stage.dispatchers.remove(0);
    let begun = Instant::now();
    dead.kill().await;
    stage.wait_for_shares(&[6, 6]).await;
    let took = begun.elapsed();
    println!("the others had its partitions {took:?} after the kill; a lease lasts {LEASE:?}");
    // What is beyond the lease is looking for it, on a machine that is busy.
    assert!(took < LEASE + Duration::from_secs(4), "{took:?}");
    load.more(100).await;
    load.all_arrive(&stage, "a dispatcher is killed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_thaws_after_its_lease_sends_nothing_out_of_order() {
    let mut stage = stage(3).await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    let load = stage.load().await;
    load.more(100).await;
    let frozen = stage.dispatchers.remove(0);
    frozen.signal(Signal::STOP);
    stage.wait_for_shares(&[6, 6]).await;
    load.more(100).await;
    frozen.signal(Signal::CONT);
    stage.dispatchers.push(frozen);
    stage.wait_for_shares(&[4, 4, 4]).await;
    load.more(100).await;
    load.all_arrive(&stage, "a dispatcher is frozen for longer than its lease").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_begins_after_a_deletion_was_answered_by_another_ingest() {
    let stage = stage(2).await;
    stage.wait_for_shares(&[6, 6]).await;
    let other = stage.ingests[1].client();
    ends_its_requests_at(&stage.ingests[0], "deleted", async |_, project, hook, _| {
        other.delete(project, &hook.id).await.expect_data(200);
    })
    .await;
}

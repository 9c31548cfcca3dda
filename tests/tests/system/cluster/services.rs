//! The services fail, each for itself.

use spectrum_webhook_testkit::services::{Postgres, Rabbit, Redis, shared};

use super::stage::{Stage, settings};
use crate::world::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_comes_back_empty_costs_no_event_and_no_order() {
    let redis = Redis::start().await;
    let (rabbit, postgres) = tokio::join!(shared().rabbit(), shared().postgres());
    let stage = Stage::start(settings(&rabbit.url(), &redis.url(), &postgres.database().await), 3).await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    let load = stage.load().await;
    load.more(100).await;
    redis.kill().await;
    // Events are taken meanwhile, without Redis; and whoever is on call sees it.
    load.more(20).await;
    let (ingest, dispatcher) = (stage.ingests[0].client(), stage.dispatchers[0].client());
    dispatcher.wait_for_metric("service_up", |up| up == 2, PATIENCE).await;
    let ready = ingest.ops("/readyz").await.expect("an answer");
    let said = String::from_utf8_lossy(&ready.body).into_owned();
    assert!(ready.status == 200 && said.contains("redis: down: "), "{} {said}", ready.status);
    while dispatcher.ops("/readyz").await.expect("an answer").status == 200 {
        load.more(1).await;
    }
    redis.start_again().await;
    load.more(100).await;
    dispatcher.wait_for_metric("service_up", |up| up == 3, PATIENCE).await;
    assert!(dispatcher.metric("service_losses_total").await > 0);
    stage.wait_for_shares(&[4, 4, 4]).await;
    load.more(50).await;
    load.all_arrive(&stage, "Redis is killed and comes back empty").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_that_stops_and_starts_costs_no_event_and_no_order() {
    let postgres = Postgres::start().await;
    let (rabbit, redis) = tokio::join!(shared().rabbit(), shared().redis());
    let stage = Stage::start(settings(&rabbit.url(), &redis.url(), &postgres.database().await), 3).await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    let load = stage.load().await;
    load.more(100).await;
    postgres.stop().await;
    // Credentials that were read are good for a while, and lanes that need no store go on.
    load.more(20).await;
    postgres.start_again().await;
    load.more(100).await;
    load.all_arrive(&stage, "PostgreSQL is stopped and started").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_that_restarts_costs_no_event_and_no_order() {
    let rabbit = Rabbit::start().await;
    let (redis, postgres) = tokio::join!(shared().redis(), shared().postgres());
    let stage = Stage::start(settings(&rabbit.url(), &redis.url(), &postgres.database().await), 3).await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    let load = stage.load().await;
    load.more(100).await;
    rabbit.stop(0).await;
    rabbit.start_node(0).await;
    load.more(100).await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    load.all_arrive(&stage, "RabbitMQ is restarted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_of_the_queues_costs_no_event_and_no_order() {
    let rabbit = Rabbit::cluster().await;
    let (redis, postgres) = tokio::join!(shared().redis(), shared().postgres());
    let settings = settings(&rabbit.url(), &redis.url(), &postgres.database().await);
    let queue = format!("{}.events.0", settings.get("SPECTRUM_NAMESPACE").expect("a namespace"));
    let stage = Stage::start(settings, 3).await;
    stage.wait_for_shares(&[4, 4, 4]).await;
    let load = stage.load().await;
    load.more(100).await;
    let leader = rabbit.leader(&queue);
    rabbit.kill(leader).await;
    load.more(100).await;
    load.all_arrive(&stage, "the node that leads a queue is killed").await;
}

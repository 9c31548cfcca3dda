//! A start that cannot work says what to do, and shows no password.

use spectrum_webhook_testkit::process::{Server, Settings};
use spectrum_webhook_testkit::services::{Postgres, PostgresSetup, Redis, RedisSetup, shared};

use super::stage::settings;

async fn good() -> Settings {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    settings(&rabbit.url(), &redis.url(), &postgres.database().await)
}

async fn refused(settings: Settings, said: &str, secret: &str) {
    let (code, log) = Server::refused_as("dispatcher", settings).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(said), "not `{said}`:\n{log}");
    assert!(!log.contains(secret), "a password is in the log:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_of_any_service_are_named_and_not_shown() {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    for (setting, password, said) in [
        ("SPECTRUM_AMQP_URL", rabbit.password(), "RabbitMQ refuses access"),
        ("SPECTRUM_REDIS_URL", redis.password(), "Redis refuses the credentials"),
        ("SPECTRUM_DATABASE_URL", postgres.password(), "PostgreSQL refuses the credentials"),
    ] {
        let settings = good().await;
        let url = settings.get(setting).expect("a URL").replace(password, "hunter2");
        refused(settings.set(setting, url), said, "hunter2").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_that_does_not_exist_is_named() {
    let settings = good().await;
    let url = settings.get("SPECTRUM_AMQP_URL").expect("a URL").replace("%2f", "nowhere");
    refused(settings.set("SPECTRUM_AMQP_URL", url), "does not open the virtual host", "hunter2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_leases_is_refused() {
    let redis = Redis::start_with(RedisSetup { policy: Some("allkeys-lru"), ..RedisSetup::default() }).await;
    refused(good().await.set("SPECTRUM_REDIS_URL", redis.url()), "set it to `noeviction`", redis.password()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_redis_cluster_needs_its_own_form_of_url() {
    let redis = Redis::cluster().await;
    refused(good().await.set("SPECTRUM_REDIS_URL", redis.url_of(0)), "use redis+cluster://", redis.password()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_redis_is_refused() {
    let redis = Redis::with_replica().await;
    refused(good().await.set("SPECTRUM_REDIS_URL", redis.url_of(1)), "is a replica", redis.password()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_loses_what_it_confirmed_is_refused() {
    for setting in ["fsync=off", "synchronous_commit=off"] {
        let postgres =
            Postgres::start_with(PostgresSetup { settings: vec![setting], ..PostgresSetup::default() }).await;
        let settings = good().await.set("SPECTRUM_DATABASE_URL", postgres.database().await);
        refused(settings, &setting.replace('=', " = "), postgres.password()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions_is_refused() {
    let settings = good().await;
    drop(Server::start_as("dispatcher", settings.clone()).await);
    refused(settings.set("SPECTRUM_PARTITIONS", "13"), "has 12 partitions, which never change", "hunter2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_is_refused() {
    let settings = good().await;
    drop(Server::start_as("dispatcher", settings.clone()).await);
    refused(
        settings.set("SPECTRUM_MASTER_KEY", "6d".repeat(32)),
        "give the key that was used before as SPECTRUM_MASTER_KEY",
        "6d6d6d",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_newer_release_is_refused() {
    let settings = good().await;
    drop(Server::start_as("dispatcher", settings.clone()).await);
    let url = settings.get("SPECTRUM_DATABASE_URL").expect("a URL");
    let newer = "INSERT INTO migrations VALUES (999, 'newer', 0); \
                 UPDATE settings SET value = '999' WHERE name = 'oldest_migration'";
    shared().postgres().await.execute(url, newer);
    refused(settings, "migrated by a newer release (migration 999", "hunter2").await;
}

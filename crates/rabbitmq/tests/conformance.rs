//! RabbitMQ passes the suite of the queue: one node, and a cluster of three.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use spectrum_webhook_rabbitmq::{Options, RabbitQueue};
use spectrum_webhook_testkit::conformance::{self, Fixture, QueueWorld};
use spectrum_webhook_testkit::services::{Rabbit, shared};

/// Each world is a namespace.
struct Worlds {
    url: String,
}

#[async_trait]
impl Fixture<QueueWorld> for Worlds {
    async fn fresh(&self) -> QueueWorld {
        let namespace = format!("test-{}", rand::random::<u64>());
        let queue = RabbitQueue::connect(Options::new(self.url.clone(), namespace, 5)).await.expect("a queue");
        QueueWorld { queue: Arc::new(queue), keep: Box::new(()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_passes_the_suite_of_the_queue() {
    conformance::queue(&Worlds { url: shared().rabbit().await.url() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_passes_the_suite_of_the_queue() {
    let rabbit = Rabbit::cluster().await;
    conformance::queue(&Worlds { url: rabbit.url() }).await;
}

//! After a webhook was deleted, disabled or moved, no new request to its old URL begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Client, Hook, Project, Server, Settings};

use crate::world::{accept, requests, taken, text};

/// A project whose events never end, until it is dropped.
struct Stream {
    stop: Arc<AtomicBool>,
    poster: tokio::task::JoinHandle<()>,
}

impl Stream {
    fn start(client: &Client, project: &Project) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (client, project, stopped) = (client.clone(), project.clone(), Arc::clone(&stop));
        let poster = tokio::spawn(async move {
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                accept(&client, &project, text("stream", number)).await;
                number += 1;
            }
        });
        Self { stop, poster }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.poster.await.expect("posts that are taken");
    }
}

/// Lets `stop` end the requests to a path in the middle of a stream of events, again and again.
async fn ends_its_requests(name: &str, stop: impl AsyncFn(&Client, &Project, &Hook, &Receiver)) {
    let server = Server::start(Settings::quick()).await;
    ends_its_requests_at(&server, name, stop).await;
}

/// The same at a server that runs.
pub(crate) async fn ends_its_requests_at(
    server: &Server,
    name: &str,
    stop: impl AsyncFn(&Client, &Project, &Hook, &Receiver),
) {
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok().after(Duration::from_millis(3)))).expect("a receiver");
    let project = server.create_project(name).await;
    client.register(&project, &receiver.url("/witness")).await;
    let stream = Stream::start(&client, &project);
    for round in 0..5 {
        let path = format!("/{name}/{round}");
        let hook = client.register(&project, &receiver.url(&path)).await;
        requests(&receiver, &path, 5).await;
        stop(&client, &project, &hook, &receiver).await;
        let (then, witness) = receiver.look(|memory| (memory.count(&path).requests, memory.count("/witness").taken));
        taken(&receiver, "/witness", witness as usize + 30).await;
        let now = receiver.look(|memory| memory.count(&path).requests);
        // One that had begun may still have been on its way.
        assert!(now <= then + 1, "{} requests began after the answer", now - then);
    }
    stream.end().await;
}

#[tokio::test]
async fn no_request_begins_after_a_deletion_was_answered() {
    ends_its_requests("deleted", async |client, project, hook, _| {
        client.delete(project, &hook.id).await.expect_data(200);
    })
    .await;
}

#[tokio::test]
async fn no_request_begins_after_a_disabling_was_answered() {
    ends_its_requests("disabled", async |client, project, hook, _| {
        client.patch(project, &hook.id, &json!({ "enabled": false })).await.expect_data(200);
    })
    .await;
}

#[tokio::test]
async fn no_request_to_the_old_url_begins_after_a_move_was_answered() {
    ends_its_requests("moved", async |client, project, hook, receiver| {
        let url = receiver.url(&format!("/new/{}", hook.id));
        client.patch(project, &hook.id, &json!({ "webhookUrl": url })).await.expect_data(200);
    })
    .await;
}

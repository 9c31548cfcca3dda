//! The key file of a data folder is exchanged beside a running server.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use spectrum_webhook_receiver::{Accepted, Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Client, Project, Server, Settings, run};

use crate::world::{accept, accept_texts, all_arrive, text};

/// Posts one event after the other until it is told to stop.
async fn load(client: &Client, project: &Project, stop: &AtomicBool) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        accepted.push(accept(client, project, text("keys", accepted.len())).await);
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_in_the_folder_is_exchanged_beside_the_server_and_an_interrupted_exchange_goes_on() {
    let mut server = Server::start(Settings::quick()).await;
    let (client, receiver) = (server.client(), Receiver::on_loopback(Always(Reply::ok())).expect("a receiver"));
    let project = server.create_project("keys").await;
    let with_headers = |path: &str| json!({ "webhookUrl": receiver.url(path), "headers": { "x-api-key": path } });
    let before = client.register_with(&project, &with_headers("/before")).await;
    let keys = || std::fs::read_to_string(server.folder().join("master.key")).expect("the key file");
    let old = keys();

    let stop = AtomicBool::new(false);
    let meanwhile = async {
        // One that the server knows nothing of yet: both keys are in the file, and nothing is encrypted anew.
        let early = run(server.settings(), server.folder(), &["rotate-master-key", "--wait", "0s"]).await;
        assert_eq!(early.code, Some(1), "{early:?}");
        assert!(early.stderr.contains("nothing was encrypted anew"), "{early:?}");
        let both = keys();
        assert!(both.lines().count() == 2 && both.ends_with(&old), "the new one first");
        let rotated = server.command(&["rotate-master-key"]).await;
        assert!(
            rotated.stdout.contains("2 done, 0 left") && rotated.stdout.contains("the key file holds"),
            "{rotated:?}"
        );
        assert_eq!(keys(), both.lines().next().expect("a key").to_owned() + "\n", "the new one alone");
        for key in both.lines() {
            assert!(!format!("{early:?}{rotated:?}").contains(key), "a key is printed");
        }
        // The server encrypts under it.
        let patched = client.patch(&project, &before.id, &json!({ "headers": { "x-api-key": "changed" } })).await;
        patched.expect_data(200);
        let status = server.command(&["rotate-master-key", "--status"]).await;
        assert!(status.stdout.contains("\n0 values do not rest under"), "{status:?}");
        stop.store(true, Ordering::Relaxed);
    };
    let (mut accepted, ()) = tokio::join!(load(&client, &project, &stop), meanwhile);
    let after = client.register_with(&project, &with_headers("/after")).await;
    server.kill().await;
    server.restart().await;
    let last = accept_texts(&client, &project, "last", 3).await;
    all_arrive(&receiver, &after, &last).await;
    accepted.extend(last);
    all_arrive(&receiver, &before, &accepted).await;
}

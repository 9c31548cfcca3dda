//! The master key is exchanged while everything runs.

use http::Method;
use serde_json::json;
use spectrum_webhook_receiver::Accepted;
use spectrum_webhook_testkit::process::{Hook, Project, Server, Settings, run};
use spectrum_webhook_testkit::services::shared;

use super::stage::{Stage, settings};
use crate::world::{accept, all_arrive, path_of, text};

const MASTER: &str = "SPECTRUM_MASTER_KEY";
const OTHERS: &str = "SPECTRUM_MASTER_KEY_OTHERS";

/// A project whose webhooks are registered and changed by processes with all the keys that there are meanwhile.
struct Changed {
    project: Project,
    /// Each with the number of events before it.
    hooks: Vec<(Hook, usize)>,
    accepted: Vec<Accepted>,
}

impl Changed {
    /// A webhook more, with headers and a second secret, by each ingest; and an event for all there are.
    async fn more(&mut self, stage: &Stage) {
        for ingest in &stage.ingests {
            let (client, number) = (ingest.client(), self.hooks.len());
            let url = stage.receiver.url(&format!("/changed/{number}"));
            let body = json!({ "webhookUrl": url, "headers": { "x-api-key": format!("header-{number}") } });
            let mut hook = client.register_with(&self.project, &body).await;
            let path = format!("/webhooks/{}/secret/rotate", hook.id);
            let rotated = client.call(&self.project, Method::POST, &path, Some(&json!({ "overlapSeconds": 0 }))).await;
            let secret = rotated.expect_data(200)["signingSecret"].as_str().expect("a secret").to_owned();
            hook.key = spectrum_webhook_receiver::Key::of(&secret).expect("a key");
            self.hooks.push((hook, self.accepted.len()));
        }
        let number = self.accepted.len();
        self.accepted.push(accept(&stage.ingests[number % 2].client(), &self.project, text("changed", number)).await);
    }

    /// All events arrived at all webhooks, signed, with their headers.
    async fn all_arrive(&self, stage: &Stage) {
        for (number, (hook, before)) in self.hooks.iter().enumerate() {
            all_arrive(&stage.receiver, hook, &self.accepted[*before..]).await;
            let path = path_of(&stage.receiver, hook);
            let header = format!("header-{number}");
            stage.receiver.look(|memory| {
                let mut all = memory.at(path);
                assert!(all.all(|request| request.headers.get("x-api-key") == Some(header.as_str())), "{path}");
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_exchanged_under_load_and_every_delivery_is_signed() {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let base = settings(&rabbit.url(), &redis.url(), &postgres.database().await);
    let [old, new] = ["5c".repeat(32), "6d".repeat(32)];
    let folder = tempfile::tempdir().expect("a folder");
    let command = async |settings: &Settings, arguments: &[&str]| {
        let done = run(settings, folder.path(), arguments).await;
        for key in [&old, &new] {
            assert!(!done.stdout.contains(key) && !done.stderr.contains(key), "{done:?}");
        }
        done
    };
    let mut stage = Stage::start(base.clone(), 2).await;
    let load = stage.load().await;
    let project = stage.ingests[0].create_project("changed").await;
    let mut changed = Changed { project, hooks: Vec::new(), accepted: Vec::new() };
    changed.more(&stage).await;

    // First all know the new key, then all encrypt under it.
    for number in 0..2 {
        stage.restart_with(number, |settings| settings.set(OTHERS, &new)).await;
        changed.more(&stage).await;
    }
    let rotating = base.clone().set(MASTER, &new).set(OTHERS, &old);
    let early = command(&rotating, &["rotate-master-key", "--wait", "0s"]).await;
    assert_eq!(early.code, Some(1), "{early:?}");
    assert!(early.stderr.contains("these processes do not encrypt under master key"), "{early:?}");
    assert_eq!(early.stderr.matches("dispatcher on ").count(), 2, "{early:?}");
    for number in 0..2 {
        stage.restart_with(number, |settings| settings.set(MASTER, &new).set(OTHERS, &old)).await;
        changed.more(&stage).await;
    }

    let rotated = command(&rotating, &["rotate-master-key"]).await;
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    for said in ["0 left: nothing rests under another key", "SPECTRUM_MASTER_KEY_OTHERS may be taken away"] {
        assert!(rotated.stdout.contains(said), "{rotated:?}");
    }
    let status = command(&rotating, &["rotate-master-key", "--status"]).await;
    assert!(status.stdout.contains("\n0 values do not rest under master key"), "{status:?}");
    assert_eq!(status.stdout.matches("ingest on ").count(), 2, "{status:?}");

    for number in 0..2 {
        stage.restart_with(number, |settings| settings.unset(OTHERS)).await;
        changed.more(&stage).await;
    }
    let (code, log) = Server::refused_as("dispatcher", base).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("give the key that was used before as SPECTRUM_MASTER_KEY"), "{log}");

    changed.all_arrive(&stage).await;
    load.all_arrive(&stage, "the master key is exchanged").await;
    for process in stage.ingests.iter().chain(&stage.dispatchers) {
        let log = process.log().lines();
        assert!(
            !log.iter().any(|line| line.contains("rests under master key") || line.contains("cannot be decrypted"))
        );
    }
}

//! What rests under one master key is encrypted anew under another, in both databases: beside changes, after a crash,
//! and until nothing is left.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/next.rs"]
mod next;
#[path = "common/place.rs"]
mod place;

use std::time::Duration;

use place::Place;
use spectrum_webhook_core::headers::CustomHeaders;
use spectrum_webhook_core::ids::{ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{Directory as _, NewWebhook, Project, Store as _, WebhookPatch};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{Registry, SigningSecret};
use spectrum_webhook_sql::{Database, Keyring, MasterKey, SqlStore};
use sqlx::Connection as _;
use uuid::Uuid;

const NOW: Millis = Millis(1_800_000_000_000);
const OLD: u8 = 7;
const NEW: u8 = 8;

/// A process with these keys; the first encrypts.
async fn open(place: &Place, keys: &[u8]) -> Result<(Database, SqlStore), String> {
    let mut keys = keys.iter().map(|byte| MasterKey::from_bytes([*byte; 32]));
    let keys = Keyring::new(keys.next().expect("a key"), keys.collect());
    let database = place.open(keys).await?;
    Ok((database.clone(), SqlStore::new(database)))
}

/// A statement that the product does not make.
async fn execute(place: &Place, sql: &str) {
    let mut conn = place.connect().await;
    next::execute(&mut conn, sql).await;
    conn.close().await.expect("closed");
}

fn fingerprint(byte: u8) -> String {
    MasterKey::from_bytes([byte; 32]).fingerprint().to_string()
}

fn secret(number: u8) -> SigningSecret {
    SigningSecret::from_random([number; 32])
}

fn headers(value: &str) -> CustomHeaders {
    CustomHeaders::new([("X-Api-Key".to_owned(), value.to_owned())]).expect("headers")
}

async fn project(store: &SqlStore) -> ProjectId {
    let id = ProjectId(Uuid::now_v7());
    let registry = RegistryVersion(0);
    let project = Project { id, name: "A".to_owned(), secret_hash: [1; 32], registry, created_at: NOW };
    store.create_project(&project).await.expect("a project");
    id
}

/// A webhook with a secret and headers, each of this number.
async fn register(store: &SqlStore, project: ProjectId, number: u8) -> WebhookId {
    let id = WebhookId(Uuid::now_v7());
    let new = NewWebhook {
        id,
        project,
        url: format!("https://example.com/{number}"),
        secret: secret(number),
        event_types: None,
        shape: Shape { headers: headers(&number.to_string()), ..Shape::default() },
    };
    store.register(new, NOW).await.expect("a webhook");
    id
}

/// Encrypts all anew, from the beginning; returns how much that was.
async fn reseal_all(store: &SqlStore) -> u64 {
    let (mut done, mut after) = (0, None);
    loop {
        let step = store.reseal(after).await.expect("a step");
        assert!(step.unreadable.is_empty(), "{:?}", step.unreadable);
        done += step.done;
        after = step.next;
        if after.is_none() {
            return done;
        }
    }
}

/// What deliveries are signed with, and their headers.
fn exposed(registry: &Registry) -> Vec<(String, Option<String>, Vec<u8>)> {
    let exposed = registry.webhooks.iter().map(|(webhook, keys)| {
        let previous = keys.previous.as_ref().map(|(secret, _)| secret.expose().to_owned());
        (keys.current.expose().to_owned(), previous, webhook.shape.headers.expose_json().to_vec())
    });
    exposed.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_secrets_and_headers_come_under_the_new_key_also_after_a_crash() {
    for place in Place::both().await {
        let (database, store) = open(&place, &[OLD]).await.expect("the first key");
        let project = project(&store).await;
        let mut webhooks = Vec::new();
        // More than one step.
        for number in 0..120 {
            webhooks.push(register(&store, project, number).await);
        }
        let later = Millis(NOW.0 + 3_600_000);
        store.rotate(project, webhooks[0], secret(200), later, NOW).await.expect("a second secret");
        store.delete(project, webhooks[1], NOW).await.expect("deleted");
        // As one rests that was encrypted before values said their key.
        execute(
            &place,
            match &place {
                Place::Folder(_) => {
                    "UPDATE webhooks SET secret = CAST(x'01' || substr(secret, 10) AS BLOB) \
                     WHERE url = 'https://example.com/2'"
                }
                Place::Server(_) => {
                    "UPDATE webhooks SET secret = '\\x01'::bytea || substr(secret, 10) \
                     WHERE url = 'https://example.com/2'"
                }
            },
        )
        .await;
        let before = exposed(&store.registry(project).await.expect("a registry"));
        database.close().await.expect("closed");

        let (database, store) = open(&place, &[NEW, OLD]).await.expect("both keys");
        assert_eq!(exposed(&store.registry(project).await.expect("a registry")), before);
        assert_eq!(store.under_other_keys().await.expect("a count"), 241);
        let first = store.reseal(None).await.expect("a step");
        assert_eq!((first.done, first.next.is_some()), (201, true), "a hundred webhooks");
        // The process that rotates ends; the next one begins anew.
        database.abandon().await;
        let (database, store) = open(&place, &[NEW, OLD]).await.expect("both keys");
        assert_eq!(store.retire_other_keys().await.expect("a count"), 40, "not yet");
        assert_eq!(store.keys_in_use().await.expect("keys").len(), 2);
        assert_eq!(reseal_all(&store).await, 40);
        assert_eq!(store.retire_other_keys().await.expect("a count"), 0);
        assert_eq!(store.keys_in_use().await.expect("keys"), [fingerprint(NEW)]);
        assert_eq!(reseal_all(&store).await, 0, "and again");
        database.close().await.expect("closed");

        let (database, store) = open(&place, &[NEW]).await.expect("the new key alone");
        assert_eq!(exposed(&store.registry(project).await.expect("a registry")), before);
        database.close().await.expect("closed");
        let refused = open(&place, &[OLD]).await.err().expect("the old key is none any more");
        assert!(refused.contains(&fingerprint(NEW)) && refused.contains(&fingerprint(OLD)), "{refused}");
        assert!(!refused.contains(&hex::encode([NEW; 32])) && refused.contains("SPECTRUM_MASTER_KEY"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_changed_meanwhile_is_not_overwritten() {
    for place in Place::both().await {
        // A process that is yet to have the new key first: all that it changes has to be encrypted anew.
        let (changing, store) = open(&place, &[OLD, NEW]).await.expect("the first key");
        let (rotating, rotator) = open(&place, &[NEW, OLD]).await.expect("both keys");
        let project = project(&store).await;
        let webhook = register(&store, project, 0).await;
        let changes = async {
            for number in 1..=150_u8 {
                store.rotate(project, webhook, secret(number), NOW, NOW).await.expect("rotated");
                let patch = WebhookPatch { headers: Some(headers(&number.to_string())), ..WebhookPatch::default() };
                store.patch(project, webhook, patch, NOW).await.expect("changed");
                // So that the rotation is at any point of its way.
                tokio::time::sleep(Duration::from_micros(u64::from(number) * 7)).await;
                let now = exposed(&store.registry(project).await.expect("a registry"));
                let wanted =
                    (secret(number).expose().to_owned(), None, headers(&number.to_string()).expose_json().to_vec());
                assert_eq!(now, [wanted], "change {number} is undone");
            }
        };
        let mut done = 0;
        tokio::pin!(changes);
        loop {
            tokio::select! {
                biased;
                () = &mut changes => break,
                more = reseal_all(&rotator) => done += more,
            }
        }
        assert!(done > 0, "nothing was encrypted anew beside the changes");
        reseal_all(&rotator).await;
        assert_eq!(rotator.retire_other_keys().await.expect("a count"), 0);
        for database in [changing, rotating] {
            database.close().await.expect("closed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_goes_on_with_the_old_key_brings_it_back_into_use() {
    for place in Place::both().await {
        let (late, store) = open(&place, &[OLD, NEW]).await.expect("the first key");
        let (rotating, rotator) = open(&place, &[NEW, OLD]).await.expect("both keys");
        let project = project(&store).await;
        assert_eq!(reseal_all(&rotator).await, 0);
        assert_eq!(rotator.retire_other_keys().await.expect("a count"), 0);
        assert_eq!(rotator.keys_in_use().await.expect("keys"), [fingerprint(NEW)]);

        register(&store, project, 1).await;
        let mut both = [fingerprint(NEW), fingerprint(OLD)];
        both.sort();
        assert_eq!(rotator.keys_in_use().await.expect("keys"), both);
        let refused = open(&place, &[NEW]).await.err().expect("the old key is needed");
        assert!(refused.contains(&format!("under master key {}", fingerprint(OLD))), "{refused}");
        assert_eq!(reseal_all(&rotator).await, 2);
        assert_eq!(rotator.retire_other_keys().await.expect("a count"), 0);
        for database in [late, rotating] {
            database.close().await.expect("closed");
        }
        open(&place, &[NEW]).await.expect("the new key alone").0.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_keeps_the_old_key_in_use() {
    for place in Place::both().await {
        let (first, store) = open(&place, &[OLD, NEW]).await.expect("the first key");
        // It runs since before anything rested under the other key, which it does not have.
        let (lacking, poor) = open(&place, &[OLD]).await.expect("the first key");
        let (rotating, rotator) = open(&place, &[NEW, OLD]).await.expect("both keys");
        let project = project(&store).await;
        let webhook = register(&rotator, project, 1).await;
        let error = poor.registry(project).await.expect_err("it lacks the key").to_string();
        assert!(error.contains(&format!("rests under master key {}", fingerprint(NEW))), "{error}");

        let damaged = register(&store, project, 2).await;
        execute(
            &place,
            match &place {
                Place::Folder(_) => {
                    "UPDATE webhooks SET secret = CAST(substr(secret, 1, 40) AS BLOB) \
                     WHERE url = 'https://example.com/2'"
                }
                Place::Server(_) => {
                    "UPDATE webhooks SET secret = substr(secret, 1, 40) WHERE url = 'https://example.com/2'"
                }
            },
        )
        .await;
        let step = rotator.reseal(None).await.expect("a step");
        assert_eq!(step.done, 1, "the headers of the same webhook");
        let [unreadable] = &step.unreadable[..] else { panic!("{:?}", step.unreadable) };
        assert_eq!((unreadable.webhook, unreadable.column), (damaged, "secret"));
        assert_eq!(rotator.retire_other_keys().await.expect("a count"), 1);
        assert_eq!(rotator.keys_in_use().await.expect("keys").len(), 2);
        assert_ne!(webhook, damaged);
        for database in [first, lacking, rotating] {
            database.close().await.expect("closed");
        }
    }
}

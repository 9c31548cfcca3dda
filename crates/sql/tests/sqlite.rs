//! What SQLite alone has to show: crashes, other processes beside it, and files that it must refuse.

#![allow(clippy::expect_used, reason = "the helpers of tests are tests")]

mod common;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use common::{folder, key, open, options};
use spectrum_webhook_core::delivery::{DeliveryKey, HeldDelivery, Message, Purpose};
use spectrum_webhook_core::ids::{
    Epoch, EventId, OwnerId, PartitionId, ProjectId, RegistryVersion, Sequence, WebhookId,
};
use spectrum_webhook_core::ordering::Space;
use spectrum_webhook_core::ports::{
    Admission as _, Announcements as _, Change, Directory as _, IdempotencyKey, Lease, Mark, NewWebhook, PortError,
    Project, Publication, Queue as _, SequenceLock as _, Store as _, Subscription, Tag, Taken, Verdict,
};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::SigningSecret;
use spectrum_webhook_sql::{Database, Embedded, FILE_NAME, FolderLock, MasterKey, OpenError, SqlStore};
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

const PARTITION: PartitionId = PartitionId(0);
const NOW: Millis = Millis(1_750_000_000_000);

fn message(body: &str) -> Message {
    Message {
        id: EventId(Uuid::now_v7()),
        project: ProjectId(Uuid::now_v7()),
        event_type: "messages".to_owned(),
        accepted_at: NOW,
        registry: RegistryVersion(1),
        traceparent: None,
        purpose: Purpose::Event,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

async fn publish(embedded: &Embedded, message: &Message) {
    let publication = Publication { message: message.clone(), again: false, idempotency: None };
    embedded.queue.publish(PARTITION, publication).await.expect("publish");
}

fn lease() -> Lease {
    Lease { partition: PARTITION, owner: OwnerId(Uuid::new_v4()), epoch: Epoch(1) }
}

async fn subscribe(embedded: &Embedded) -> Box<dyn Subscription> {
    embedded.queue.subscribe(&lease(), 100).await.expect("subscribe")
}

async fn take(subscription: &mut dyn Subscription) -> Vec<Taken> {
    subscription.take(100, usize::MAX).await.expect("take")
}

fn read(taken: &[Taken]) -> Vec<Message> {
    taken.iter().map(|taken| taken.message.clone().expect("readable")).collect()
}

async fn create_project(store: &SqlStore) -> ProjectId {
    let id = ProjectId(Uuid::now_v7());
    let registry = RegistryVersion(0);
    let project = Project { id, name: "A".to_owned(), secret_hash: [1; 32], registry, created_at: NOW };
    store.create_project(&project).await.expect("create");
    id
}

fn webhook(project: ProjectId, secret: &SigningSecret) -> NewWebhook {
    let url = "https://example.com/".to_owned();
    NewWebhook {
        id: WebhookId(Uuid::now_v7()),
        project,
        url,
        secret: secret.clone(),
        event_types: None,
        shape: Shape::default(),
    }
}

/// A connection of its own, as another process has one.
async fn raw(dir: &Path) -> sqlx::SqliteConnection {
    let path = dir.join(FILE_NAME);
    sqlx::SqliteConnection::connect(path.to_str().expect("a path")).await.expect("connect")
}

async fn count(dir: &Path, table: &'static str) -> i64 {
    let mut conn = raw(dir).await;
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    let count = sqlx::query(sql).fetch_one(&mut conn).await.expect("count").get(0);
    conn.close().await.expect("close");
    count
}

#[tokio::test]
async fn the_files_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = folder();
    // A folder that others may read was there before.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("a wide folder");
    let embedded = open(&dir).await;
    publish(&embedded, &message("{}")).await;
    let files = std::fs::read_dir(dir.path()).expect("a folder").map(|file| file.expect("a file"));
    let databases: Vec<_> = files.filter(|file| file.file_name().to_string_lossy().starts_with(FILE_NAME)).collect();
    assert!(databases.len() > 1, "the database and its log");
    for file in databases {
        let mode = file.metadata().expect("its rights").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?}");
    }
    embedded.close().await.expect("close");
}

#[tokio::test]
async fn what_was_published_before_a_crash_is_there_after_it_as_redelivered() {
    let dir = folder();
    let mut published = Vec::new();
    for round in 0..3 {
        let embedded = open(&dir).await;
        let mut subscription = subscribe(&embedded).await;
        let taken = take(&mut *subscription).await;
        assert_eq!(read(&taken), published, "round {round}");
        assert!(taken.iter().all(|taken| taken.redelivered), "another process may have taken them");
        let new = message(&round.to_string());
        publish(&embedded, &new).await;
        published.push(new);
        let taken = take(&mut *subscription).await;
        assert_eq!(read(&taken), published[round..]);
        assert!(!taken[0].redelivered);
        embedded.abandon().await;
    }
}

#[tokio::test]
async fn an_acknowledgement_outlives_a_crash_and_positions_are_not_used_again() {
    let dir = folder();
    let embedded = open(&dir).await;
    publish(&embedded, &message("first")).await;
    let mut subscription = subscribe(&embedded).await;
    let first = take(&mut *subscription).await;
    subscription.acks().ack(&[first[0].tag]).await.expect("acknowledge");
    embedded.abandon().await;
    let embedded = open(&dir).await;
    let second = message("second");
    publish(&embedded, &second).await;
    let taken = take(&mut *subscribe(&embedded).await).await;
    assert_eq!(read(&taken), [second]);
    assert!(taken[0].tag > first[0].tag);
    assert!(!taken[0].redelivered);
    embedded.close().await.expect("close");
}

#[tokio::test]
async fn a_repeat_after_a_crash_is_a_duplicate_exactly_when_the_event_was_written() {
    let dir = folder();
    let key = |n| IdempotencyKey { key: [n; 32], body: [1; 32], expires_at: Millis(NOW.0 + 1_000) };
    let (written, lost) = (message("written"), message("lost"));
    let embedded = open(&dir).await;
    for (n, message) in [(1, &written), (2, &lost)] {
        let admitted = embedded.admission.begin(PARTITION, written.project, message.id, Some(&key(n)), NOW).await;
        let again = false;
        assert_eq!(admitted.expect("begin").verdict, Verdict::Publish { id: message.id, again });
    }
    let publication = Publication { message: written.clone(), again: false, idempotency: Some(key(1)) };
    embedded.queue.publish(PARTITION, publication).await.expect("publish");
    embedded.abandon().await;

    let embedded = open(&dir).await;
    let proposed = EventId(Uuid::now_v7());
    let begin = |n| {
        let admission = embedded.admission.clone();
        async move { admission.begin(PARTITION, written.project, proposed, Some(&key(n)), NOW).await.expect("begin") }
    };
    assert_eq!(begin(1).await.verdict, Verdict::Duplicate(written.id));
    assert_eq!(begin(2).await.verdict, Verdict::Publish { id: proposed, again: false });
}

#[tokio::test]
async fn admission_knows_the_projects_version() {
    let dir = folder();
    let embedded = open(&dir).await;
    let project = create_project(&embedded.store).await;
    let registry = |project| {
        let admission = embedded.admission.clone();
        async move {
            let id = EventId(Uuid::now_v7());
            let key = IdempotencyKey { key: *b"0123456789abcdef0123456789abcdef", body: [0; 32], expires_at: NOW };
            let plain = admission.begin(PARTITION, project, id, None, NOW).await.expect("begin").registry;
            let keyed = admission.begin(PARTITION, project, id, Some(&key), NOW).await.expect("begin").registry;
            admission.end(PARTITION, project, id, &key, false).await.expect("end");
            assert_eq!(plain, keyed);
            plain
        }
    };
    assert_eq!(registry(project).await, Some(RegistryVersion(0)));
    let new = webhook(project, &SigningSecret::from_random([5; 32]));
    embedded.store.register(new, NOW).await.expect("register");
    assert_eq!(registry(project).await, Some(RegistryVersion(1)));
    assert_eq!(registry(ProjectId(Uuid::now_v7())).await, None);
}

#[tokio::test]
async fn marks_go_with_the_event_they_belong_to() {
    let dir = folder();
    let embedded = open(&dir).await;
    let event = message("{}");
    publish(&embedded, &event).await;
    let owner = OwnerId(Uuid::new_v4());
    let lease = embedded.lock.acquire(PARTITION, owner, Epoch(0)).await.expect("acquire").expect("free");
    let mut subscription = subscribe(&embedded).await;
    let taken = take(&mut *subscription).await;
    let key = |event| DeliveryKey { event, webhook: WebhookId(Uuid::now_v7()) };
    // The last delivery of an event and an event that is not in the queue need no mark.
    let marks = [
        Mark { key: key(event.id), last: false },
        Mark { key: key(event.id), last: true },
        Mark { key: key(EventId(Uuid::now_v7())), last: false },
    ];
    embedded.lock.settle(&lease, &marks).await.expect("settle");
    assert_eq!(count(dir.path(), "done").await, 1);
    subscription.acks().ack(&[taken[0].tag]).await.expect("acknowledge");
    assert_eq!(count(dir.path(), "done").await, 0);
    assert_eq!(count(dir.path(), "queue").await, 0);
}

#[tokio::test]
async fn what_a_subscription_did_not_take_it_cannot_acknowledge() {
    let dir = folder();
    let embedded = open(&dir).await;
    for n in 0..2 {
        publish(&embedded, &message(&n.to_string())).await;
    }
    let mut subscription = subscribe(&embedded).await;
    let taken = subscription.take(1, usize::MAX).await.expect("take");
    let next = Tag(taken[0].tag.0 + 1);
    subscription.acks().ack(&[next, Tag(u64::MAX)]).await.expect("nothing to do");
    assert_eq!(count(dir.path(), "queue").await, 2);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_handed_over_as_it_stands() {
    let dir = folder();
    let embedded = open(&dir).await;
    for n in 0..4 {
        publish(&embedded, &message(&format!("body {n}"))).await;
    }
    embedded.close().await.expect("close");
    let mut conn = raw(dir.path()).await;
    for damage in [
        "UPDATE queue SET event = 'not an id' WHERE position = 1",
        "UPDATE queue SET event_type = 'two words' WHERE position = 2",
        "UPDATE queue SET accepted_at = 'yesterday', body = 'text' WHERE position = 3",
    ] {
        sqlx::query(damage).execute(&mut conn).await.expect("damage");
    }
    let embedded = open(&dir).await;
    let mut subscription = subscribe(&embedded).await;
    let taken = take(&mut *subscription).await;
    let bytes: Vec<Vec<u8>> =
        taken[..3].iter().map(|taken| taken.message.clone().expect_err("unreadable").bytes).collect();
    assert_eq!(bytes, [&b"body 0"[..], b"body 1", b"text"]);
    assert!(taken[3].message.is_ok());
    let tags: Vec<_> = taken.iter().map(|taken| taken.tag).collect();
    subscription.acks().ack(&tags).await.expect("acknowledge");
    assert_eq!(count(dir.path(), "queue").await, 0);
}

#[tokio::test]
async fn a_commit_that_fails_writes_nothing_and_fails_alone() {
    let dir = folder();
    let embedded = open(&dir).await;
    let project = create_project(&embedded.store).await;
    let known = webhook(project, &SigningSecret::from_random([5; 32]));
    let known = embedded.store.register(known, NOW).await.expect("register").0.id;
    embedded.store.take_over(&lease()).await.expect("take over");
    let lease = lease();
    let hold = |webhook| {
        let delivery =
            HeldDelivery { sequence: Sequence(1), attempts: 0, sent: false, space: Space(0), message: message("{}") };
        Change::Hold { webhook, delivery: Box::new(delivery) }
    };
    // A webhook that never was breaks a foreign key.
    let broken = [hold(known), hold(WebhookId(Uuid::now_v7()))];
    let good = [hold(known)];
    let published = message("beside");
    let (bad, good, ()) = tokio::join!(
        embedded.store.commit(&lease, &broken),
        embedded.store.commit(&lease, &good),
        publish(&embedded, &published)
    );
    assert!(matches!(bad, Err(PortError::Unavailable { .. })), "{bad:?}");
    good.expect("not its fault");
    assert_eq!(embedded.store.totals().await.expect("totals").backlog, 1);
    assert_eq!(count(dir.path(), "events").await, 1);
    assert_eq!(count(dir.path(), "queue").await, 1);
}

#[tokio::test]
async fn no_body_is_left_behind() {
    let dir = folder();
    let embedded = open(&dir).await;
    let project = create_project(&embedded.store).await;
    let known = webhook(project, &SigningSecret::from_random([5; 32]));
    let webhook = embedded.store.register(known, NOW).await.expect("register").0.id;
    let lease = lease();
    embedded.store.take_over(&lease).await.expect("take over");
    let messages: Vec<Message> = (0..300).map(|_| message("{}")).collect();
    let hold = |(message, sequence): (&Message, i64)| {
        let sequence = Sequence(sequence);
        let delivery = HeldDelivery { sequence, attempts: 0, sent: false, space: Space(0), message: message.clone() };
        Change::Hold { webhook, delivery: Box::new(delivery) }
    };
    let holds: Vec<Change> = messages.iter().zip(1..).map(hold).collect();
    embedded.store.commit(&lease, &holds).await.expect("commit");
    assert_eq!(count(dir.path(), "events").await, 300);
    let key = DeliveryKey { event: messages[0].id, webhook };
    embedded.store.commit(&lease, &[Change::Remove { key }]).await.expect("commit");
    assert_eq!(count(dir.path(), "events").await, 299);
    let dropped = embedded.store.commit(&lease, &[Change::Drop { webhook, limit: 1_000 }]).await.expect("commit");
    assert_eq!(dropped.dropped, 299);
    assert_eq!(count(dir.path(), "events").await, 0);
}

#[tokio::test]
async fn publishers_that_hang_up_lose_nothing_of_others_and_block_nobody() {
    let dir = folder();
    let embedded = open(&dir).await;
    let mut kept = Vec::new();
    for n in 0..50 {
        let (gone, stays) = (message("gone"), message(&n.to_string()));
        tokio::select! {
            biased;
            () = publish(&embedded, &gone) => {}
            () = tokio::task::yield_now() => {}
        }
        publish(&embedded, &stays).await;
        kept.push(stays.id);
    }
    let taken = read(&take(&mut *subscribe(&embedded).await).await);
    let found: Vec<EventId> = taken.iter().map(|message| message.id).filter(|id| kept.contains(id)).collect();
    assert_eq!(found, kept);
}

#[tokio::test]
async fn a_command_works_beside_a_running_server_and_its_owner_hears_of_it() {
    let dir = folder();
    let server = open(&dir).await;
    assert_eq!(server.store.partitions(1).await.expect("partitions"), 1);
    let lease =
        server.lock.acquire(PARTITION, OwnerId(Uuid::new_v4()), Epoch(0)).await.expect("acquire").expect("free");

    let beside = Database::open(options(&dir), key()).await.expect("open without the folder's lock");
    let command = SqlStore::new(beside.clone());
    let project = create_project(&command).await;
    let new = webhook(project, &SigningSecret::from_random([5; 32]));
    command.register(new, NOW).await.expect("register");
    publish(&server, &message("meanwhile")).await;
    let version = command.delete_project(project, NOW).await.expect("delete");
    beside.close().await.expect("close");

    assert!(server.store.list_projects().await.expect("list").is_empty());
    let heard = async {
        loop {
            server.announcements.news(&lease).await.expect("news");
            let changed = server.announcements.changed(&lease).await.expect("changed");
            if changed.contains(&(project, version)) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("the owner hears of it");
    server.close().await.expect("close");
}

#[tokio::test]
async fn a_folder_serves_one_process_at_a_time() {
    let dir = folder();
    let embedded = open(&dir).await;
    let error = Embedded::open(options(&dir), key()).await.err().expect("in use");
    let OpenError::InUse { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, std::process::id().to_string());
    assert!(FolderLock::acquire(dir.path()).is_err());
    embedded.close().await.expect("close");
    let closed = embedded.lock.acquire(PARTITION, OwnerId(Uuid::new_v4()), Epoch(0)).await;
    assert!(closed.is_err(), "without the folder nobody owns anything");
    open(&dir).await.close().await.expect("close");
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let dir = folder();
    open(&dir).await.close().await.expect("close");
    let error = Database::open(options(&dir), MasterKey::from_bytes([8; 32])).await.err().expect("refused");
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
    open(&dir).await.close().await.expect("the right one still opens it");
}

#[tokio::test]
async fn the_file_of_a_newer_release_is_refused() {
    let dir = folder();
    open(&dir).await.close().await.expect("close");
    let mut conn = raw(dir.path()).await;
    // Of before a release said which others work on its schema.
    for sql in [
        "INSERT INTO migrations (version, name, applied_at) VALUES (999, 'of tomorrow', 0)",
        "DELETE FROM settings WHERE name = 'oldest_migration'",
    ] {
        sqlx::query(sql).execute(&mut conn).await.expect("written");
    }
    conn.close().await.expect("close");
    let error = Database::open(options(&dir), key()).await.err().expect("refused");
    assert!(matches!(error, OpenError::Newer { found: 999, known, .. } if known < 999), "{error}");
}

#[tokio::test]
async fn what_is_not_a_database_is_refused_and_left_alone() {
    let dir = folder();
    let text = "This is not a database, but somebody's file. ".repeat(100);
    std::fs::write(dir.path().join(FILE_NAME), &text).expect("write");
    let error = Database::open(options(&dir), key()).await.err().expect("refused");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(dir.path().join(FILE_NAME)).expect("read"), text);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let dir = folder();
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("write");
    let mut options = options(&dir);
    options.dir = file.join("data");
    let error = Embedded::open(options, key()).await.err().expect("refused");
    assert!(error.to_string().contains(file.to_str().expect("a path")), "{error}");
    assert!(std::error::Error::source(&error).is_none(), "the cause is in the message, and would be told twice");
}

#[tokio::test]
async fn a_path_may_hold_what_means_something_in_a_url() {
    let dir = folder();
    let mut options = options(&dir);
    options.dir = dir.path().join("100% d#ta?mode=memory & ü");
    let embedded = Embedded::open(options.clone(), key()).await.expect("open");
    let message = message("{}");
    publish(&embedded, &message).await;
    embedded.close().await.expect("close");
    assert!(options.dir.join(FILE_NAME).is_file());
    let embedded = Embedded::open(options, key()).await.expect("open");
    assert_eq!(read(&take(&mut *subscribe(&embedded).await).await), [message]);
}

#[tokio::test]
async fn signing_secrets_are_not_in_the_file_in_clear() {
    let dir = folder();
    let embedded = open(&dir).await;
    let project = create_project(&embedded.store).await;
    let secrets = [11, 12].map(|n| SigningSecret::from_random([n; 32]));
    let new = webhook(project, &secrets[0]);
    let id = new.id;
    embedded.store.register(new, NOW).await.expect("register");
    let until = Millis(NOW.0 + 1);
    embedded.store.rotate(project, id, secrets[1].clone(), until, NOW).await.expect("rotate");
    embedded.close().await.expect("close");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.path()).expect("folder") {
        let bytes = std::fs::read(entry.expect("entry").path()).expect("read");
        seen += bytes.len();
        for (secret, raw) in secrets.iter().zip([[11_u8; 32], [12; 32]]) {
            assert!(!bytes.windows(64).any(|window| window == secret.expose().as_bytes()));
            assert!(!bytes.windows(32).any(|window| window == raw));
        }
    }
    assert!(seen > 10_000, "the file was looked at");
}

#[tokio::test]
async fn a_closed_database_says_so_and_closes_once() {
    let dir = folder();
    let embedded = open(&dir).await;
    let mut subscription = subscribe(&embedded).await;
    embedded.close().await.expect("close");
    embedded.close().await.expect("close again");
    assert!(!dir.path().join(format!("{FILE_NAME}-wal")).exists(), "the log is in the file");
    let publication = Publication { message: message("{}"), again: false, idempotency: None };
    let refused = embedded.queue.publish(PARTITION, publication).await.expect_err("closed");
    assert!(refused.is_retriable());
    assert!(embedded.queue.check().await.is_err());
    assert!(embedded.store.totals().await.is_err());
    assert!(subscription.take(1, 1).await.is_err());
}

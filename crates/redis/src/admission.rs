//! Admission: idempotency records, and the copies of registry versions.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures::poll;
use parking_lot::Mutex;
use redis::{Script, Value};
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Admission, Admitted, IdempotencyKey, PortError, Verdict};
use spectrum_webhook_core::time::Millis;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use crate::announcements::{CHANGE, COPY};
use crate::keys::Keys;
use crate::link::{Call, Link};

const PORT: &str = "admission";
/// A pending record that is older, in milliseconds, has lost its publisher: no publish takes so long.
const ABANDONED: u64 = 30_000;
/// The first and the longest wait between two looks at a pending record.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

/// Outcomes that are noted at the same time, at most, without anyone waiting.
const OUTCOMES: u32 = 1_024;

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/begin.lua")));
static END: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/end.lua")));
static LEARN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/learn.lua")));

/// Admission in Redis.
pub struct RedisAdmission {
    link: Arc<Link>,
    keys: Keys,
    patience: Duration,
    trusted: Mutex<Trusted>,
    /// Places for outcomes that are being noted.
    outcomes: Arc<Semaphore>,
}

/// Projects whose copy is as new as the directory was when it was read over the present connection. A Redis that is new,
/// restarted or promoted may hold an old copy: until this process has read the directory, it trusts none.
#[derive(Default)]
struct Trusted {
    connection: u64,
    projects: HashSet<ProjectId>,
}

/// Projects that are remembered as trusted.
const TRUSTED: usize = 100_000;

impl RedisAdmission {
    /// The present connection, if copies of the project's version are trusted that are read over it.
    fn trusts(&self, project: ProjectId) -> Option<u64> {
        let made = self.link.made()?;
        let trusted = self.trusted.lock();
        (trusted.connection == made && trusted.projects.contains(&project)).then_some(made)
    }

    fn trust(&self, project: ProjectId, made: Option<u64>) {
        let Some(made) = made.filter(|made| self.link.made() == Some(*made)) else { return };
        let mut trusted = self.trusted.lock();
        if trusted.connection != made || trusted.projects.len() >= TRUSTED {
            *trusted = Trusted { connection: made, projects: HashSet::new() };
        }
        trusted.projects.insert(project);
    }

    /// When it is answered, the copy is as new as this version, or there is none.
    async fn note(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError> {
        let mut script = LEARN.prepare_invoke();
        script.key(self.keys.changes(partition, project)).key(self.keys.registry(partition, project));
        script.arg(version.0).arg(CHANGE).arg(COPY);
        self.link.run::<i64>((PORT, "learn"), &script).await.map(|_| ())
    }

    /// Notes a post as pending if its key has no record: the way of nearly all. Returns whether it has done so; a post
    /// without a key needs no record.
    async fn note_new(&self, post: &Post<'_>) -> Result<bool, PortError> {
        let Some((key, record)) = &post.record else { return Ok(true) };
        let life = life(key, post.now);
        let mut call = Call::command("SET");
        call.arg(record).arg(value('p', post.proposed, key, life)).arg("NX").arg("PX").arg(life);
        self.link.run_together::<Option<String>>((PORT, "begin"), call).await.map(|noted| noted.is_some())
    }

    /// Looks a post up whose key has a record, waiting for the outcome of one that is pending.
    async fn look_up(&self, post: &Post<'_>, key: &IdempotencyKey, record: &str) -> Result<Verdict, PortError> {
        let started = Instant::now();
        let mut wait = LOOK.0;
        loop {
            // Once the patience is over, whoever published it before is taken for dead.
            let abandoned = if started.elapsed() < self.patience { ABANDONED } else { 0 };
            let mut call = Call::script(&BEGIN, &[record]);
            call.arg(post.proposed.0.to_string()).arg(&key.body[..]).arg(key.expires_at.0).arg(post.now.0);
            call.arg(life(key, post.now)).arg(abandoned);
            let (said, id): (String, String) = self.link.run_together((PORT, "begin"), call).await?;
            let id = EventId(id.parse::<Uuid>().map_err(|_| corrupt(&id))?);
            return Ok(match said.as_str() {
                "new" => Verdict::Publish { id, again: false },
                "again" => Verdict::Publish { id, again: true },
                "confirmed" => Verdict::Duplicate(id),
                "mismatch" => Verdict::Mismatch,
                "pending" => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LOOK.1);
                    continue;
                }
                _ => return Err(corrupt(&said)),
            });
        }
    }

    pub(crate) fn new(link: Arc<Link>, keys: Keys, patience: Duration) -> Self {
        let outcomes = Arc::new(Semaphore::new(OUTCOMES as usize));
        Self { link, keys, patience, trusted: Mutex::default(), outcomes }
    }

    /// Waits until all outcomes are noted: not for long, for each is given up in a bounded time.
    pub(crate) async fn finish(&self) {
        // It is never closed.
        let _ = self.outcomes.acquire_many(OUTCOMES).await;
    }
}

/// A post that is looked up, with its key and the name of the record.
struct Post<'a> {
    proposed: EventId,
    record: Option<(&'a IdempotencyKey, String)>,
    now: Millis,
}

/// For how many milliseconds a record is kept.
fn life(key: &IdempotencyKey, now: Millis) -> i64 {
    key.expires_at.0.saturating_sub(now.0).max(1)
}

/// A record, as `begin.lua` describes it.
fn value(state: char, id: EventId, key: &IdempotencyKey, life: i64) -> Vec<u8> {
    let mut value = format!("{state}{}", id.0).into_bytes();
    value.extend(key.body);
    value.extend(format!("{} {life}", key.expires_at.0).bytes());
    value
}

fn corrupt(detail: &str) -> PortError {
    PortError::Corrupt { port: PORT, operation: "begin", detail: detail.to_owned() }
}

#[async_trait]
impl Admission for RedisAdmission {
    async fn begin(
        &self,
        partition: PartitionId,
        project: ProjectId,
        proposed: EventId,
        key: Option<&IdempotencyKey>,
        now: Millis,
    ) -> Result<Admitted, PortError> {
        // A copy counts that is read over a connection that was trusted already: one that was read before the directory is
        // no newer for what another post has read and written meanwhile. And it is there only while no change is under
        // way: a change begins by deleting it, and whoever writes one looks.
        let trusted = self.trusts(project);
        let mut copy = Call::command("GET");
        copy.arg(self.keys.registry(partition, project));
        let copy = self.link.run_together::<Option<String>>((PORT, "begin"), copy);
        let post = Post { proposed, record: key.map(|key| (key, self.keys.record(partition, project, &key.key))), now };
        let (copy, noted) = tokio::try_join!(copy, self.note_new(&post))?;
        let verdict = match (noted, &post.record) {
            (false, Some((key, record))) => self.look_up(&post, key, record).await?,
            _ => Verdict::Publish { id: proposed, again: false },
        };
        let registry = match copy {
            None => None,
            Some(copy) => {
                let version = copy.parse().map_err(|_| corrupt(&copy))?;
                (trusted.is_some() && self.trusts(project) == trusted).then_some(RegistryVersion(version))
            }
        };
        Ok(Admitted { verdict, registry })
    }

    /// Answers before it is noted: nothing rests on that. A repeat that comes first finds the post pending, as it would
    /// after a crash, and waits for the note, or publishes again under the same id.
    async fn end(
        &self,
        partition: PartitionId,
        project: ProjectId,
        id: EventId,
        key: &IdempotencyKey,
        durable: bool,
    ) -> Result<(), PortError> {
        let record = self.keys.record(partition, project, &key.key);
        let mut call;
        if durable {
            // True of whatever record is there by now. One that is gone stays so.
            call = Call::command("SET");
            call.arg(record).arg(value('c', id, key, 0)).arg("XX").arg("KEEPTTL");
        } else {
            call = Call::script(&END, &[record]);
            call.arg(id.0.to_string());
        }
        let link = Arc::clone(&self.link);
        let mut note = Box::pin(async move { link.run_together::<Value>((PORT, "end"), call).await.map(|_| ()) });
        let Ok(place) = Arc::clone(&self.outcomes).try_acquire_owned() else { return note.await };
        // Asked once here, so that outcomes are noted in the order in which they came.
        match poll!(note.as_mut()) {
            Poll::Ready(noted) => noted,
            Poll::Pending => {
                tokio::spawn(async move {
                    if let Err(error) = note.await {
                        tracing::warn!(%error, event = %id, %project, "the outcome was not noted for repeats");
                    }
                    drop(place);
                });
                Ok(())
            }
        }
    }

    async fn learn(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError> {
        let made = self.link.made();
        self.note(partition, project, version).await?;
        self.trust(project, made);
        Ok(())
    }

    async fn renew(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError> {
        // Whether it was read over this connection is not known: it makes no copy trusted that was not.
        if self.trusts(project).is_none() {
            return Ok(());
        }
        self.note(partition, project, version).await
    }
}

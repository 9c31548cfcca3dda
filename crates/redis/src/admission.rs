//! Admission: idempotency records, and the copies of registry versions.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::Script;
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Admission, Admitted, IdempotencyKey, PortError, Verdict};
use spectrum_webhook_core::time::Millis;
use tokio::time::Instant;
use uuid::Uuid;

use crate::announcements::{CHANGE, COPY};
use crate::keys::Keys;
use crate::link::Link;

const PORT: &str = "admission";
/// A pending record that is older, in milliseconds, has lost its publisher: no publish takes so long.
const ABANDONED: u64 = 30_000;
/// The first and the longest wait between two looks at a pending record.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/begin.lua")));
static END: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/end.lua")));
static LEARN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/learn.lua")));

/// Admission in Redis.
pub struct RedisAdmission {
    link: Arc<Link>,
    keys: Keys,
    patience: Duration,
    trusted: Mutex<Trusted>,
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

    pub(crate) fn new(link: Arc<Link>, keys: Keys, patience: Duration) -> Self {
        Self { link, keys, patience, trusted: Mutex::default() }
    }
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
        let record = key.map_or_else(
            // The script does not look at it; it has to be some key of the partition.
            || self.keys.registry(partition, project),
            |key| self.keys.record(partition, project, &key.key),
        );
        let body = key.map_or(&[][..], |key| &key.body[..]);
        let expires = key.map_or_else(String::new, |key| key.expires_at.0.to_string());
        let started = Instant::now();
        let mut wait = LOOK.0;
        loop {
            // Once the patience is over, whoever published it before is taken for dead.
            let abandoned = if started.elapsed() < self.patience { ABANDONED } else { 0 };
            // A copy counts that is read over a connection that was trusted already: one that was read before the
            // directory is no newer for what another post has read and written meanwhile.
            let trusted = self.trusts(project);
            let mut script = BEGIN.prepare_invoke();
            script.key(&record).key(self.keys.changes(partition, project)).key(self.keys.registry(partition, project));
            script.arg(proposed.0.to_string()).arg(body).arg(&expires).arg(now.0).arg(abandoned).arg(CHANGE);
            let (said, id, copy): (String, String, String) = self.link.run((PORT, "begin"), &script).await?;
            let corrupt =
                || PortError::Corrupt { port: PORT, operation: "begin", detail: format!("{said} {id} {copy}") };
            let id = EventId(id.parse::<Uuid>().map_err(|_| corrupt())?);
            let verdict = match said.as_str() {
                "new" => Verdict::Publish { id: proposed, again: false },
                "again" => Verdict::Publish { id, again: true },
                "confirmed" => Verdict::Duplicate(id),
                "mismatch" => Verdict::Mismatch,
                "pending" => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LOOK.1);
                    continue;
                }
                _ => return Err(corrupt()),
            };
            let registry = match copy.as_str() {
                "" => None,
                copy => {
                    let version = RegistryVersion(copy.parse().map_err(|_| corrupt())?);
                    (trusted.is_some() && self.trusts(project) == trusted).then_some(version)
                }
            };
            return Ok(Admitted { verdict, registry });
        }
    }

    async fn end(
        &self,
        partition: PartitionId,
        project: ProjectId,
        id: EventId,
        key: &IdempotencyKey,
        durable: bool,
    ) -> Result<(), PortError> {
        let mut script = END.prepare_invoke();
        script.key(self.keys.record(partition, project, &key.key));
        script.arg(id.0.to_string()).arg(if durable { "confirmed" } else { "open" });
        self.link.run::<i64>((PORT, "end"), &script).await.map(|_| ())
    }

    async fn learn(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError> {
        let mut script = LEARN.prepare_invoke();
        script.key(self.keys.changes(partition, project)).key(self.keys.registry(partition, project));
        script.arg(version.0).arg(CHANGE).arg(COPY);
        // Its answer says that the copy is as new as this version by then, or that there is none.
        let made = self.link.made();
        self.link.run::<i64>((PORT, "learn"), &script).await?;
        self.trust(project, made);
        Ok(())
    }
}

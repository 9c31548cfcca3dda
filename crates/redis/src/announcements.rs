//! Announcements: changes under way, news for owners, and their confirmation.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::Script;
use spectrum_webhook_core::ids::{Epoch, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Announcements, Lease, PortError};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::keys::Keys;
use crate::link::Link;

const PORT: &str = "announcements";
/// How long a change may be under way, in milliseconds: longer than any transaction.
pub(crate) const CHANGE: u64 = 60_000;
/// How long a copy of a version is trusted without being written again, in milliseconds: should everything fail at
/// once (Redis loses its data within a change, and cannot be reached at its end), an old copy lasts no longer.
pub(crate) const COPY: u64 = 60_000;
/// How long a confirmation is kept, in milliseconds: longer than anyone waits for it.
const CONFIRMATION: u64 = 120_000;
/// An owner looks for news so often without being told.
const LOOK: Duration = Duration::from_secs(1);
/// The first and the longest wait between two looks for a confirmation.
const WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

static BEGIN_CHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/begin_change.lua")));
static END_CHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/end_change.lua")));
static NEWS: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('HGETALL', KEYS[1])"));
static CONFIRM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/confirm.lua")));
static STANDING: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/standing.lua")));

/// What an owner has heard.
struct Heard {
    epoch: Epoch,
    /// How often its partition had been named when it looked last.
    told: u64,
    /// The versions that it was given.
    given: HashMap<ProjectId, RegistryVersion>,
}

/// Announcements in Redis.
pub struct RedisAnnouncements {
    link: Arc<Link>,
    keys: Keys,
    lease: Duration,
    /// Tokens of this process's changes that are under way, oldest first.
    under_way: Mutex<HashMap<ProjectId, Vec<(Instant, String)>>>,
    /// One entry for each partition at most.
    heard: Mutex<HashMap<PartitionId, Heard>>,
}

impl RedisAnnouncements {
    pub(crate) fn new(link: Arc<Link>, keys: Keys, lease: Duration) -> Self {
        Self { link, keys, lease, under_way: Mutex::default(), heard: Mutex::default() }
    }

    /// The token of the project's oldest change under way. One that never ends keeps its place in Redis until it
    /// expires there, and none here.
    fn take_token(&self, project: ProjectId) -> String {
        let mut under_way = self.under_way.lock();
        let life = Duration::from_millis(CHANGE);
        under_way.retain(|_, tokens| {
            tokens.retain(|(begun, _)| begun.elapsed() < life);
            !tokens.is_empty()
        });
        let Some(tokens) = under_way.get_mut(&project) else { return String::new() };
        let (_, token) = tokens.remove(0);
        if tokens.is_empty() {
            under_way.remove(&project);
        }
        token
    }

    /// Tells of a version, and ends the change with this token, if there is one.
    async fn end(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
        token: String,
    ) -> Result<(), PortError> {
        let mut script = END_CHANGE.prepare_invoke();
        script.key(self.keys.changes(partition, project)).key(self.keys.registry(partition, project));
        script.key(self.keys.news(partition)).key(self.keys.confirmed(partition, project));
        script.arg(token).arg(project.0.to_string()).arg(version.0).arg(CHANGE).arg(COPY);
        script.arg(self.keys.channel()).arg(partition.0);
        self.link.run::<i64>((PORT, "end a change"), &script).await.map(|_| ())
    }

    async fn standing(&self, partition: PartitionId, project: ProjectId) -> Result<Standing, PortError> {
        let mut script = STANDING.prepare_invoke();
        script.key(self.keys.lease(partition)).key(self.keys.confirmed(partition, project));
        script.key(self.keys.doubt(partition));
        let (there, owner, epoch, confirmed, doubted): (bool, String, String, String, bool) =
            self.link.run((PORT, "ask for a confirmation"), &script).await?;
        Ok(Standing {
            lease: if !there {
                Holder::Unknown
            } else if owner.is_empty() {
                Holder::Nobody
            } else {
                Holder::Epoch(epoch.parse().unwrap_or(0))
            },
            confirmed: confirmed.parse().unwrap_or(-1),
            // What was forgotten less than a lease time ago may be held all the same.
            doubted: doubted || self.link.remembers_for() < self.lease,
        })
    }
}

/// What is known of a partition and a project.
struct Standing {
    lease: Holder,
    confirmed: i64,
    /// An earlier holder may still count down.
    doubted: bool,
}

enum Holder {
    /// No record: expired, lost, or there never was one.
    Unknown,
    /// It was given back.
    Nobody,
    /// Someone, by this epoch.
    Epoch(i64),
}

#[async_trait]
impl Announcements for RedisAnnouncements {
    async fn begin_change(&self, partition: PartitionId, project: ProjectId) -> Result<(), PortError> {
        let token = Uuid::new_v4().to_string();
        let mut script = BEGIN_CHANGE.prepare_invoke();
        script.key(self.keys.changes(partition, project)).key(self.keys.registry(partition, project));
        script.arg(&token).arg(CHANGE);
        self.link.run::<i64>((PORT, "begin a change"), &script).await?;
        self.under_way.lock().entry(project).or_default().push((Instant::now(), token));
        Ok(())
    }

    async fn end_change(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError> {
        let token = self.take_token(project);
        self.end(partition, project, version, token).await
    }

    async fn announce(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError> {
        self.end(partition, project, version, String::new()).await
    }

    /// True on positive evidence only: the owner's word; a lease that was given back, or one by an epoch that began
    /// while this call waited, for whoever takes a partition over reads anew; or a whole lease time, by this process's
    /// own clock, in which Redis answered and knew of no lease (its holder was killed, or Redis forgot it: then the
    /// holder's next renewal fails). While Redis cannot be reached, nothing is known; and for a lease time after Redis may
    /// have forgotten a lease, nothing counts, for its holder may start attempts until its next renewal.
    async fn confirmed(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
        patience: Duration,
    ) -> Result<bool, PortError> {
        let until = Instant::now() + patience;
        let (mut first, mut no_lease_since) = (None, None);
        let mut wait = WAIT.0;
        loop {
            match self.standing(partition, project).await {
                Ok(Standing { doubted: true, lease, .. }) => {
                    if let Holder::Epoch(epoch) = lease {
                        first.get_or_insert(epoch);
                    }
                    no_lease_since = None;
                }
                Ok(Standing { confirmed, .. }) if confirmed >= version.0 => return Ok(true),
                Ok(Standing { lease: Holder::Nobody, .. }) => return Ok(true),
                Ok(Standing { lease: Holder::Epoch(epoch), .. }) => {
                    if epoch > *first.get_or_insert(epoch) {
                        return Ok(true);
                    }
                    no_lease_since = None;
                }
                Ok(Standing { lease: Holder::Unknown, .. }) => {
                    if no_lease_since.get_or_insert_with(Instant::now).elapsed() >= self.lease {
                        return Ok(true);
                    }
                }
                Err(error) if error.is_retriable() => no_lease_since = None,
                Err(error) => return Err(error),
            }
            if Instant::now() + wait >= until {
                return Ok(false);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT.1);
        }
    }

    async fn changed(&self, lease: &Lease) -> Result<Vec<(ProjectId, RegistryVersion)>, PortError> {
        let told = self.link.told(lease.partition);
        let mut script = NEWS.prepare_invoke();
        script.key(self.keys.news(lease.partition));
        let news: HashMap<String, i64> = self.link.run((PORT, "read news"), &script).await?;
        let mut heard = self.heard.lock();
        let heard = heard.entry(lease.partition).or_insert_with(|| Heard::new(lease.epoch));
        if heard.epoch != lease.epoch {
            *heard = Heard::new(lease.epoch);
        }
        heard.told = told;
        let mut changed = Vec::new();
        let mut given = HashMap::with_capacity(news.len());
        for (project, version) in news {
            let Ok(project) = project.parse().map(ProjectId) else { continue };
            let version = RegistryVersion(version);
            if heard.given.get(&project).is_none_or(|given| *given < version) {
                changed.push((project, version));
            }
            given.insert(project, version);
        }
        // What is confirmed is no news any more, and forgotten with it.
        heard.given = given;
        Ok(changed)
    }

    async fn news(&self, lease: &Lease) -> Result<(), PortError> {
        let seen =
            self.heard.lock().get(&lease.partition).filter(|heard| heard.epoch == lease.epoch).map(|heard| heard.told);
        // Who has never looked has everything to see.
        let Some(seen) = seen else { return Ok(()) };
        let mut news = self.link.news();
        let named = async {
            while self.link.told(lease.partition) == seen {
                if news.changed().await.is_err() {
                    // The sender lives as long as the link.
                    std::future::pending::<()>().await;
                }
            }
        };
        // Late is no error: then it looks without being told.
        let _ = timeout(LOOK, named).await;
        Ok(())
    }

    async fn confirm(&self, lease: &Lease, project: ProjectId, version: RegistryVersion) -> Result<(), PortError> {
        let mut script = CONFIRM.prepare_invoke();
        script.key(self.keys.lease(lease.partition)).key(self.keys.news(lease.partition));
        script.key(self.keys.confirmed(lease.partition, project));
        script.arg(lease.owner.0.to_string()).arg(lease.epoch.0);
        script.arg(project.0.to_string()).arg(version.0).arg(CONFIRMATION);
        if self.link.run::<bool>((PORT, "confirm"), &script).await? {
            // Told once more, it is news again.
            if let Some(heard) = self.heard.lock().get_mut(&lease.partition) {
                heard.given.remove(&project);
            }
            Ok(())
        } else {
            Err(PortError::Fenced { port: PORT, operation: "confirm" })
        }
    }
}

impl Heard {
    fn new(epoch: Epoch) -> Self {
        Self { epoch, told: 0, given: HashMap::new() }
    }
}

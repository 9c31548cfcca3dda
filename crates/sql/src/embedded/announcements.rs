//! Announcements of the embedded mode: memory, and a look at the file once a second for changes that other processes
//! made (a command beside the server).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use spectrum_webhook_core::ids::{Epoch, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Announcements, Lease, PortError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::leases::Leases;
use crate::database::Database;
use crate::directory::partitions;
use crate::error::Fault;
use crate::sql::{Columns as _, Conn};

const PORT: &str = "announcements";
/// How often other processes' changes are looked for.
const POLL: Duration = Duration::from_secs(1);
/// Projects read in one look; the rest is read in the next one.
const BATCH: i64 = 1_000;
/// News of one partition beyond which what is settled is forgotten.
const CROWDED: usize = 1_024;
/// News kept for a partition that nobody owns, at most. Its next owner reads the registry anyway.
const UNOWNED: usize = 4_096;

/// News of the registry within this process.
pub struct EmbeddedAnnouncements {
    database: Database,
    leases: Arc<Leases>,
    news: Mutex<HashMap<PartitionId, PartitionNews>>,
    /// Rises with each announcement and each confirmation.
    signal: watch::Sender<u64>,
    poll: tokio::sync::Mutex<Poll>,
}

/// What is known of a partition's projects.
#[derive(Default)]
struct PartitionNews {
    projects: HashMap<ProjectId, News>,
    /// The ownership that is told.
    epoch: Epoch,
}

impl PartitionNews {
    /// A new owner is told what the one before it did not confirm.
    fn tell(&mut self, lease: &Lease) {
        if self.epoch != lease.epoch {
            self.epoch = lease.epoch;
            let unconfirmed = self.projects.values_mut().filter(|news| news.confirmed < news.announced);
            unconfirmed.for_each(|news| news.told = false);
        }
    }
}

/// What is known of a project's version.
#[derive(Clone, Copy)]
struct News {
    announced: RegistryVersion,
    /// The owner has been told.
    told: bool,
    /// What an owner confirmed.
    confirmed: RegistryVersion,
}

/// How far the file has been looked through for changes.
struct Poll {
    /// The last change seen.
    seen: i64,
    /// When it was looked at last.
    at: Instant,
    /// The number of partitions, once known.
    partitions: Option<u16>,
}

impl EmbeddedAnnouncements {
    pub(super) async fn new(database: Database, leases: Arc<Leases>) -> Result<Self, Fault> {
        let seen = database.read(|conn| Box::pin(newest(conn))).await?;
        let poll = tokio::sync::Mutex::new(Poll { seen, at: Instant::now(), partitions: None });
        Ok(Self { database, leases, news: Mutex::default(), signal: watch::Sender::new(0), poll })
    }

    fn told(&self, partition: PartitionId, project: ProjectId, version: RegistryVersion) {
        let owned = self.leases.holder(partition).is_some();
        {
            let mut news = self.news.lock();
            let news = &mut news.entry(partition).or_default().projects;
            if !owned && news.len() >= UNOWNED && !news.contains_key(&project) {
                return;
            }
            let fresh = News { announced: RegistryVersion(-1), told: true, confirmed: RegistryVersion(-1) };
            let entry = news.entry(project).or_insert(fresh);
            if version <= entry.announced {
                return;
            }
            entry.announced = version;
            entry.told = false;
            if news.len() > CROWDED {
                // Who waits for one of these all the same announces it again.
                news.retain(|_, news| !news.told || news.confirmed < news.announced);
            }
        }
        self.raise();
    }

    fn raise(&self) {
        self.signal.send_modify(|signal| *signal += 1);
    }

    fn check(&self, lease: &Lease, operation: &'static str) -> Result<(), PortError> {
        if self.leases.is_held(lease) { Ok(()) } else { Err(Fault::Fenced.at(PORT, operation)) }
    }

    fn has_news(&self, lease: &Lease) -> bool {
        let mut news = self.news.lock();
        let Some(news) = news.get_mut(&lease.partition) else { return false };
        news.tell(lease);
        news.projects.values().any(|news| !news.told)
    }

    /// Whether the owner has confirmed; announces it when it was forgotten, or never announced.
    fn is_confirmed(&self, partition: PartitionId, project: ProjectId, version: RegistryVersion) -> bool {
        let found = self.news.lock().get(&partition).and_then(|news| news.projects.get(&project).copied());
        if found.is_none_or(|news| news.announced < version) {
            self.told(partition, project, version);
        }
        found.is_some_and(|news| news.confirmed >= version)
    }

    /// Announces what other processes changed, if it is time to look.
    async fn poll(&self) -> Result<(), Fault> {
        // One at a time; whoever comes meanwhile has nothing to add.
        let Ok(mut poll) = self.poll.try_lock() else { return Ok(()) };
        if poll.at.elapsed() < POLL {
            return Ok(());
        }
        if poll.partitions.is_none() {
            poll.partitions = self.database.read(|conn| Box::pin(partitions(conn))).await?;
        }
        let seen = poll.seen;
        let changes = self.database.read(move |conn| Box::pin(changes(conn, seen))).await?;
        for (project, version, changed) in changes {
            // Until the number is fixed nobody owns a partition.
            if let Some(count) = poll.partitions {
                self.told(PartitionId::of(project, count), project, version);
            }
            poll.seen = changed;
        }
        poll.at = Instant::now();
        Ok(())
    }
}

#[async_trait]
impl Announcements for EmbeddedAnnouncements {
    async fn begin_change(&self, _partition: PartitionId, _project: ProjectId) -> Result<(), PortError> {
        // There are no copies of versions.
        Ok(())
    }

    async fn end_change(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError> {
        self.told(partition, project, version);
        Ok(())
    }

    async fn announce(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
    ) -> Result<(), PortError> {
        self.told(partition, project, version);
        Ok(())
    }

    async fn confirmed(
        &self,
        partition: PartitionId,
        project: ProjectId,
        version: RegistryVersion,
        patience: Duration,
    ) -> Result<bool, PortError> {
        let (mut signal, mut leases) = (self.signal.subscribe(), self.leases.watch());
        let deadline = Instant::now() + patience;
        loop {
            signal.borrow_and_update();
            leases.borrow_and_update();
            // A later owner reads the registry before it begins.
            if self.leases.holder(partition).is_none() || self.is_confirmed(partition, project, version) {
                return Ok(true);
            }
            tokio::select! {
                _ = signal.changed() => {}
                _ = leases.changed() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(false),
            }
        }
    }

    async fn changed(&self, lease: &Lease) -> Result<Vec<(ProjectId, RegistryVersion)>, PortError> {
        self.check(lease, "read news")?;
        self.poll().await.map_err(|fault| fault.at(PORT, "read news"))?;
        let mut news = self.news.lock();
        let news = news.entry(lease.partition).or_default();
        news.tell(lease);
        let untold = news.projects.iter_mut().filter(|(_, news)| !news.told);
        Ok(untold
            .map(|(project, news)| {
                news.told = true;
                (*project, news.announced)
            })
            .collect())
    }

    async fn news(&self, lease: &Lease) -> Result<(), PortError> {
        let mut signal = self.signal.subscribe();
        loop {
            signal.borrow_and_update();
            self.check(lease, "wait for news")?;
            if self.has_news(lease) {
                return Ok(());
            }
            tokio::select! {
                _ = signal.changed() => {}
                () = tokio::time::sleep(POLL) => self.poll().await.map_err(|fault| fault.at(PORT, "wait for news"))?,
            }
        }
    }

    async fn confirm(&self, lease: &Lease, project: ProjectId, version: RegistryVersion) -> Result<(), PortError> {
        self.check(lease, "confirm")?;
        if let Some(news) = self.news.lock().get_mut(&lease.partition)
            && let Some(news) = news.projects.get_mut(&project)
        {
            news.confirmed = news.confirmed.max(version);
        }
        self.raise();
        Ok(())
    }
}

async fn newest(conn: &mut Conn) -> Result<i64, Fault> {
    sqlx::query("SELECT coalesce(max(changed), 0) FROM projects").fetch_one(conn).await?.int(0)
}

/// Projects whose webhooks changed since, in the order of the changes, with their versions.
async fn changes(conn: &mut Conn, since: i64) -> Result<Vec<(ProjectId, RegistryVersion, i64)>, Fault> {
    let sql = "SELECT id, registry, changed FROM projects WHERE changed > $1 ORDER BY changed LIMIT $2";
    let rows = sqlx::query(sql).bind(since).bind(BATCH).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((ProjectId(row.uuid(0)?), RegistryVersion(row.int(1)?), row.int(2)?))).collect()
}

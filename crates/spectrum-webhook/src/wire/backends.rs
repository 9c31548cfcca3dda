//! Which backends are in use: embedded, or the three services of a cluster. The one file that knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use spectrum_webhook_core::ids::{OwnerId, PartitionId, ProjectId};
use spectrum_webhook_core::ports::{Admission, Announcements, Directory as _, Queue, Reach, SequenceLock};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_rabbitmq::RabbitQueue;
use spectrum_webhook_redis::Redis;
use spectrum_webhook_sql::{Database, Embedded, FILE_NAME, Keyring, Options, PostgresOptions, SqlStore, Standing};
use uuid::Uuid;

use super::keys::MasterKeys;
use crate::config::{Cluster, Settings};

/// The backends of this process.
pub(crate) struct Backends {
    pub(crate) store: Arc<SqlStore>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) lock: Arc<dyn SequenceLock>,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) announcements: Arc<dyn Announcements>,
    /// What secrets rest under.
    pub(crate) keys: Arc<MasterKeys>,
    /// The services that they need; none embedded.
    pub(crate) services: Vec<Arc<Reach>>,
    ending: Ending,
}

/// What has to be ended in order.
enum Ending {
    Embedded(Embedded),
    Cluster { queue: Arc<RabbitQueue>, redis: Redis, database: Database },
}

impl Backends {
    /// Opens the data folder, or connects to the services: for ever, until they can be reached.
    ///
    /// # Errors
    /// What a person has to change: the folder is in use or cannot be used, credentials are wrong, a service is too old
    /// or set up such that it loses what it confirmed, or the data belongs to another number of partitions.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        match &settings.cluster {
            None => Self::embedded(settings).await,
            Some(cluster) => Self::cluster(settings, cluster).await,
        }
    }

    async fn embedded(settings: &Settings) -> anyhow::Result<Self> {
        let keys = MasterKeys::of(settings)?;
        let embedded = Embedded::open(Options::new(&settings.data_dir), keys.ring().clone()).await?;
        let usable = async {
            same_partitions(&embedded.store, settings.partitions).await?;
            may_be_used(&embedded.store).await
        };
        if let Err(error) = usable.await {
            embedded.abandon().await;
            return Err(error);
        }
        Ok(Self {
            store: embedded.store.clone(),
            queue: embedded.queue.clone(),
            lock: embedded.lock.clone(),
            admission: embedded.admission.clone(),
            announcements: embedded.announcements.clone(),
            keys: Arc::new(keys),
            services: Vec::new(),
            ending: Ending::Embedded(embedded),
        })
    }

    async fn cluster(settings: &Settings, cluster: &Cluster) -> anyhow::Result<Self> {
        let keys = MasterKeys::of(settings)?;
        let database = Database::connect(postgres(settings, cluster), keys.ring().clone()).await?;
        let store = Arc::new(SqlStore::new(database.clone()));
        same_partitions(&store, settings.partitions).await?;
        may_be_used(&store).await?;
        let queue = async { RabbitQueue::connect(rabbit(settings, cluster)).await.context("SPECTRUM_AMQP_URL") };
        let redis = async { Redis::connect(redis(settings, cluster)).await.context("SPECTRUM_REDIS_URL") };
        let (queue, redis) = tokio::try_join!(queue, redis)?;
        let queue = Arc::new(queue);
        let services = [database.reach(), Some(queue.reach()), Some(redis.reach())];
        Ok(Self {
            store,
            queue: queue.clone(),
            lock: redis.lock.clone(),
            admission: redis.admission.clone(),
            announcements: redis.announcements.clone(),
            keys: Arc::new(keys),
            services: services.into_iter().flatten().collect(),
            ending: Ending::Cluster { queue, redis, database },
        })
    }

    /// Ends them in order, at the very end.
    ///
    /// # Errors
    /// When the embedded database could not be tidied: nothing is lost.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        match self.ending {
            Ending::Embedded(embedded) => {
                embedded.close().await.context("the database was not closed in order; nothing is lost")
            }
            Ending::Cluster { queue, redis, database } => {
                tokio::join!(queue.close(), redis.close());
                Ok(database.close().await?)
            }
        }
    }

    /// Ends them after a start that failed.
    pub(crate) async fn abandon(self) {
        match self.ending {
            Ending::Embedded(embedded) => embedded.abandon().await,
            Ending::Cluster { queue, database, .. } => {
                queue.close().await;
                database.abandon().await;
            }
        }
    }
}

/// Refuses a deployment that is on its way from or to another one.
pub(super) async fn may_be_used(store: &SqlStore) -> anyhow::Result<()> {
    match store.standing().await? {
        Standing::Whole => Ok(()),
        Standing::Arriving => bail!(
            "a move into this deployment was begun and is not done: run the same `spectrum-webhook move` again, which \
             goes on where it stopped"
        ),
        Standing::Leaving => bail!(
            "a move of this deployment was begun: run the same `spectrum-webhook move` again, which goes on where it \
             stopped; or give it up with `spectrum-webhook move --undo`, after which the target has to be emptied"
        ),
        Standing::Left => bail!(
            "this deployment was moved into another one: use that. Should it really be used again: `spectrum-webhook move \
             --undo`; what both have is delivered twice then"
        ),
    }
}

pub(super) async fn same_partitions(store: &SqlStore, wanted: u16) -> anyhow::Result<()> {
    let partitions = store.partitions(wanted).await?;
    if partitions != wanted {
        bail!(
            "this deployment has {partitions} partitions, which never change, and SPECTRUM_PARTITIONS is {wanted}: set \
             it to {partitions}"
        );
    }
    Ok(())
}

pub(super) fn postgres(settings: &Settings, cluster: &Cluster) -> PostgresOptions {
    PostgresOptions {
        connections: settings.database_connections,
        ca: settings.services_ca.clone(),
        ..PostgresOptions::new(cluster.database.expose())
    }
}

pub(super) fn rabbit(settings: &Settings, cluster: &Cluster) -> spectrum_webhook_rabbitmq::Options {
    let url = cluster.amqp.expose();
    spectrum_webhook_rabbitmq::Options {
        ca: settings.services_ca.clone(),
        ..spectrum_webhook_rabbitmq::Options::new(url, settings.namespace.as_str(), settings.partitions)
    }
}

pub(super) fn redis(settings: &Settings, cluster: &Cluster) -> spectrum_webhook_redis::Options {
    spectrum_webhook_redis::Options {
        lease: settings.lease,
        ca: settings.services_ca.clone(),
        ..spectrum_webhook_redis::Options::new(cluster.redis.expose(), settings.namespace.as_str())
    }
}

/// Longer than a dispatcher is counted among the living after it was killed.
const QUIET: Duration = Duration::from_secs(6);

/// The database alone, for commands that look after projects: they work beside running servers.
pub(crate) struct Registry {
    pub(crate) store: SqlStore,
    pub(crate) keys: Keyring,
    database: Database,
    /// Where changes are announced in a cluster; embedded, the server finds them in the file.
    announcements: Option<Announced>,
}

/// What a change needs that is made beside the servers of a cluster.
struct Announced {
    redis: Redis,
    /// As set here; the store knows the true number once a server has started.
    partitions: u16,
    lease: Duration,
}

impl Registry {
    /// Opens the store.
    ///
    /// # Errors
    /// See [`Backends::open`].
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let keys = MasterKeys::of(settings)?.ring().clone();
        let (database, announcements) = match &settings.cluster {
            None => (Database::open(Options::new(&settings.data_dir), keys.clone()).await?, None),
            Some(cluster) => {
                let database = Database::connect(postgres(settings, cluster), keys.clone()).await?;
                let redis = Redis::connect(redis(settings, cluster)).await.context("SPECTRUM_REDIS_URL")?;
                let (partitions, lease) = (settings.partitions, settings.lease);
                (database, Some(Announced { redis, partitions, lease }))
            }
        };
        let registry = Self { store: SqlStore::new(database.clone()), keys, database, announcements };
        if let Err(error) = may_be_used(&registry.store).await {
            registry.close().await?;
            return Err(error);
        }
        Ok(registry)
    }

    /// The newest migration in the database, when a newer release made it.
    ///
    /// # Errors
    /// When the database cannot say.
    pub(crate) async fn newer_migration(&self) -> anyhow::Result<Option<i64>> {
        Ok(self.database.newer_migration().await?)
    }

    /// Whether there is anything to look after; a mistyped folder would otherwise be made, and look empty.
    ///
    /// # Errors
    /// When there is not.
    pub(crate) fn must_exist(settings: &Settings) -> anyhow::Result<()> {
        if settings.cluster.is_none() && !settings.data_dir.join(FILE_NAME).exists() {
            bail!(
                "there is no database in {}: set SPECTRUM_DATA_DIR to the server's data folder",
                settings.data_dir.display()
            );
        }
        Ok(())
    }

    /// Deletes a project with its webhooks, announces it, and waits until no new attempt of it starts.
    ///
    /// # Errors
    /// When it is not there, or nothing could be changed, or when it is deleted and nobody has confirmed that yet.
    pub(crate) async fn delete_project(&self, id: ProjectId, now: Millis) -> anyhow::Result<()> {
        let Some(Announced { redis, partitions, lease }) = &self.announcements else {
            self.store.delete_project(id, now).await?;
            return Ok(());
        };
        let (announcements, lease) = (&redis.announcements, *lease);
        let partition = PartitionId::of(id, self.store.partitions(*partitions).await?);
        announcements.begin_change(partition, id).await?;
        let version = self.store.delete_project(id, now).await?;
        let unknown = "the project is deleted, but deliveries to its webhooks may still start until its dispatcher reads \
                       the registry again: see that Redis and the dispatchers run";
        announcements.end_change(partition, id, version).await.context(unknown)?;
        let patience = lease + Duration::from_secs(5);
        if !announcements.confirmed(partition, id, version, patience).await.context(unknown)? {
            bail!(unknown);
        }
        Ok(())
    }

    /// Deletes what Redis remembers of a store that is no more, and says how many keys that were; embedded, there are none.
    ///
    /// # Errors
    /// When Redis does not do it, or a dispatcher runs.
    pub(crate) async fn forget(&self) -> anyhow::Result<Option<u64>> {
        let Some(Announced { redis, .. }) = &self.announcements else { return Ok(None) };
        let (until, me) = (Instant::now() + QUIET, OwnerId(Uuid::new_v4()));
        loop {
            let living = redis.lock.heartbeat(me).await?.saturating_sub(1);
            redis.lock.leave(me).await?;
            if living == 0 {
                break;
            }
            if Instant::now() > until {
                bail!(
                    "dispatchers of this deployment still run ({living}): stop all of its processes, and do it again"
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let allow = "the user in SPECTRUM_REDIS_URL needs SCAN and UNLINK for it";
        Ok(Some(redis.forget().await.context(allow)?))
    }

    /// Closes the store.
    ///
    /// # Errors
    /// When it could not be tidied: nothing is lost.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        Ok(self.database.close().await?)
    }
}

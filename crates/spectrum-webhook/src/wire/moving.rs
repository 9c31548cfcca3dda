//! A move: from a data folder, or from another cluster, into the cluster that the settings name.
//!
//! The order of its steps is what makes a kill harmless at any moment: the source is marked before anything leaves it, and
//! the target may be served only when all has arrived. In between nobody serves either, and the same command goes on.
//! Messages go to the target's queue one after the other within a partition, each after the confirm of the one before it,
//! so that a broker that fails in the middle swaps none; those that may have been published before say so, and their
//! copies are recognised like those of a redelivery.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use spectrum_webhook_core::delivery::{DeliveryKey, Message};
use spectrum_webhook_core::ids::{OwnerId, PartitionId};
use spectrum_webhook_core::ports::{
    Admission as _, Fleet as _, Mark, PortError, Publication, Queue as _, SequenceLock as _, Store as _, Verdict,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_rabbitmq::RabbitQueue;
use spectrum_webhook_redis::Redis;
use spectrum_webhook_sql::{
    Carried, Database, FILE_NAME, FolderLock, KeyFile, Keyring, Move, Options, Queued, Record, SqlStore,
};
use uuid::Uuid;

use super::backends::{postgres, rabbit, redis, same_partitions};
use super::keys::{MasterKeys, others};
use crate::config::sources::Sources;
use crate::config::{Cluster, Hidden, Settings};

/// How long a service may take to be reached: whoever calls waits for it.
const REACH: Duration = Duration::from_secs(60);
/// A process that said so long ago that it lives does so no more, in milliseconds: it says so every 5 s.
const SILENCE: i64 = 15_000;
/// Records that are noted beside one another.
const BESIDE: usize = 64;

/// The deployment that is moved.
pub(crate) struct Source {
    database: Database,
    /// Nobody serves the folder meanwhile.
    _folder: Option<FolderLock>,
    /// The queue of a cluster.
    queue: Option<RabbitQueue>,
}

/// The cluster that it is moved into.
pub(crate) struct Target {
    database: Database,
    store: SqlStore,
    queue: RabbitQueue,
    redis: Redis,
    partitions: u16,
}

async fn reached<T, E: Into<anyhow::Error>>(
    what: &'static str,
    connecting: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(REACH, connecting).await {
        Ok(connected) => connected.map_err(Into::into).context(what),
        Err(_) => bail!("{what}: cannot be reached within {} s", REACH.as_secs()),
    }
}

async fn connect(settings: &Settings, cluster: &Cluster) -> anyhow::Result<(Database, RabbitQueue)> {
    let database = Database::connect(postgres(settings, cluster), MasterKeys::of(settings)?.ring().clone());
    let database = reached("SPECTRUM_DATABASE_URL", database).await?;
    same_partitions(&SqlStore::new(database.clone()), settings.partitions).await?;
    let queue = reached("SPECTRUM_AMQP_URL", RabbitQueue::connect(rabbit(settings, cluster))).await?;
    Ok((database, queue))
}

/// What opens a data folder: the key that was named, or those of its key file, or those of the target. The further keys
/// of the settings do so as well.
fn keys_of_folder(from: &Path, key: Option<&Hidden>, target: &Settings) -> anyhow::Result<Keyring> {
    if let Some(key) = key {
        return Ok(Keyring::new(key.expose().parse().context("SPECTRUM_FROM_MASTER_KEY")?, others(target)?));
    }
    if !from.join(KeyFile::NAME).exists() {
        return Ok(MasterKeys::of(target)?.ring().clone());
    }
    // While they are exchanged there are several.
    let (master, before) = KeyFile::of(from).load_or_create()?;
    Ok(Keyring::new(master, [before, others(target)?].concat()))
}

/// Refuses where a process said a moment ago that it serves this deployment.
async fn nobody_serves(store: &SqlStore, which: &str) -> anyhow::Result<()> {
    let members = store.members(Millis(now().0 - SILENCE)).await?;
    if let Some(member) = members.first() {
        bail!(
            "{} of the {which} runs on {} and said so a moment ago: stop all of its processes (one that was killed is \
             forgotten after {} s)",
            member.role,
            member.host,
            SILENCE / 1_000
        );
    }
    Ok(())
}

impl Source {
    /// Opens a data folder, which nobody may serve meanwhile, or a cluster by a file of its settings.
    ///
    /// # Errors
    /// When it is not there, or somebody serves it.
    pub(crate) async fn open(from: &Path, key: Option<&Hidden>, target: &Settings) -> anyhow::Result<Self> {
        if from.is_file() {
            return Self::cluster(from).await;
        }
        if !from.join(FILE_NAME).exists() {
            bail!("{} is neither a data folder (there is no {FILE_NAME} in it) nor a file of settings", from.display());
        }
        let folder = FolderLock::acquire(from)?;
        let keys = keys_of_folder(from, key, target)?;
        let database = Database::open(Options::new(from), keys).await.context("the source")?;
        Ok(Self { database, _folder: Some(folder), queue: None })
    }

    async fn cluster(file: &Path) -> anyhow::Result<Self> {
        let settings = crate::config::read(&Sources::of_file(file)?).with_context(|| file.display().to_string())?;
        let Some(cluster) = &settings.cluster else {
            bail!("{}: it names no services: of an embedded deployment, name the data folder", file.display());
        };
        let (database, queue) = connect(&settings, cluster).await.context("the source")?;
        nobody_serves(&SqlStore::new(database.clone()), "source").await?;
        let waiting = queue.messages().await?;
        if waiting > 0 {
            bail!(
                "{waiting} events wait in the queues of the source: start its dispatchers again without any ingest, until \
                 the queues are empty, then stop them"
            );
        }
        Ok(Self { database, _folder: None, queue: Some(queue) })
    }

    /// Lets it be served again.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn undo(&self) -> anyhow::Result<bool> {
        Ok(SqlStore::new(self.database.clone()).undo_move().await?)
    }

    /// How many events wait in the embedded queue.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn in_queue(&self) -> anyhow::Result<u64> {
        Ok(Move::in_queue(&self.database).await?)
    }

    /// Closes it.
    ///
    /// # Errors
    /// When it could not be tidied: nothing is lost.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        if let Some(queue) = &self.queue {
            queue.close().await;
        }
        Ok(self.database.close().await?)
    }
}

impl Target {
    /// Connects to the cluster of the settings, which nobody may serve meanwhile.
    ///
    /// # Errors
    /// When a service cannot be used, or somebody serves it.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let Some(cluster) = &settings.cluster else {
            bail!(
                "the settings name no cluster to move into: set SPECTRUM_DATABASE_URL, SPECTRUM_AMQP_URL, \
                 SPECTRUM_REDIS_URL and SPECTRUM_MASTER_KEY"
            );
        };
        let (database, queue) = connect(settings, cluster).await?;
        let redis = reached("SPECTRUM_REDIS_URL", Redis::connect(redis(settings, cluster))).await?;
        let store = SqlStore::new(database.clone());
        nobody_serves(&store, "target").await?;
        Ok(Self { database, store, queue, redis, partitions: settings.partitions })
    }

    /// What would be carried, or is already, by table. Changes nothing but the target's schema.
    ///
    /// # Errors
    /// When the target cannot take it.
    pub(crate) async fn check(&self, source: &Source) -> anyhow::Result<Vec<Carried>> {
        self.may_take(source).await?;
        Ok(Move::check(&source.database, &self.database).await?)
    }

    async fn may_take(&self, source: &Source) -> anyhow::Result<()> {
        let goes_on = Move::may_begin(&source.database, &self.database).await?;
        let waiting = self.queue.messages().await?;
        if !goes_on && waiting > 0 {
            bail!("{waiting} events wait in the target's queues: set a SPECTRUM_NAMESPACE that is not in use");
        }
        Ok(())
    }

    /// Begins to carry, or goes on with it.
    ///
    /// # Errors
    /// When the target cannot take it.
    pub(crate) async fn begin(&self, source: &Source) -> anyhow::Result<Move> {
        self.may_take(source).await?;
        let moving = Move::begin(source.database.clone(), self.database.clone(), self.partitions, now()).await?;
        // A process that starts says so before it looks for the move: either it sees that, or it is seen here.
        let begun =
            "the move has begun and stopped here: run it again when this is mended, or take it back with `--undo`";
        if source.queue.is_some() {
            nobody_serves(&SqlStore::new(source.database.clone()), "source").await.context(begun)?;
        }
        nobody_serves(&self.store, "target").await.context(begun)?;
        Ok(moving)
    }

    /// Puts a piece of the source's queue into the target's.
    ///
    /// # Errors
    /// When the queue or the database fails: the next run goes on there.
    pub(crate) async fn publish(&self, moving: &mut Move, mut queued: Queued) -> anyhow::Result<()> {
        let mut lines: BTreeMap<PartitionId, Vec<Message>> = BTreeMap::new();
        for (partition, message) in std::mem::take(&mut queued.messages) {
            lines.entry(partition).or_default().push(message);
        }
        let count = lines.values().map(Vec::len).sum::<usize>() as u64;
        let lines = lines.into_iter().map(|(partition, messages)| async move {
            for message in messages {
                // A run that was killed may have published it.
                let publication = Publication { message, again: true, idempotency: None };
                self.queue.publish(partition, publication).await?;
            }
            Ok::<(), PortError>(())
        });
        futures::future::try_join_all(lines).await?;
        Ok(moving.passed(queued, count, now()).await?)
    }

    /// Notes by what repeated posts are recognised; says how many.
    ///
    /// # Errors
    /// When Redis fails: the next run notes them again.
    pub(crate) async fn note_records(&self, moving: &Move) -> anyhow::Result<u64> {
        let (mut noted, mut last) = (0, None);
        loop {
            let records = moving.records(last.as_ref(), now()).await?;
            noted += records.len() as u64;
            let Some(record) = records.last() else { break };
            last = Some(record.clone());
            let notes = futures::stream::iter(records).map(|record| self.note(record)).buffer_unordered(BESIDE);
            notes.try_collect::<()>().await?;
        }
        // Outcomes are noted in the background.
        self.redis.close().await;
        Ok(noted)
    }

    async fn note(&self, Record { partition, project, event, key }: Record) -> Result<(), PortError> {
        let admission = &self.redis.admission;
        let admitted = admission.begin(partition, project, event, Some(&key), now()).await?;
        match admitted.verdict {
            Verdict::Publish { id, .. } if id == event => admission.end(partition, project, id, &key, true).await,
            // It is there already.
            _ => Ok(()),
        }
    }

    /// Marks the deliveries that are settled although their event is in the queue; says how many.
    ///
    /// # Errors
    /// When Redis fails, or a dispatcher holds a partition: the next run marks them again.
    pub(crate) async fn note_settled(&self, moving: &Move) -> anyhow::Result<u64> {
        let mut marks: BTreeMap<PartitionId, Vec<Mark>> = BTreeMap::new();
        let (mut noted, mut last): (u64, Option<DeliveryKey>) = (0, None);
        loop {
            let settled = moving.settled(last).await?;
            let Some((_, key)) = settled.last() else { break };
            last = Some(*key);
            noted += settled.len() as u64;
            for (partition, key) in settled {
                marks.entry(partition).or_default().push(Mark { key, last: false });
            }
        }
        let (lock, owner) = (&self.redis.lock, OwnerId(Uuid::now_v7()));
        for (partition, marks) in marks {
            let floor = self.store.epoch(partition).await?;
            let Some(lease) = lock.acquire(partition, owner, floor).await? else {
                bail!("a dispatcher holds partition {partition} of the target: stop it, and run the move again");
            };
            let settled = lock.settle(&lease, &marks).await;
            lock.release(&lease).await?;
            settled?;
        }
        Ok(noted)
    }

    /// How many messages its queues have.
    ///
    /// # Errors
    /// When the broker cannot say.
    pub(crate) async fn in_queue(&self) -> anyhow::Result<u64> {
        Ok(self.queue.messages().await?)
    }

    /// Closes it.
    ///
    /// # Errors
    /// When it could not be tidied: nothing is lost.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        tokio::join!(self.queue.close(), self.redis.close());
        Ok(self.database.close().await?)
    }
}

/// The time of this machine.
pub(crate) fn now() -> Millis {
    Millis(jiff::Timestamp::now().as_millisecond())
}

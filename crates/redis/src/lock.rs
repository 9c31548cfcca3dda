//! The sequence lock: leases, epochs, marks and heartbeats.
//!
//! The argument for one owner at a time: a lease is granted by one script, on one server, when its key holds no other
//! owner; it expires a lease time after its last renewal took place, and its holder stops earlier, counting from when
//! it sent the renewal. Where Redis lost its data or an older replica took over, a second holder can be granted the
//! partition while the first still counts down: then the epochs differ, the younger is greater (it is above the store's
//! and above the clock), and whatever the first one writes here or in the store is refused.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::Script;
use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::ids::{Epoch, OwnerId, PartitionId};
use spectrum_webhook_core::ports::{Lease, Mark, PortError, SequenceLock};
use tokio::time::Instant;

use crate::keys::Keys;
use crate::link::{Call, Link};

const PORT: &str = "sequence lock";
/// A process that is silent for so long, or for a lease time where that is shorter, is none of the living; a heartbeat is
/// sent every second.
const SILENCE: (Duration, Duration) = (Duration::from_millis(2_500), Duration::from_secs(5));
/// Marks in one script: its arguments are bounded.
const BURST: usize = 512;

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/acquire.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/renew.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/release.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/settle.lua")));
static LOOK_UP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/look_up.lua")));
static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/heartbeat.lua")));
static LEAVE: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('ZREM', KEYS[1], ARGV[1])"));

/// Someone else's lease as it was seen, and since when it has not changed.
struct Watched {
    epoch: String,
    counter: String,
    since: Instant,
}

/// The sequence lock in Redis.
pub struct RedisLock {
    link: Arc<Link>,
    keys: Keys,
    lease: Duration,
    /// One entry for each partition at most.
    watched: Mutex<HashMap<PartitionId, Watched>>,
    started: Instant,
}

impl RedisLock {
    pub(crate) fn new(link: Arc<Link>, keys: Keys, lease: Duration) -> Self {
        Self { link, keys, lease, watched: Mutex::default(), started: Instant::now() }
    }

    /// The bucket of marks whose turn it is. An earlier owner counted by another clock: what it wrote lives somewhat longer
    /// at most.
    fn bucket(&self, partition: PartitionId) -> String {
        self.keys.bucket(partition, self.started.elapsed().as_secs() / 60 % 4)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// Epoch and counter of a lease that stood still for a whole lease time by this process's own clock: the server's
    /// may have jumped back, and then it would not expire.
    fn stood_still(&self, partition: PartitionId) -> (String, String) {
        let watched = self.watched.lock();
        let still = watched.get(&partition).filter(|watched| watched.since.elapsed() >= self.lease);
        still.map_or_else(Default::default, |watched| (watched.epoch.clone(), watched.counter.clone()))
    }

    fn watch(&self, partition: PartitionId, epoch: String, counter: String) {
        let mut watched = self.watched.lock();
        let seen = watched.get(&partition);
        if seen.is_none_or(|seen| seen.epoch != epoch || seen.counter != counter) {
            watched.insert(partition, Watched { epoch, counter, since: Instant::now() });
        }
    }
}

fn bytes(key: &DeliveryKey) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(key.event.0.as_bytes());
    bytes[16..].copy_from_slice(key.webhook.0.as_bytes());
    bytes
}

fn fenced(operation: &'static str) -> PortError {
    PortError::Fenced { port: PORT, operation }
}

#[async_trait]
impl SequenceLock for RedisLock {
    async fn acquire(&self, partition: PartitionId, owner: OwnerId, floor: Epoch) -> Result<Option<Lease>, PortError> {
        let (epoch, counter) = self.stood_still(partition);
        let mut script = ACQUIRE.prepare_invoke();
        script.key(self.keys.lease(partition)).key(self.keys.epoch(partition)).key(self.keys.doubt(partition));
        script.arg(owner.0.to_string()).arg(floor.0).arg(self.millis()).arg(Epoch::STEP).arg(epoch).arg(counter);
        let (granted, epoch, counter): (bool, String, String) = self.link.run((PORT, "acquire"), &script).await?;
        if !granted {
            self.watch(partition, epoch, counter);
            return Ok(None);
        }
        self.watched.lock().remove(&partition);
        let corrupt = |_| PortError::Corrupt { port: PORT, operation: "acquire", detail: format!("epoch {epoch}") };
        Ok(Some(Lease { partition, owner, epoch: Epoch(epoch.parse().map_err(corrupt)?) }))
    }

    async fn renew(&self, lease: &Lease) -> Result<bool, PortError> {
        let mut script = RENEW.prepare_invoke();
        script.key(self.keys.lease(lease.partition));
        script.arg(lease.owner.0.to_string()).arg(lease.epoch.0).arg(self.millis());
        self.link.run((PORT, "renew"), &script).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), PortError> {
        let mut script = RELEASE.prepare_invoke();
        script.key(self.keys.lease(lease.partition)).arg(lease.owner.0.to_string()).arg(lease.epoch.0);
        // One that is not held any more needs no release.
        self.link.run::<bool>((PORT, "release"), &script).await.map(|_| ())
    }

    async fn settle(&self, lease: &Lease, marks: &[Mark]) -> Result<(), PortError> {
        for burst in marks.chunks(BURST) {
            let mut call = Call::script(&SETTLE, &[self.keys.lease(lease.partition), self.bucket(lease.partition)]);
            call.arg(lease.owner.0.to_string()).arg(lease.epoch.0);
            for mark in burst {
                call.arg(&bytes(&mark.key)[..]);
            }
            if !self.link.run_together::<bool>((PORT, "settle"), call).await? {
                return Err(fenced("settle"));
            }
        }
        Ok(())
    }

    async fn look_up(&self, lease: &Lease, keys: &[DeliveryKey]) -> Result<Vec<DeliveryKey>, PortError> {
        let mut settled = Vec::new();
        for burst in keys.chunks(BURST) {
            let mut script = LOOK_UP.prepare_invoke();
            script.key(self.keys.lease(lease.partition)).key(&self.keys.done(lease.partition)[..]);
            script.arg(lease.owner.0.to_string()).arg(lease.epoch.0);
            for key in burst {
                script.arg(&bytes(key)[..]);
            }
            let found: Option<Vec<bool>> = self.link.run((PORT, "look up"), &script).await?;
            let found = found.ok_or_else(|| fenced("look up"))?;
            settled.extend(burst.iter().zip(found).filter(|(_, found)| *found).map(|(key, _)| *key));
        }
        Ok(settled)
    }

    async fn heartbeat(&self, owner: OwnerId) -> Result<usize, PortError> {
        let mut script = HEARTBEAT.prepare_invoke();
        let silence = self.lease.clamp(SILENCE.0, SILENCE.1);
        let silence = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        script.key(self.keys.live()).arg(owner.0.to_string()).arg(silence);
        self.link.run((PORT, "send a heartbeat"), &script).await
    }

    async fn leave(&self, owner: OwnerId) -> Result<(), PortError> {
        let mut script = LEAVE.prepare_invoke();
        script.key(self.keys.live()).arg(owner.0.to_string());
        self.link.run::<i64>((PORT, "leave"), &script).await.map(|_| ())
    }
}

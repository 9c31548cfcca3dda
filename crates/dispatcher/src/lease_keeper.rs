//! Takes this process's share of the partitions, and gives back what is above it. No leader: each process counts the
//! living and acts for itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::chance::Chance as _;
use spectrum_webhook_core::ids::{OwnerId, PartitionId};
use spectrum_webhook_core::ports::PortError;
use spectrum_webhook_core::retry::{Policy, Schedule};
use spectrum_webhook_core::time::Mono;
use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::holding::Holding;
use crate::partition::{Lost, own};

const ACQUIRE_RETRIES: Policy =
    Policy { initial: Duration::from_millis(100), factor: 2.0, cap: Duration::from_secs(5), attempts: u32::MAX };
/// An ownership that lasted so long, in milliseconds, worked: what failed before it no longer counts.
const WORKED: u64 = 60_000;
/// Ticks for which a surplus must last before it is given back.
const HYSTERESIS: u32 = 3;

struct Held {
    partition: PartitionId,
    stop: CancellationToken,
    since: Mono,
}

pub(crate) struct LeaseKeeper {
    shared: Arc<Shared>,
    owner: OwnerId,
    owners: JoinSet<Result<(), Lost>>,
    held: HashMap<Id, Held>,
    /// Partitions whose last ownership failed: how often in a row, and when to try again.
    failed: HashMap<PartitionId, (u32, Mono)>,
    surplus_for: u32,
    retries: Schedule,
}

impl LeaseKeeper {
    pub(crate) fn new(shared: Arc<Shared>, owner: OwnerId) -> Self {
        Self {
            shared,
            owner,
            owners: JoinSet::new(),
            held: HashMap::new(),
            failed: HashMap::new(),
            surplus_for: 0,
            retries: Schedule::new(&ACQUIRE_RETRIES),
        }
    }

    /// Keeps leases until `stop` is cancelled, then gives all back gracefully.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(self.shared.settings.share_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.share().await,
                Some(ended) = self.owners.join_next_with_id() => self.ended(ended),
            }
        }
        // The heartbeat first: the others may take what is given back.
        if let Err(error) = self.shared.ports.lock.leave(self.owner).await {
            tracing::warn!(%error, "the heartbeat could not be taken back");
        }
        for held in self.held.values() {
            held.stop.cancel();
        }
        while let Some(ended) = self.owners.join_next_with_id().await {
            self.ended(ended);
        }
    }

    async fn share(&mut self) {
        let live = match self.shared.ports.lock.heartbeat(self.owner).await {
            Ok(live) => live.max(1),
            Err(error) => {
                tracing::warn!(%error, "the heartbeat could not be sent");
                return;
            }
        };
        let partitions = usize::from(self.shared.settings.partitions);
        let target = partitions.div_ceil(live);
        // Those that are being given back are none of it any more, however long their last attempts take.
        let kept = self.held.values().filter(|held| !held.stop.is_cancelled()).count();
        if kept > target {
            self.surplus_for += 1;
            if self.surplus_for >= HYSTERESIS {
                let surplus = kept - target;
                for held in self.held.values().filter(|held| !held.stop.is_cancelled()).take(surplus) {
                    held.stop.cancel();
                }
            }
            return;
        }
        self.surplus_for = 0;
        // From a place of its own, so that processes that start together do not all ask for the same.
        let start = self.shared.chance().below(u64::from(self.shared.settings.partitions)) as u16;
        for step in 0..self.shared.settings.partitions {
            if self.held.len() >= target {
                break;
            }
            let partition = PartitionId((start + step) % self.shared.settings.partitions);
            let now = self.shared.clock.mono();
            let waits = self.failed.get(&partition).is_some_and(|(_, until)| now < *until);
            if waits || self.held.values().any(|held| held.partition == partition) {
                continue;
            }
            if let Err(error) = self.acquire(partition).await {
                tracing::warn!(%partition, %error, "a partition could not be taken");
                self.put_off(partition);
            }
        }
    }

    async fn acquire(&mut self, partition: PartitionId) -> Result<(), PortError> {
        let floor = self.shared.ports.store.epoch(partition).await?;
        let sent = self.shared.clock.mono();
        let Some(lease) = self.shared.ports.lock.acquire(partition, self.owner, floor).await? else {
            return Ok(());
        };
        let limit = u64::try_from(self.shared.settings.hold_lease_for.as_millis()).unwrap_or(u64::MAX);
        let holding = Arc::new(Holding::new(self.shared.clock, sent, limit));
        let stop = CancellationToken::new();
        let task = self.owners.spawn(own(Arc::clone(&self.shared), lease, holding, stop.clone()));
        self.held.insert(task.id(), Held { partition, stop, since: sent });
        Ok(())
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), Lost>), tokio::task::JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(Lost::Panicked)),
        };
        let Some(held) = self.held.remove(&id) else { return };
        match result {
            Ok(()) => {
                self.failed.remove(&held.partition);
            }
            Err(error) => {
                tracing::warn!(partition = %held.partition, %error, "an ownership ended");
                self.shared.metrics.ownerships_lost.inc();
                if self.shared.clock.mono().since(held.since) >= WORKED {
                    self.failed.remove(&held.partition);
                }
                self.put_off(held.partition);
            }
        }
    }

    fn put_off(&mut self, partition: PartitionId) {
        let failed = self.failed.get(&partition).map_or(0, |(failed, _)| *failed).saturating_add(1);
        let wait = self.retries.wait(failed.min(16), None, &mut self.shared.chance());
        self.failed.insert(partition, (failed, self.shared.clock.mono().plus(wait)));
    }
}

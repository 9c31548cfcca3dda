//! Takes this process's share of the partitions, and gives back what is above it. No leader: each process counts the
//! living and acts for itself. Whatever waits for a service waits in a task, so that a service that hangs holds up
//! neither the end of an ownership nor a stop.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::chance::Chance as _;
use spectrum_webhook_core::ids::{Epoch, OwnerId, PartitionId};
use spectrum_webhook_core::ports::{Lease, PortError};
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
/// Leases that are asked for at once.
const ASKS: usize = 16;
/// Partitions that are asked for in a round: with very many, a round looks at a part of them.
const ROUND: usize = 256;

struct Held {
    partition: PartitionId,
    stop: CancellationToken,
    since: Mono,
}

/// What came of asking for a partition.
struct Asked {
    partition: PartitionId,
    /// The store's epoch, as far as it is known here.
    floor: Option<Epoch>,
    /// When it was asked for, and the lease; `None`: someone else holds it.
    granted: Result<Option<(Mono, Lease)>, PortError>,
}

pub(crate) struct LeaseKeeper {
    shared: Arc<Shared>,
    owner: OwnerId,
    owners: JoinSet<Result<(), Lost>>,
    held: HashMap<Id, Held>,
    /// One at most.
    heartbeats: JoinSet<Result<usize, PortError>>,
    asks: JoinSet<Asked>,
    /// What they ask for: a lease that is asked for twice would be granted twice, and the second grant end the first.
    asking: HashMap<Id, PartitionId>,
    /// What is still to be asked for in this round.
    candidates: VecDeque<PartitionId>,
    target: usize,
    /// Partitions that another process held when they were asked for last.
    elsewhere: HashSet<PartitionId>,
    /// The store's epochs as read once. An old one does no harm: the takeover compares again, and one that is refused
    /// is forgotten here. That nobody ever had a partition is not remembered: it says that no holder can be forgotten.
    floors: HashMap<PartitionId, Epoch>,
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
            heartbeats: JoinSet::new(),
            asks: JoinSet::new(),
            asking: HashMap::new(),
            candidates: VecDeque::new(),
            target: 0,
            elsewhere: HashSet::new(),
            floors: HashMap::new(),
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
                _ = ticks.tick() => self.beat(),
                Some(beaten) = self.heartbeats.join_next() => self.beaten(beaten),
                Some(asked) = self.asks.join_next_with_id() => self.asked(asked),
                Some(ended) = self.owners.join_next_with_id() => self.ended(ended),
            }
            self.report();
        }
        self.give_all_back().await;
    }

    /// The heartbeat first: the others may take what is given back.
    async fn give_all_back(mut self) {
        for held in self.held.values() {
            held.stop.cancel();
        }
        // One on its way would come after it.
        while self.heartbeats.join_next().await.is_some() {}
        if let Err(error) = self.shared.ports.lock.leave(self.owner).await {
            tracing::warn!(%error, "the heartbeat could not be taken back");
        }
        loop {
            tokio::select! {
                Some(asked) = self.asks.join_next() => {
                    let Ok(Asked { granted: Ok(Some((_, lease))), .. }) = asked else { continue };
                    if let Err(error) = self.shared.ports.lock.release(&lease).await {
                        tracing::warn!(partition = %lease.partition, %error, "a lease could not be released");
                    }
                }
                Some(ended) = self.owners.join_next_with_id() => self.ended(ended),
                else => return,
            }
        }
    }

    fn beat(&mut self) {
        if self.heartbeats.is_empty() {
            let (shared, owner) = (Arc::clone(&self.shared), self.owner);
            self.heartbeats.spawn(async move { shared.ports.lock.heartbeat(owner).await });
        }
    }

    fn beaten(&mut self, beaten: Result<Result<usize, PortError>, tokio::task::JoinError>) {
        match beaten {
            Ok(Ok(live)) => {
                let now = self.shared.clock.mono();
                self.shared.standing.update(|found| found.heartbeat = Some(now));
                self.share(live.max(1));
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the heartbeat could not be sent");
                self.trouble(&error);
            }
            Err(error) => tracing::error!(%error, "the heartbeat ended by itself"),
        }
    }

    /// Compares what it holds with its share among so many living.
    fn share(&mut self, live: usize) {
        let partitions = self.shared.settings.partitions;
        self.target = usize::from(partitions).div_ceil(live);
        self.shared.metrics.partitions_wanted.set(i64::try_from(self.target).unwrap_or(i64::MAX));
        let kept = self.kept();
        if kept > self.target {
            self.surplus_for += 1;
            if self.surplus_for >= HYSTERESIS {
                let surplus = kept - self.target;
                for held in self.held.values().filter(|held| !held.stop.is_cancelled()).take(surplus) {
                    held.stop.cancel();
                }
            }
            return;
        }
        self.surplus_for = 0;
        if !self.candidates.is_empty() || !self.shared.memory.has_room() {
            return;
        }
        // From a place of its own, so that processes that start together do not all ask for the same.
        let start = self.shared.chance().below(u64::from(partitions)) as u16;
        let now = self.shared.clock.mono();
        let held = self.held.values().map(|held| held.partition);
        let taken: HashSet<PartitionId> = held.chain(self.asking.values().copied()).collect();
        let waits = |partition: &PartitionId| self.failed.get(partition).is_some_and(|(_, until)| now < *until);
        self.candidates = (0..partitions)
            .map(|step| PartitionId((start + step) % partitions))
            .filter(|partition| !taken.contains(partition) && !waits(partition))
            .take(ROUND)
            .collect();
        self.ask();
    }

    /// Asks for what may be missing to the share, a few at a time and never for more than is missing.
    fn ask(&mut self) {
        // What is being given back still counts: its attempts are under way.
        while self.asks.len() < ASKS && self.held.len() + self.asks.len() < self.target {
            let Some(partition) = self.candidates.pop_front() else { return };
            let (shared, owner) = (Arc::clone(&self.shared), self.owner);
            let floor = self.floors.get(&partition).copied();
            let task = self.asks.spawn(async move { ask(&shared, owner, partition, floor).await });
            self.asking.insert(task.id(), partition);
        }
        if self.held.len() >= self.target {
            self.candidates.clear();
        }
    }

    fn asked(&mut self, asked: Result<(Id, Asked), tokio::task::JoinError>) {
        self.asking.remove(&asked.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id));
        let Asked { partition, floor, granted } = match asked {
            Ok((_, asked)) => asked,
            Err(error) => return tracing::error!(%error, "asking for a partition ended by itself"),
        };
        if let Some(floor) = floor.filter(|floor| *floor > Epoch::default()) {
            self.floors.insert(partition, floor);
        }
        match granted {
            Ok(Some((sent, lease))) => {
                self.elsewhere.remove(&partition);
                self.start(sent, lease);
            }
            Ok(None) => {
                self.elsewhere.insert(partition);
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "a partition could not be taken");
                self.trouble(&error);
                self.elsewhere.remove(&partition);
                self.put_off(partition);
            }
        }
        self.ask();
    }

    fn start(&mut self, sent: Mono, lease: Lease) {
        let limit = u64::try_from(self.shared.settings.hold_lease_for.as_millis()).unwrap_or(u64::MAX);
        let holding = Arc::new(Holding::new(self.shared.clock, sent, limit));
        let stop = CancellationToken::new();
        let task = self.owners.spawn(own(Arc::clone(&self.shared), lease, holding, stop.clone()));
        self.held.insert(task.id(), Held { partition: lease.partition, stop, since: sent });
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), Lost>), tokio::task::JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(Lost::Panicked)),
        };
        let Some(held) = self.held.remove(&id) else { return };
        match result {
            Ok(()) => {
                self.shared.metrics.given_back.inc();
                self.failed.remove(&held.partition);
            }
            Err(error) => {
                tracing::warn!(partition = %held.partition, %error, "an ownership ended");
                self.trouble(&error);
                self.floors.remove(&held.partition);
                self.shared.metrics.lost(&error);
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

    /// Those that are being given back are none of it any more, however long their last attempts take.
    fn kept(&self) -> usize {
        self.held.values().filter(|held| !held.stop.is_cancelled()).count()
    }

    fn trouble(&self, error: &dyn std::fmt::Display) {
        self.shared.standing.update(|found| found.trouble = Some(error.to_string()));
    }

    fn report(&self) {
        let (target, kept, elsewhere) = (self.target, self.kept(), self.elsewhere.len());
        let held = self.held.values().filter(|held| !held.stop.is_cancelled());
        let partitions = held.map(|held| held.partition.0).collect();
        self.shared.standing.update(|found| {
            (found.target, found.kept, found.elsewhere) = (target, kept, elsewhere);
            found.partitions = partitions;
            if kept >= target {
                found.trouble = None;
            }
        });
    }
}

async fn ask(shared: &Shared, owner: OwnerId, partition: PartitionId, floor: Option<Epoch>) -> Asked {
    let mut known = floor;
    let granted = async {
        let floor = match known {
            Some(floor) => floor,
            None => *known.insert(shared.ports.store.epoch(partition).await?),
        };
        let sent = shared.clock.mono();
        Ok(shared.ports.lock.acquire(partition, owner, floor).await?.map(|lease| (sent, lease)))
    }
    .await;
    Asked { partition, floor: known, granted }
}

//! The process: it starts, takes partitions over, and crashes.

use std::collections::BTreeMap;

use spectrum_webhook_core::ids::{Epoch, OwnerId, PartitionId};
use spectrum_webhook_core::partition::Partition;
use spectrum_webhook_core::ports::{
    Lease, PortError, Queue as _, SequenceLock as _, Store as _, Subscription, Takeover,
};
use spectrum_webhook_sql::Embedded;

use super::World;
use super::event::{Event, Happening};
use super::owner::Owner;
use super::ports::Ports;

pub(super) struct Process {
    pub(super) name: u64,
    pub(super) embedded: Embedded,
    pub(super) owner: OwnerId,
    pub(super) owners: BTreeMap<PartitionId, Owner>,
}

/// What a takeover gives.
type Ownership = (Lease, Takeover, Box<dyn Subscription>);

impl World {
    pub(super) fn start_process(&mut self) -> anyhow::Result<()> {
        let embedded = self.open()?;
        let name = self.name();
        let owner = OwnerId(self.dice.uuid());
        let skew = self.plan.faults.skew;
        self.wall_offset = self.dice.range(0, 2 * skew).cast_signed() - skew.cast_signed();
        self.process = Some(Process { name, embedded, owner, owners: BTreeMap::new() });
        self.trace(&format!("process {name} starts"));
        for partition in 0..self.plan.partitions {
            self.soon(Event::TakeOver { process: name, partition: PartitionId(partition) });
        }
        Ok(())
    }

    pub(super) fn ports(&self) -> Option<Ports> {
        self.process.as_ref().map(|process| Ports::of(&process.embedded))
    }

    pub(super) fn take_over(&mut self, name: u64, partition: PartitionId) {
        let Some(process) = self.process.as_ref().filter(|process| process.name == name) else { return };
        if process.owners.contains_key(&partition) {
            return;
        }
        let (ports, owner) = (Ports::of(&process.embedded), process.owner);
        match self.try_take_over(&ports, partition, owner) {
            Ok(Some((lease, takeover, subscription))) => self.own(lease, &takeover, subscription),
            Ok(None) => self.later(500, Event::TakeOver { process: name, partition }),
            Err(error) => {
                let failed = matches!(error, PortError::Unavailable { .. });
                if !failed {
                    self.checker.cry(|| format!("a takeover failed: {error}"));
                }
                self.trace(&format!("partition {partition}: takeover failed"));
                let wait = self.dice.range(100, 1_000);
                self.later(wait, Event::TakeOver { process: name, partition });
            }
        }
    }

    /// As the design says: acquire, write the epoch and read, renew, subscribe.
    fn try_take_over(
        &mut self,
        ports: &Ports,
        partition: PartitionId,
        owner: OwnerId,
    ) -> Result<Option<Ownership>, PortError> {
        let (store, lock, queue) = (ports.store.clone(), ports.lock.clone(), ports.queue.clone());
        let floor: Epoch = self.call({
            let store = store.clone();
            async move { store.epoch(partition).await }
        })?;
        let acquired = self.call({
            let lock = lock.clone();
            async move { lock.acquire(partition, owner, floor).await }
        })?;
        let Some(lease) = acquired else { return Ok(None) };
        let takeover = self.call(async move { store.take_over(&lease).await })?;
        if !self.call(async move { lock.renew(&lease).await })? {
            return Ok(None);
        }
        let window = self.plan.settings.window;
        let subscription = self.call(async move { queue.subscribe(&lease, window).await })?;
        Ok(Some((lease, takeover, subscription)))
    }

    fn own(&mut self, lease: Lease, takeover: &Takeover, subscription: Box<dyn Subscription>) {
        let name = self.name();
        let mut actions = Vec::new();
        let settings = self.plan.settings.clone();
        let machine = Partition::new(&lease, takeover, settings, &mut actions);
        let chance = self.dice.fork();
        let owner = Owner::new((name, self.now), lease, machine, subscription, chance);
        let partition = lease.partition;
        let rests: u64 = takeover.lanes.iter().map(|lane| lane.backlog + lane.set_aside).sum();
        self.trace(&format!("partition {partition}: ownership {name} begins, {rests} rows at rest"));
        if let Some(process) = &mut self.process {
            process.owners.insert(partition, owner);
        }
        self.perform(name, actions);
        self.soon(Event::Owned { ownership: name, happening: Happening::Take });
        self.soon(Event::Owned { ownership: name, happening: Happening::News });
    }

    /// The ownership of a partition ends; it is taken over anew.
    pub(super) fn lose(&mut self, ownership: u64, why: &str) {
        let Some(process) = &mut self.process else { return };
        let Some(partition) = process.owners.values().find(|owner| owner.name == ownership).map(Owner::partition)
        else {
            return;
        };
        let Some(owner) = process.owners.remove(&partition) else { return };
        let (name, lock) = (process.name, process.embedded.lock.clone());
        self.trace(&format!("partition {partition}: ownership {ownership} ends: {why}"));
        self.cut_attempts(&owner);
        let lease = owner.lease;
        // A write that is on its way is committed now or never: the next owner writes its epoch first.
        if self.dice.per_mille(500) {
            self.commit_unheard(&owner);
        }
        let runtime = &self.runtime;
        let closed = runtime.block_on(async { lock.release(&lease).await });
        if let Err(error) = closed {
            self.checker.cry(|| format!("a lease could not be released: {error}"));
        }
        self.runtime.block_on(async { drop(owner) });
        let wait = self.dice.range(1, 1_000);
        self.later(wait, Event::TakeOver { process: name, partition });
    }

    /// The process ends without warning.
    pub(super) fn crash(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.crashes += 1;
        self.trace(&format!("process {} crashes", process.name));
        let Process { embedded, owners, .. } = process;
        for owner in owners.values() {
            self.cut_attempts(owner);
        }
        self.runtime.block_on(async {
            embedded.abandon().await;
            drop(owners);
            drop(embedded);
        });
        let wait = if self.dice.per_mille(100) { self.dice.range(10_000, 60_000) } else { self.dice.range(10, 3_000) };
        self.later(wait, Event::Start);
    }

    /// In between, when no write is on its way: what the counts call pending is at rest or in memory.
    fn check_conservation(&mut self) {
        let Some(process) = &self.process else { return };
        let quiet = |owner: &Owner| owner.writes.is_empty() && owner.writing.is_empty() && !owner.inexact;
        let all_owned = process.owners.len() == usize::from(self.plan.partitions);
        if !all_owned || !process.owners.values().all(quiet) {
            return;
        }
        let counts = process.owners.values().map(|owner| (owner.machine.counts(), owner.settled));
        let (mut pending, mut in_memory) = (0, 0);
        for (counts, settled) in counts {
            pending += counts.pending();
            in_memory += counts.fanned_out - settled.min(counts.fanned_out);
        }
        let store = process.embedded.store.clone();
        if let Ok(totals) = self.runtime.block_on(async move { store.totals().await }) {
            self.checker.conserves(pending, totals.backlog + totals.set_aside, in_memory);
        }
    }

    /// Crashes and losses that the plan has for this step.
    pub(super) fn interfere(&mut self) -> anyhow::Result<()> {
        if self.steps.is_multiple_of(32) {
            self.check_conservation();
        }
        if self.calm {
            return Ok(());
        }
        if self.plan.faults.crashes.first().is_some_and(|at| *at <= self.steps) {
            self.plan.faults.crashes.remove(0);
            self.crash();
        }
        if self.plan.faults.losses.first().is_some_and(|at| *at <= self.steps) {
            self.plan.faults.losses.remove(0);
            let owned = self.process.iter().flat_map(|process| process.owners.values()).map(|owner| owner.name);
            let owned: Vec<u64> = owned.collect();
            if !owned.is_empty() {
                let ownership = self.dice.pick(&owned);
                self.lose(ownership, "the channel is lost");
            }
        }
        Ok(())
    }

    pub(super) fn shut_down(&mut self) {
        if let Some(process) = self.process.take() {
            self.runtime.block_on(async {
                process.embedded.abandon().await;
                drop(process);
            });
        }
    }
}

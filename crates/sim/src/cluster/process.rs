//! Dispatchers: they live, share the partitions, freeze and die.

use std::collections::{BTreeMap, BTreeSet};

use spectrum_webhook_core::ids::{Epoch, OwnerId, PartitionId};
use spectrum_webhook_core::ports::Lease;

use super::Cluster;
use super::services::Service;
use super::services::redis::{Asked, Asking};
use super::wire::{Task, Unavailable};
use crate::rule::Rule;

/// Someone else's lease as it was seen, and since when it has not changed.
#[derive(Clone, Copy)]
struct Watched {
    epoch: i64,
    counter: u64,
    since: u64,
}

/// A process.
pub(super) struct Process {
    /// `None`: it takes posts and changes, and delivers nothing.
    pub(super) owner: Option<OwnerId>,
    pub(super) skew: i64,
    pub(super) is_frozen: bool,
    /// Since when its clock stands still.
    paused: Option<u64>,
    /// For how long its clock has stood still.
    lag: u64,
    /// What waits until it thaws.
    pub(super) parked: Vec<Task>,
    /// It gives everything back, and ends.
    pub(super) is_stopping: bool,
    /// Partitions that it asks for.
    asking: BTreeSet<PartitionId>,
    /// Partitions that it leaves alone until then.
    waits: BTreeMap<PartitionId, u64>,
    watched: BTreeMap<PartitionId, Watched>,
    floors: BTreeMap<PartitionId, i64>,
    surplus_for: u64,
}

/// Ticks for which a surplus must last before it is given back.
const HYSTERESIS: u64 = 3;

impl Cluster {
    pub(super) fn start_process(&mut self, delivers: bool) -> u64 {
        let name = self.name();
        let skew = self.plan.skew;
        let process = Process {
            owner: delivers.then(|| OwnerId(self.dice.uuid())),
            skew: self.dice.range(0, 2 * skew).cast_signed() - skew.cast_signed(),
            is_frozen: false,
            paused: None,
            lag: 0,
            parked: Vec::new(),
            is_stopping: false,
            asking: BTreeSet::new(),
            waits: BTreeMap::new(),
            watched: BTreeMap::new(),
            floors: BTreeMap::new(),
            surplus_for: 0,
        };
        self.processes.insert(name, process);
        self.trace(|| format!("process {name} starts"));
        if delivers {
            let wait = self.latency();
            self.later_to(name, wait, move |world| world.tick(name));
        }
        name
    }

    /// Says that it lives, and hears how many do.
    fn tick(&mut self, name: u64) {
        let Some(process) = self.processes.get(&name).filter(|process| !process.is_stopping) else { return };
        let Some(owner) = process.owner else { return };
        let silence = (self.plan.timing.tick * 3).cast_signed();
        self.call(
            name,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                world.services.redis.data.heartbeat(owner, silence, now)
            },
            move |world, live| {
                if let Ok(live) = live {
                    world.share(name, live.max(1));
                }
            },
        );
        let tick = self.plan.timing.tick;
        self.later_to(name, tick, move |world| world.tick(name));
    }

    /// Compares what it holds with its share among so many living.
    fn share(&mut self, name: u64, live: usize) {
        let target = usize::from(self.plan.partitions).div_ceil(live);
        let kept: Vec<u64> = self.owned(name).filter(|owner| !owner.is_draining).map(|owner| owner.name).collect();
        let held: Vec<PartitionId> = self.owned(name).map(|owner| owner.lease.partition).collect();
        let Some(process) = self.processes.get_mut(&name).filter(|process| !process.is_stopping) else { return };
        if kept.len() > target {
            process.surplus_for += 1;
            if process.surplus_for >= HYSTERESIS {
                for ownership in kept.into_iter().skip(target) {
                    self.drain(ownership);
                }
            }
            return;
        }
        process.surplus_for = 0;
        let (now, once) = (self.now, self.off != Some(Rule::AskOnce));
        let free = |partition: &PartitionId| {
            let asked = once && process.asking.contains(partition);
            !held.contains(partition) && !asked && process.waits.get(partition).is_none_or(|until| now >= *until)
        };
        let candidates: Vec<PartitionId> = (0..self.plan.partitions).map(PartitionId).filter(free).collect();
        let missing = target.saturating_sub(held.len() + process.asking.len());
        let start = self.dice.range(0, candidates.len().max(1) as u64 - 1) as usize;
        let candidates: Vec<PartitionId> =
            candidates.iter().cycle().skip(start).take(candidates.len().min(missing)).copied().collect();
        for partition in candidates {
            self.ask(name, partition);
        }
    }

    fn ask(&mut self, name: u64, partition: PartitionId) {
        let Some(process) = self.processes.get_mut(&name) else { return };
        process.asking.insert(partition);
        if let Some(floor) = process.floors.get(&partition).copied() {
            return self.acquire(name, partition, floor);
        }
        self.call(
            name,
            Service::Postgres,
            move |world| world.services.postgres.epoch(partition),
            move |world, read| match read {
                Ok(floor) => {
                    let remembers = floor > 0 || !world.holds(Rule::RememberHoldersAlone);
                    if let Some(process) = world.processes.get_mut(&name).filter(|_| remembers) {
                        process.floors.insert(partition, floor);
                    }
                    world.acquire(name, partition, floor);
                }
                Err(Unavailable) => world.asked(name, partition),
            },
        );
    }

    fn acquire(&mut self, name: u64, partition: PartitionId, floor: i64) {
        let life = self.plan.timing.lease;
        let (sent, takes) = (self.mono(name), self.holds(Rule::TakeWhatStandsStill));
        let above_store = self.holds(Rule::EpochAboveStore);
        let Some(process) = self.processes.get(&name) else { return };
        let Some(owner) = process.owner else { return };
        let still = process.watched.get(&partition).filter(|seen| takes && sent >= seen.since + life);
        let still = still.map(|seen| (seen.epoch, seen.counter));
        let asking = Asking { owner, floor, life: life.cast_signed(), still, above_store };
        self.call(
            name,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                let asked = world.services.redis.data.acquire(partition, asking, now);
                if let Asked::Granted(epoch) = asked {
                    world.checker.granted(world.now, Lease { partition, owner, epoch: Epoch(epoch) });
                    world.trace(|| format!("partition {partition}: process {name} is granted epoch {epoch}"));
                    world.granted += 1;
                    world.after(name, true, world.granted);
                }
                asked
            },
            move |world, asked| {
                world.asked(name, partition);
                match asked {
                    Ok(Asked::Granted(epoch)) => {
                        let lease = Lease { partition, owner, epoch: Epoch(epoch) };
                        world.begin(name, lease, sent);
                    }
                    Ok(Asked::Elsewhere(epoch, counter)) => world.watch(name, partition, epoch, counter),
                    Err(Unavailable) => world.put_off(name, partition),
                }
            },
        );
    }

    fn asked(&mut self, name: u64, partition: PartitionId) {
        if let Some(process) = self.processes.get_mut(&name) {
            process.asking.remove(&partition);
        }
    }

    fn watch(&mut self, name: u64, partition: PartitionId, epoch: i64, counter: u64) {
        let since = self.mono(name);
        let Some(process) = self.processes.get_mut(&name) else { return };
        let seen = process.watched.get(&partition);
        if seen.is_none_or(|seen| (seen.epoch, seen.counter) != (epoch, counter)) {
            process.watched.insert(partition, Watched { epoch, counter, since });
        }
    }

    /// A partition whose ownership failed is left alone for a while.
    pub(super) fn put_off(&mut self, name: u64, partition: PartitionId) {
        let wait = self.dice.range(50, 1_000);
        let until = self.now + wait;
        if let Some(process) = self.processes.get_mut(&name) {
            process.waits.insert(partition, until);
            process.floors.remove(&partition);
        }
    }

    /// A dispatcher ends without warning; another one comes.
    pub(super) fn kill(&mut self, name: u64) {
        if self.processes.remove(&name).is_none() {
            return;
        }
        self.crashes += 1;
        self.trace(|| format!("process {name} is killed"));
        let owned: Vec<u64> = self.owned(name).map(|owner| owner.name).collect();
        for ownership in owned {
            let Some(owner) = self.owners.remove(&ownership) else { continue };
            self.cut_attempts(&owner);
            if let Some(channel) = owner.channel {
                // The kernel says so for it.
                let wait = self.latency();
                self.later(wait, move |world| world.close_channel(channel));
            }
        }
        let wait = if self.calm { 10 } else { self.dice.range(10, 4_000) };
        self.later(wait, |world| {
            world.start_process(true);
        });
    }

    /// SIGTERM: the heartbeat goes first, then everything that it owns.
    pub(super) fn stop(&mut self, name: u64) {
        let Some(process) = self.processes.get_mut(&name).filter(|process| !process.is_stopping) else { return };
        process.is_stopping = true;
        let Some(owner) = process.owner else { return };
        self.trace(|| format!("process {name} stops"));
        let leave = move |world: &mut Self| world.services.redis.data.leave(owner);
        self.call(name, Service::Redis, leave, |_, _| {});
        let owned: Vec<u64> = self.owned(name).map(|owner| owner.name).collect();
        for ownership in owned {
            self.drain(ownership);
        }
        self.end_if_empty(name);
        let wait = self.dice.range(10, 2_000);
        self.later(wait, |world| {
            world.start_process(true);
        });
    }

    /// A process that stops ends with its last ownership.
    pub(super) fn end_if_empty(&mut self, name: u64) {
        let empty = self.owned(name).next().is_none();
        if empty && self.processes.get(&name).is_some_and(|process| process.is_stopping && process.asking.is_empty()) {
            self.trace(|| format!("process {name} has stopped"));
        }
    }

    /// A process's own clock.
    pub(super) fn mono(&self, name: u64) -> u64 {
        self.now - self.processes.get(&name).map_or(0, |process| process.lag)
    }

    /// A dispatcher stands still; its clock goes on, or stands still too.
    pub(super) fn freeze(&mut self, name: u64, lasts: u64, pauses: bool) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&name).filter(|process| !process.is_frozen) else { return };
        process.is_frozen = true;
        process.paused = pauses.then_some(now);
        self.trace(|| format!("process {name} is frozen"));
        for owner in self.owners.values().filter(|owner| owner.process == name) {
            for (attempt, flying) in &owner.flying {
                self.checker.out_of_reach(*attempt, flying.wanted.lane.webhook);
            }
        }
        let heartbeat = self.plan.timing.heartbeat;
        if lasts > heartbeat {
            self.later(heartbeat, move |world| {
                if world.processes.get(&name).is_some_and(|process| process.is_frozen) {
                    let channels: Vec<u64> = world.owned(name).filter_map(|owner| owner.channel).collect();
                    for channel in channels {
                        world.lose_channel(channel, 0);
                    }
                }
            });
        }
        self.later(lasts, move |world| world.thaw(name));
    }

    /// It goes on with all that came meanwhile.
    pub(super) fn thaw(&mut self, name: u64) {
        let Some(process) = self.processes.get_mut(&name).filter(|process| process.is_frozen) else { return };
        process.is_frozen = false;
        let parked = std::mem::take(&mut process.parked);
        if let Some(since) = process.paused.take() {
            process.lag += self.now - since;
            let leases: Vec<Lease> = self.owned(name).map(|owner| owner.lease).collect();
            leases.iter().for_each(|lease| self.checker.was_paused(self.now, lease));
        }
        self.trace(|| format!("process {name} thaws"));
        for task in parked {
            self.events.plan(self.now, super::Event::To { process: name, task });
        }
    }
}

//! From a lease to the first delivery, and the end of an ownership.

use std::collections::{BTreeMap, VecDeque};

use spectrum_webhook_core::partition::{Input, Partition};
use spectrum_webhook_core::ports::{Lease, Takeover};

use super::Cluster;
use super::io::Taken;
use super::owner::Owner;
use super::services::Service;
use super::services::postgres::Fenced;
use super::wire::Unavailable;
use crate::rule::Rule;

impl Cluster {
    /// A lease was granted, which was asked for at `sent`.
    pub(super) fn begin(&mut self, process: u64, lease: Lease, sent: u64) {
        if self.processes.get(&process).is_none_or(|process| process.is_stopping) {
            return self.release(process, lease);
        }
        let name = self.new_owner(process, lease, sent);
        self.take_over(name);
    }

    fn new_owner(&mut self, process: u64, lease: Lease, renewed: u64) -> u64 {
        let name = self.name();
        let owner = Owner {
            name,
            process,
            lease,
            since: self.now,
            renewed,
            machine: None,
            channel: None,
            arrived_by: 0,
            chance: self.dice.fork(),
            targets: BTreeMap::new(),
            writes: VecDeque::new(),
            writing: Vec::new(),
            marks: Vec::new(),
            tags: Vec::new(),
            settling: false,
            wake_at: None,
            wanted: BTreeMap::new(),
            flying: BTreeMap::new(),
            by_event: BTreeMap::new(),
            given: BTreeMap::new(),
            early: Vec::new(),
            inexact: false,
            is_draining: false,
        };
        self.owners.insert(name, owner);
        let renew = self.plan.timing.renew;
        self.owned_later(name, renew, move |world| world.keep_renewing(name));
        self.watch_expiry(name);
        name
    }

    /// The store's epoch first, then the lease once more: no older owner writes, and no newer one has begun.
    fn take_over(&mut self, name: u64) {
        let Some(lease) = self.owners.get(&name).map(|owner| owner.lease) else { return };
        let (first, partition) = (self.holds(Rule::WriteEpochFirst), lease.partition);
        self.owned_call(
            name,
            Service::Postgres,
            move |world| {
                let postgres = &mut world.services.postgres;
                if first {
                    postgres.raise(&lease)?;
                }
                Ok(postgres.found(partition))
            },
            move |world, name, found: Result<Result<Takeover, Fenced>, Unavailable>| match found {
                Ok(Ok(found)) if first => world.took_over(name, found),
                Ok(Ok(found)) => world.owned_call(
                    name,
                    Service::Postgres,
                    move |world| world.services.postgres.raise(&lease),
                    move |world, name, raised| match raised {
                        Ok(Ok(())) => world.took_over(name, found),
                        _ => world.lose(name, "the store refused its epoch"),
                    },
                ),
                Ok(Err(Fenced)) => world.lose(name, "the store has a newer epoch"),
                Err(Unavailable) => world.lose(name, "the store cannot be reached"),
            },
        );
    }

    fn took_over(&mut self, name: u64, found: Takeover) {
        if !self.holds(Rule::RenewBeforeSubscribing) {
            return self.subscribe(name, found);
        }
        self.renew(name, move |world, renewed| match renewed {
            Ok(true) => world.subscribe(name, found),
            Ok(false) => world.lose(name, "someone else took the lease meanwhile"),
            Err(Unavailable) => world.lose(name, "the lease cannot be looked at"),
        });
    }

    /// Renews once, and counts from when that was sent.
    fn renew(&mut self, name: u64, then: impl FnOnce(&mut Self, Result<bool, Unavailable>) + 'static) {
        let Some((process, lease)) = self.owners.get(&name).map(|owner| (owner.process, owner.lease)) else { return };
        self.renewals += 1;
        self.after(process, false, self.renewals);
        let (sent, life) = (self.mono(process), self.plan.timing.lease.cast_signed());
        let compare = self.holds(Rule::RenewCompares);
        self.owned_call(
            name,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                let renewed = world.services.redis.data.renew(&lease, life, compare, now);
                if renewed {
                    world.checker.renewed(world.now, &lease);
                }
                renewed
            },
            move |world, name, renewed| {
                let counts = if world.holds(Rule::CountFromSent) { sent } else { world.mono(process) };
                let Some(owner) = world.owners.get_mut(&name) else { return };
                if renewed == Ok(true) {
                    owner.renewed = owner.renewed.max(counts);
                }
                then(world, renewed);
            },
        );
    }

    fn keep_renewing(&mut self, name: u64) {
        if !self.owners.contains_key(&name) {
            return;
        }
        self.renew(name, move |world, renewed| {
            if renewed == Ok(false) {
                world.lose(name, "the lease is lost");
            }
        });
        let renew = self.plan.timing.renew;
        self.owned_later(name, renew, move |world| world.keep_renewing(name));
    }

    /// How long a lease is good after a renewal.
    fn limit(&self) -> u64 {
        let timing = self.plan.timing;
        if self.holds(Rule::StopBeforeExpiry) { timing.hold } else { timing.lease * 3 / 2 }
    }

    /// Whether an attempt may start.
    pub(super) fn is_good(&self, name: u64) -> bool {
        let limit = self.limit();
        self.owners
            .get(&name)
            .is_some_and(|owner| !owner.is_draining && self.mono(owner.process) < owner.renewed + limit)
    }

    fn watch_expiry(&mut self, name: u64) {
        let limit = self.limit();
        let Some(owner) = self.owners.get(&name) else { return };
        let (expires, now) = (owner.renewed + limit, self.mono(owner.process));
        if now < expires || !self.holds(Rule::ExpireByOwnClock) {
            let wait = expires.saturating_sub(now).max(1);
            if self.holds(Rule::ExpireByOwnClock) {
                self.owned_later(name, wait, move |world| world.watch_expiry(name));
            }
            return;
        }
        self.lose(name, "the lease was not renewed in time");
    }

    fn subscribe(&mut self, name: u64, found: Takeover) {
        let Some(lease) = self.owners.get(&name).map(|owner| owner.lease) else { return };
        let (channel, window) = (self.name(), self.plan.settings.window);
        if let Some(owner) = self.owners.get_mut(&name) {
            owner.channel = Some(channel);
        }
        self.owned_call(
            name,
            Service::Rabbit,
            move |world| {
                // Who gave up before was closed already.
                if world.owners.get(&name).is_some_and(|owner| owner.channel == Some(channel)) {
                    world.services.rabbit.subscribe(channel, lease.partition, window);
                    world.send(lease.partition);
                }
            },
            move |world, name, subscribed| match subscribed {
                Ok(()) => world.own(name, &found),
                Err(Unavailable) => world.lose(name, "the queue cannot be consumed"),
            },
        );
    }

    fn own(&mut self, name: u64, found: &Takeover) {
        let settings = self.plan.settings.clone();
        let Some(owner) = self.owners.get_mut(&name) else { return };
        let (lease, process) = (owner.lease, owner.process);
        let mut actions = Vec::new();
        owner.machine = Some(Partition::new(&lease, found, settings, &mut actions));
        let rests: u64 = found.lanes.iter().map(|lane| lane.backlog + lane.set_aside).sum();
        self.trace(|| {
            let Lease { partition, epoch, .. } = lease;
            format!("partition {partition}: ownership {name} of {process} begins, epoch {epoch}, {rests} rows at rest")
        });
        self.perform(name, actions);
        let waiting = self.owners.get_mut(&name).map(|owner| std::mem::take(&mut owner.early)).unwrap_or_default();
        for taken in waiting {
            self.took(name, taken);
        }
        self.keep_looking(name);
    }

    /// The ownership of a partition ends; it is taken over anew by whoever is quicker.
    pub(super) fn lose(&mut self, name: u64, why: &str) {
        let Some(owner) = self.owners.remove(&name) else { return };
        self.trace(|| format!("partition {}: ownership {name} ends: {why}", owner.lease.partition));
        self.cut_attempts(&owner);
        self.put_off(owner.process, owner.lease.partition);
        self.close(&owner);
        self.end_if_empty(owner.process);
    }

    /// A draining ownership has nothing under way any more.
    pub(super) fn give_back(&mut self, name: u64) {
        let Some(owner) = self.owners.remove(&name) else { return };
        self.trace(|| format!("partition {}: ownership {name} is given back", owner.lease.partition));
        self.cut_attempts(&owner);
        self.close(&owner);
        self.end_if_empty(owner.process);
    }

    /// It takes nothing new: attempts end, and what is settled is acknowledged.
    pub(super) fn drain(&mut self, name: u64) {
        let Some(owner) = self.owners.get_mut(&name).filter(|owner| !owner.is_draining) else { return };
        owner.is_draining = true;
        owner.wanted.clear();
        if owner.machine.is_some() { self.flush(name) } else { self.lose(name, "it is not needed any more") }
    }

    /// Closes the channel, then gives the lease back.
    fn close(&mut self, owner: &Owner) {
        let (process, lease) = (owner.process, owner.lease);
        let Some(channel) = owner.channel.filter(|_| self.holds(Rule::CloseWithLease)) else {
            return self.release(process, lease);
        };
        let closes = self.holds(Rule::CloseNotCancel);
        // What does not hear of it notices that nobody answers.
        let heartbeat = self.plan.timing.heartbeat;
        self.later(heartbeat, move |world| world.close_channel(channel));
        self.call(
            process,
            Service::Rabbit,
            move |world| {
                if closes {
                    world.close_channel(channel);
                } else if let Some(partition) = world.services.rabbit.cancel(channel) {
                    world.send(partition);
                }
            },
            move |world, _| world.release(process, lease),
        );
    }

    fn release(&mut self, process: u64, lease: Lease) {
        let compare = self.holds(Rule::ReleaseCompares);
        let effect = move |world: &mut Self| {
            let now = world.redis_now();
            world.services.redis.data.release(&lease, compare, now);
        };
        self.call(process, Service::Redis, effect, |_, _| {});
    }

    /// The broker closes a channel, and what is not acknowledged returns.
    pub(super) fn close_channel(&mut self, channel: u64) {
        if let Some(partition) = self.services.rabbit.close(channel) {
            self.send(partition);
        }
    }

    /// A channel breaks; its owner hears of it later.
    pub(super) fn lose_channel(&mut self, channel: u64, wait: u64) {
        self.close_channel(channel);
        let Some(owner) = self.owners.values().find(|owner| owner.channel == Some(channel)) else { return };
        let name = owner.name;
        self.owned_later(name, wait, move |world| world.hears_of_loss(name, channel));
    }

    fn hears_of_loss(&mut self, name: u64, channel: u64) {
        let Some(owner) = self.owners.get(&name).filter(|owner| owner.channel == Some(channel)) else { return };
        let (process, lease, renewed) = (owner.process, owner.lease, owner.renewed);
        if self.holds(Rule::EndWithChannel) || owner.machine.is_none() || owner.is_draining {
            return self.lose(name, "the channel is lost");
        }
        // It begins anew from what is stored, under the epoch that it has.
        let Some(owner) = self.owners.remove(&name) else { return };
        self.cut_attempts(&owner);
        let next = self.new_owner(process, lease, renewed);
        self.owned_call(
            next,
            Service::Postgres,
            move |world| world.services.postgres.found(lease.partition),
            move |world, next, found| match found {
                Ok(found) => world.subscribe(next, found),
                Err(Unavailable) => world.lose(next, "the store cannot be reached"),
            },
        );
    }

    /// A message has come over a channel.
    pub(super) fn took(&mut self, name: u64, taken: Taken) {
        let Some(owner) = self.owners.get_mut(&name) else { return };
        if owner.machine.is_none() {
            return owner.early.push(taken);
        }
        if owner.is_draining {
            return;
        }
        owner.by_event.entry(taken.message.id).or_default().push(taken.tag.0);
        let Taken { tag, redelivered, message } = taken;
        self.feed(name, Input::Took { tag, redelivered, message });
    }
}

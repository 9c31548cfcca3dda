//! Redis: its scripts, each one step, over data that can be lost.

use std::collections::BTreeMap;

use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::ids::{Epoch, EventId, OwnerId, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Lease, Mark};

/// How long a mark is kept at least, in milliseconds.
pub(in crate::cluster) const MARK: i64 = 120_000;
/// How long a change may be under way, and a copy is trusted, in milliseconds.
const CHANGE: i64 = 60_000;
/// From which age a pending record has lost its publisher, in milliseconds.
const ABANDONED: i64 = 30_000;

/// A lease; without an owner it was given back.
#[derive(Clone)]
struct Held {
    owner: Option<OwnerId>,
    epoch: i64,
    counter: u64,
    expires: i64,
}

/// The state of an idempotency record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) enum Outcome {
    Pending,
    Open,
    Confirmed,
}

#[derive(Clone)]
struct Record {
    outcome: Outcome,
    id: EventId,
    at: i64,
}

/// What a post is told.
#[derive(Clone, Copy)]
pub(in crate::cluster) enum Said {
    Publish { id: EventId, again: bool },
    Pending,
    Confirmed(EventId),
}

/// What asking for a lease gives.
pub(in crate::cluster) enum Asked {
    Granted(i64),
    /// Someone else holds it, by this epoch and counter.
    Elsewhere(i64, u64),
}

/// Who holds a partition, for those who wait for a confirmation.
#[derive(Clone, Copy)]
pub(in crate::cluster) enum Holder {
    Unknown,
    Nobody,
    Epoch(i64),
}

/// All that it holds.
#[derive(Clone, Default)]
pub(in crate::cluster) struct Data {
    leases: BTreeMap<PartitionId, Held>,
    epochs: BTreeMap<PartitionId, i64>,
    doubts: BTreeMap<PartitionId, i64>,
    done: BTreeMap<DeliveryKey, i64>,
    live: BTreeMap<OwnerId, i64>,
    records: BTreeMap<[u8; 32], Record>,
    changes: BTreeMap<ProjectId, BTreeMap<u64, i64>>,
    copies: BTreeMap<ProjectId, (RegistryVersion, i64)>,
    news: BTreeMap<PartitionId, BTreeMap<ProjectId, RegistryVersion>>,
    confirmed: BTreeMap<(PartitionId, ProjectId), RegistryVersion>,
}

/// The server.
#[derive(Default)]
pub(in crate::cluster) struct Redis {
    pub(in crate::cluster) data: Data,
    /// How far its clock has jumped.
    pub(in crate::cluster) jumped: i64,
    /// The number of its connections: another one after a fail-over.
    pub(in crate::cluster) made: u64,
    /// Since when it remembers all that it was told, as far as one can tell.
    pub(in crate::cluster) remembers: u64,
}

/// How a lease is judged.
#[derive(Clone, Copy)]
pub(in crate::cluster) struct Asking {
    pub(in crate::cluster) owner: OwnerId,
    pub(in crate::cluster) floor: i64,
    /// Its life, in milliseconds.
    pub(in crate::cluster) life: i64,
    /// Epoch and counter of a lease that stood still.
    pub(in crate::cluster) still: Option<(i64, u64)>,
    /// Whether the epoch is above the store's.
    pub(in crate::cluster) above_store: bool,
}

impl Data {
    fn held(&mut self, partition: PartitionId, now: i64) -> Option<&mut Held> {
        let gone = self.leases.get(&partition).is_some_and(|held| held.owner.is_some() && held.expires <= now);
        if gone {
            self.leases.remove(&partition);
        }
        self.leases.get_mut(&partition)
    }

    fn is_held(&mut self, lease: &Lease, now: i64) -> bool {
        let held = self.held(lease.partition, now);
        held.is_some_and(|held| held.owner == Some(lease.owner) && held.epoch == lease.epoch.0)
    }

    pub(in crate::cluster) fn acquire(&mut self, partition: PartitionId, asking: Asking, now: i64) -> Asked {
        let held = self.held(partition, now).cloned();
        if let Some(held) = held.as_ref().filter(|held| held.owner.is_some_and(|owner| owner != asking.owner))
            && asking.still != Some((held.epoch, held.counter))
        {
            return Asked::Elsewhere(held.epoch, held.counter);
        }
        if held.is_none() && asking.floor > 0 {
            self.doubts.insert(partition, now + asking.life);
        }
        let last = self.epochs.get(&partition).copied().unwrap_or(0).max(held.map_or(0, |held| held.epoch));
        let floor = if asking.above_store { asking.floor + Epoch::STEP } else { 0 };
        // The clock counts in microseconds.
        let epoch = (last + Epoch::STEP).max(floor).max(now * 1_000);
        self.epochs.insert(partition, epoch);
        let held = Held { owner: Some(asking.owner), epoch, counter: 0, expires: now + asking.life };
        self.leases.insert(partition, held);
        Asked::Granted(epoch)
    }

    /// Holds a lease for longer; `compare` is off when any lease of the partition will do.
    pub(in crate::cluster) fn renew(&mut self, lease: &Lease, life: i64, compare: bool, now: i64) -> bool {
        let own = self.is_held(lease, now);
        let Some(held) = self.held(lease.partition, now).filter(|_| own || !compare) else { return false };
        held.counter += 1;
        held.expires = now + life;
        true
    }

    pub(in crate::cluster) fn release(&mut self, lease: &Lease, compare: bool, now: i64) -> bool {
        let own = self.is_held(lease, now);
        let Some(held) = self.held(lease.partition, now).filter(|_| own || !compare) else { return false };
        held.owner = None;
        true
    }

    /// Writes marks, if the lease is held, or if nobody compares; returns whether it is held.
    pub(in crate::cluster) fn settle(&mut self, lease: &Lease, marks: &[Mark], compare: bool, now: i64) -> bool {
        let held = self.is_held(lease, now);
        if held || !compare {
            self.done.extend(marks.iter().map(|mark| (mark.key, now + MARK)));
        }
        held
    }

    /// Which of these are marked; `None`: the lease is lost.
    pub(in crate::cluster) fn look_up(
        &mut self,
        lease: &Lease,
        keys: &[DeliveryKey],
        now: i64,
    ) -> Option<Vec<DeliveryKey>> {
        let held = self.is_held(lease, now);
        let marked = keys.iter().filter(|key| self.done.get(key).is_some_and(|expires| *expires > now));
        held.then(|| marked.copied().collect())
    }

    /// How many live, by what was heard of them in the last `silence` milliseconds.
    pub(in crate::cluster) fn heartbeat(&mut self, owner: OwnerId, silence: i64, now: i64) -> usize {
        self.live.insert(owner, now);
        self.live.retain(|_, at| (now - silence..=now).contains(at));
        self.live.len()
    }

    pub(in crate::cluster) fn leave(&mut self, owner: OwnerId) {
        self.live.remove(&owner);
    }

    /// Looks a post up, and notes it. `impatient`: whoever published it before is taken for dead. With `early` it is noted
    /// as confirmed at once.
    pub(in crate::cluster) fn begin(
        &mut self,
        key: [u8; 32],
        proposed: EventId,
        (impatient, early): (bool, bool),
        now: i64,
    ) -> Said {
        let outcome = if early { Outcome::Confirmed } else { Outcome::Pending };
        let Some(record) = self.records.get_mut(&key) else {
            self.records.insert(key, Record { outcome, id: proposed, at: now });
            return Said::Publish { id: proposed, again: false };
        };
        let fresh = (now - record.at).abs() < ABANDONED && !impatient;
        match record.outcome {
            Outcome::Confirmed => Said::Confirmed(record.id),
            Outcome::Pending if fresh => Said::Pending,
            Outcome::Pending | Outcome::Open => {
                (record.outcome, record.at) = (Outcome::Pending, now);
                Said::Publish { id: record.id, again: true }
            }
        }
    }

    pub(in crate::cluster) fn end(&mut self, key: [u8; 32], id: EventId, outcome: Outcome) {
        if let Some(record) = self.records.get_mut(&key)
            && record.id == id
            && record.outcome != Outcome::Confirmed
        {
            record.outcome = outcome;
        }
    }

    fn is_changing(&mut self, project: ProjectId, now: i64) -> bool {
        let Some(changes) = self.changes.get_mut(&project) else { return false };
        changes.retain(|_, at| *at > now - CHANGE);
        !changes.is_empty()
    }

    /// The copy of a version; `None`: there is none that can be trusted.
    pub(in crate::cluster) fn copy(&mut self, project: ProjectId, now: i64) -> Option<RegistryVersion> {
        if self.is_changing(project, now) {
            return None;
        }
        self.copies.get(&project).filter(|(_, expires)| *expires > now).map(|(version, _)| *version)
    }

    pub(in crate::cluster) fn learn(&mut self, project: ProjectId, version: RegistryVersion, now: i64) {
        if !self.is_changing(project, now) && self.copy(project, now).is_none_or(|copy| copy < version) {
            self.copies.insert(project, (version, now + CHANGE));
        }
    }

    pub(in crate::cluster) fn begin_change(&mut self, project: ProjectId, token: u64, now: i64) {
        self.is_changing(project, now);
        self.changes.entry(project).or_default().insert(token, now);
        self.copies.remove(&project);
    }

    pub(in crate::cluster) fn end_change(
        &mut self,
        (partition, project): (PartitionId, ProjectId),
        token: Option<u64>,
        (version, keeps_newest, needs_mark): (RegistryVersion, bool, bool),
        now: i64,
    ) {
        let changes = self.changes.get_mut(&project);
        let begun = token.zip(changes).and_then(|(token, changes)| changes.remove(&token)).is_some();
        let confirmed = self.confirmed.get(&(partition, project)).copied().unwrap_or_default();
        let told = self.news.entry(partition).or_default().entry(project).or_default();
        *told = version.max(*told);
        // Of changes that overlap the older one may end last.
        let newest = if keeps_newest { confirmed.max(*told) } else { version };
        if self.is_changing(project, now) {
            self.copies.remove(&project);
            return;
        }
        // Without a copy, and without the mark that it began with, newer ones may be forgotten.
        let copy = self.copy(project, now);
        if (copy.is_some() || begun || !needs_mark) && copy.is_none_or(|copy| copy <= newest) {
            self.copies.insert(project, (newest, now + CHANGE));
        }
    }

    pub(in crate::cluster) fn news(&self, partition: PartitionId) -> BTreeMap<ProjectId, RegistryVersion> {
        self.news.get(&partition).cloned().unwrap_or_default()
    }

    pub(in crate::cluster) fn confirm(
        &mut self,
        lease: &Lease,
        project: ProjectId,
        version: RegistryVersion,
        now: i64,
    ) -> bool {
        if !self.is_held(lease, now) {
            return false;
        }
        if let Some(news) = self.news.get_mut(&lease.partition)
            && news.get(&project).is_some_and(|told| *told <= version)
        {
            news.remove(&project);
        }
        let confirmed = self.confirmed.entry((lease.partition, project)).or_default();
        *confirmed = version.max(*confirmed);
        true
    }

    /// Who holds a partition, what its owner confirmed, and whether an earlier holder may still count down.
    pub(in crate::cluster) fn standing(
        &mut self,
        partition: PartitionId,
        project: ProjectId,
        now: i64,
    ) -> (Holder, Option<RegistryVersion>, bool) {
        let holder = match self.held(partition, now) {
            None => Holder::Unknown,
            Some(Held { owner: None, .. }) => Holder::Nobody,
            Some(held) => Holder::Epoch(held.epoch),
        };
        let doubted = self.doubts.get(&partition).is_some_and(|until| *until > now);
        (holder, self.confirmed.get(&(partition, project)).copied(), doubted)
    }
}

//! One ownership: it feeds the real state machine and performs what that asks for.

use std::collections::{BTreeMap, VecDeque};

use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion};
use spectrum_webhook_core::lane::{self, AttemptId};
use spectrum_webhook_core::partition::{Action, Input, LaneId, Partition};
use spectrum_webhook_core::ports::{Lease, Mark, Tag};
use spectrum_webhook_core::time::Mono;

use super::Cluster;
use super::services::Service;
use crate::dice::Dice;
use crate::ownership::{Flying, LaneWrite, Targets, Wanted, attempt_key, next_writes};
use crate::rule::Rule;

/// An ownership of a partition by a process.
pub(super) struct Owner {
    pub(super) name: u64,
    pub(super) process: u64,
    pub(super) lease: Lease,
    /// When it began.
    pub(super) since: u64,
    /// When the last renewal that succeeded was sent.
    pub(super) renewed: u64,
    /// `None` while it takes over.
    pub(super) machine: Option<Partition>,
    pub(super) channel: Option<u64>,
    /// When what is on its way on the channel has arrived: nothing overtakes there.
    pub(super) arrived_by: u64,
    pub(super) chance: Dice,
    pub(super) targets: BTreeMap<ProjectId, Targets>,
    pub(super) writes: VecDeque<LaneWrite>,
    /// The transaction that is on its way.
    pub(super) writing: Vec<LaneWrite>,
    pub(super) marks: Vec<Mark>,
    pub(super) tags: Vec<u64>,
    pub(super) settling: bool,
    pub(super) wake_at: Option<Mono>,
    pub(super) wanted: BTreeMap<AttemptId, Wanted>,
    pub(super) flying: BTreeMap<u64, Flying>,
    /// Tags of the messages in memory, where one is acknowledged too early.
    pub(super) by_event: BTreeMap<EventId, Vec<u64>>,
    /// News that it was given.
    pub(super) given: BTreeMap<ProjectId, RegistryVersion>,
    /// What came before the machine was there.
    pub(super) early: Vec<super::io::Taken>,
    /// A count was lost with the answer of a commit that took effect.
    pub(super) inexact: bool,
    /// It starts nothing any more, and gives the partition back.
    pub(super) is_draining: bool,
}

impl Owner {
    /// Whether nothing of it is under way.
    fn is_drained(&self) -> bool {
        let written = self.writes.is_empty() && self.writing.is_empty();
        self.flying.is_empty() && written && !self.settling && self.marks.is_empty() && self.tags.is_empty()
    }

    /// Whether nothing is in memory or under way.
    pub(super) fn is_idle(&self) -> bool {
        self.is_drained() && self.machine.as_ref().is_some_and(|machine| machine.unacknowledged() == 0)
    }
}

impl Cluster {
    pub(super) fn owned(&self, process: u64) -> impl Iterator<Item = &Owner> {
        self.owners.values().filter(move |owner| owner.process == process)
    }

    /// Plans something for an ownership.
    pub(super) fn owned_later(&mut self, ownership: u64, wait: u64, task: impl FnOnce(&mut Self) + 'static) {
        if let Some(process) = self.owners.get(&ownership).map(|owner| owner.process) {
            self.later_to(process, wait, task);
        }
    }

    /// Plans it for soon.
    fn owned_soon(&mut self, ownership: u64, task: impl FnOnce(&mut Self) + 'static) {
        let wait = self.latency();
        self.owned_later(ownership, wait, task);
    }

    /// A call of an ownership; what it is answered after the ownership has ended is for nobody.
    pub(super) fn owned_call<R: 'static>(
        &mut self,
        ownership: u64,
        service: Service,
        effect: impl FnOnce(&mut Self) -> R + 'static,
        answer: impl FnOnce(&mut Self, u64, Result<R, super::wire::Unavailable>) + 'static,
    ) {
        let Some(owner) = self.owners.get(&ownership) else { return };
        let (process, partition) = (owner.process, owner.lease.partition);
        self.call(process, service, effect, move |world, result| {
            let mut ownership = ownership;
            if !world.owners.contains_key(&ownership) && !world.holds(Rule::ForgetOldReplies) {
                let next = world.owned(process).find(|owner| owner.lease.partition == partition);
                ownership = next.map_or(ownership, |owner| owner.name);
            }
            if world.owners.contains_key(&ownership) {
                answer(world, ownership, result);
            }
        });
    }

    /// Feeds the state machine and performs what it asks for.
    pub(super) fn feed(&mut self, ownership: u64, input: Input) {
        let Some(process) = self.owners.get(&ownership).map(|owner| owner.process) else { return };
        let now = self.clocks(process);
        let Some(owner) = self.owners.get_mut(&ownership) else { return };
        let Some(machine) = &mut owner.machine else { return };
        let mut actions = Vec::new();
        let stepped = machine.step(now, input, owner.chance.chance(), &mut actions);
        if let Err(broken) = stepped {
            return self.checker.cry(|| broken.to_string());
        }
        self.perform(ownership, actions);
    }

    pub(super) fn perform(&mut self, ownership: u64, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::LoadRegistry { project } => {
                    self.owned_soon(ownership, move |world| world.read_registry(ownership, project));
                }
                Action::Confirm { project, version } => {
                    self.owned_soon(ownership, move |world| world.confirm(ownership, project, version));
                }
                Action::LookUp { number, keys } => self.look_up(ownership, number, keys),
                Action::Check { .. } => self.checker.cry(|| "a check that nobody asked for".to_owned()),
                // The archive is on no event's way.
                Action::Archive { .. } => {}
                Action::ForgetProject { project } => {
                    if let Some(owner) = self.owners.get_mut(&ownership) {
                        owner.targets.remove(&project);
                    }
                }
                Action::Mark(mark) => self.mark(ownership, mark),
                Action::Ack(tags) => {
                    if let Some(owner) = self.owners.get_mut(&ownership) {
                        owner.tags.extend(tags.iter().map(|Tag(tag)| *tag));
                    }
                }
                Action::Lane(lane, action) => self.perform_lane(ownership, lane, action),
            }
        }
        self.flush(ownership);
    }

    fn mark(&mut self, ownership: u64, mark: Mark) {
        let early = !self.holds(Rule::AcknowledgeLast);
        let Some(owner) = self.owners.get_mut(&ownership) else { return };
        owner.marks.push(mark);
        if early {
            owner.tags.extend(owner.by_event.remove(&mark.key.event).unwrap_or_default());
        }
    }

    fn perform_lane(&mut self, ownership: u64, lane: LaneId, action: lane::Action) {
        let Some(owner) = self.owners.get_mut(&ownership) else { return };
        match action {
            // A draining partition starts nothing: the lane ends with it.
            lane::Action::Attempt { .. } if owner.is_draining => {}
            lane::Action::Attempt { attempt, number, event, sequence, message, .. } => {
                let wanted = Wanted { lane, attempt, number, event, sequence, message };
                let key = attempt_key(&wanted);
                owner.wanted.insert(key, wanted);
                self.owned_soon(ownership, move |world| world.prepare_attempt(ownership, key));
            }
            lane::Action::Write { ticket, changes } => owner.writes.push_back(LaneWrite { lane, ticket, changes }),
            lane::Action::Fetch { ticket, reading } => {
                self.owned_soon(ownership, move |world| world.read(ownership, lane, ticket, reading));
            }
            // The partition keeps these for itself.
            lane::Action::Settle { .. } | lane::Action::Count { .. } => {}
        }
    }

    /// Sends what waits, one transaction and one acknowledgement at a time, and looks at what the partition keeps.
    pub(super) fn flush(&mut self, ownership: u64) {
        let (window, webhooks) = (self.plan.limits.window, self.sites.len());
        let now = self.owners.get(&ownership).map_or(0, |owner| self.mono(owner.process));
        let Some(owner) = self.owners.get_mut(&ownership) else { return };
        let commit = owner.writing.is_empty() && !owner.writes.is_empty();
        if commit {
            owner.writing = next_writes(&mut owner.writes);
        }
        let settled = !owner.marks.is_empty() || !owner.tags.is_empty();
        let settle = settled && !owner.settling;
        owner.settling |= settle;
        let Some(machine) = &owner.machine else { return };
        let wake = machine.deadline().filter(|due| owner.wake_at.is_none_or(|at| *due < at || at.0 < now));
        if wake.is_some() {
            owner.wake_at = wake;
        }
        let (unacknowledged, lanes) = (machine.unacknowledged(), machine.lanes());
        let drained = owner.is_draining && owner.is_drained() && !commit && !settle;
        self.checker.keeps(unacknowledged, window, lanes, webhooks);
        if commit {
            self.commit(ownership);
        }
        if settle {
            self.settle(ownership);
        }
        if let Some(due) = wake {
            self.owned_later(ownership, due.0.saturating_sub(now), move |world| world.wake(ownership));
        }
        if drained {
            self.give_back(ownership);
        }
    }

    fn wake(&mut self, ownership: u64) {
        let now = self.owners.get(&ownership).map_or(0, |owner| self.mono(owner.process));
        let Some(owner) = self.owners.get_mut(&ownership) else { return };
        owner.wake_at.take_if(|at| at.0 <= now);
        if !owner.is_draining {
            self.feed(ownership, Input::Wake);
        }
    }
}

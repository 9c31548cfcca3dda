//! One ownership: it feeds the real state machine and performs what that asks for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use spectrum_webhook_core::ids::{PartitionId, ProjectId};
use spectrum_webhook_core::lane::{self, AttemptId};
use spectrum_webhook_core::partition::{Action, Input, LaneId, Partition};
use spectrum_webhook_core::ports::{Acks, Lease, Mark, Subscription, Tag};
use spectrum_webhook_core::time::Mono;

use super::event::{Event, Happening};
use super::{World, short};
use crate::body::MOST_BYTES;
use crate::dice::Dice;
use crate::ownership::{Flying, LaneWrite, Targets, Wanted, attempt_key, next_writes};

pub(super) struct Owner {
    pub(super) name: u64,
    /// When it began.
    pub(super) since: u64,
    pub(super) lease: Lease,
    pub(super) machine: Partition,
    pub(super) subscription: Box<dyn Subscription>,
    pub(super) acks: Arc<dyn Acks>,
    pub(super) chance: Dice,
    pub(super) targets: BTreeMap<ProjectId, Targets>,
    pub(super) writes: VecDeque<LaneWrite>,
    /// The transaction that is on its way.
    pub(super) writing: Vec<LaneWrite>,
    pub(super) marks: Vec<Mark>,
    pub(super) tags: Vec<Tag>,
    pub(super) settling: bool,
    pub(super) taking: bool,
    pub(super) wake_at: Option<Mono>,
    pub(super) wanted: BTreeMap<AttemptId, Wanted>,
    pub(super) flying: BTreeMap<u64, Flying>,
    /// Deliveries that were settled by a mark.
    pub(super) settled: u64,
    /// A count was lost with the answer of a commit that took effect.
    pub(super) inexact: bool,
}

impl Owner {
    pub(super) fn new(
        (name, since): (u64, u64),
        lease: Lease,
        machine: Partition,
        subscription: Box<dyn Subscription>,
        chance: Dice,
    ) -> Self {
        let acks = subscription.acks();
        Self {
            name,
            since,
            lease,
            machine,
            subscription,
            acks,
            chance,
            targets: BTreeMap::new(),
            writes: VecDeque::new(),
            writing: Vec::new(),
            marks: Vec::new(),
            tags: Vec::new(),
            settling: false,
            taking: true,
            wake_at: None,
            wanted: BTreeMap::new(),
            flying: BTreeMap::new(),
            settled: 0,
            inexact: false,
        }
    }

    pub(super) fn partition(&self) -> PartitionId {
        self.lease.partition
    }
}

impl World {
    pub(super) fn owner(&mut self, ownership: u64) -> Option<&mut Owner> {
        self.process.as_mut()?.owners.values_mut().find(|owner| owner.name == ownership)
    }

    /// Plans something for an ownership.
    pub(super) fn owned_soon(&mut self, ownership: u64, happening: Happening) {
        self.soon(Event::Owned { ownership, happening });
    }

    /// Feeds the state machine and performs what it asks for.
    pub(super) fn feed(&mut self, ownership: u64, input: Input) {
        let now = self.clocks();
        let Some(owner) = self.owner(ownership) else { return };
        let mut actions = Vec::new();
        let stepped = owner.machine.step(now, input, owner.chance.chance(), &mut actions);
        if let Err(broken) = stepped {
            return self.checker.cry(|| broken.to_string());
        }
        self.perform(ownership, actions);
    }

    pub(super) fn perform(&mut self, ownership: u64, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::LoadRegistry { project } => {
                    self.owned_soon(ownership, Happening::ReadRegistry { project });
                }
                Action::ForgetProject { project } => {
                    if let Some(owner) = self.owner(ownership) {
                        owner.targets.remove(&project);
                    }
                }
                // The archive is on no event's way.
                Action::Archive { .. } => {}
                Action::Confirm { project, version } => {
                    self.owned_soon(ownership, Happening::Confirm { project, version });
                }
                Action::LookUp { number, keys } => self.owned_soon(ownership, Happening::LookUp { number, keys }),
                Action::Check { .. } => self.checker.cry(|| "a check that nobody asked for".to_owned()),
                Action::Mark(mark) => {
                    if let Some(owner) = self.owner(ownership) {
                        owner.settled += 1;
                        owner.marks.push(mark);
                    }
                }
                Action::Ack(tags) => {
                    if let Some(owner) = self.owner(ownership) {
                        owner.tags.extend(tags);
                    }
                }
                Action::Lane(lane, action) => self.perform_lane(ownership, lane, action),
            }
        }
        self.after_actions(ownership);
    }

    fn perform_lane(&mut self, ownership: u64, lane: LaneId, action: lane::Action) {
        match action {
            lane::Action::Attempt { attempt, number, event, sequence, message, .. } => {
                let wanted = Wanted { lane, attempt, number, event, sequence, message };
                if let Some(owner) = self.owner(ownership) {
                    owner.wanted.insert(attempt_key(&wanted), wanted.clone());
                }
                self.owned_soon(ownership, Happening::Attempt { attempt: attempt_key(&wanted) });
            }
            lane::Action::Write { ticket, changes } => {
                if let Some(owner) = self.owner(ownership) {
                    owner.writes.push_back(LaneWrite { lane, ticket, changes });
                }
            }
            lane::Action::Fetch { ticket, reading } => {
                self.owned_soon(ownership, Happening::Read { lane, ticket, reading });
            }
            // The partition keeps these for itself.
            lane::Action::Settle { .. } | lane::Action::Count { .. } => {}
        }
    }

    /// Starts what the actions left waiting, and looks at what the partition keeps.
    fn after_actions(&mut self, ownership: u64) {
        let (window, webhooks) = (self.plan.limits.window, self.sites.len());
        let now = self.now;
        let Some(owner) = self.owner(ownership) else { return };
        let commit = owner.writing.is_empty() && !owner.writes.is_empty();
        let settled = !owner.marks.is_empty() || !owner.tags.is_empty();
        let settle = settled && !owner.settling;
        if commit {
            owner.writing = next_writes(&mut owner.writes);
        }
        owner.settling |= settle;
        let due = owner.machine.deadline();
        let wake = due.filter(|due| owner.wake_at.is_none_or(|at| *due < at || at.0 < now));
        if wake.is_some() {
            owner.wake_at = wake;
        }
        let (unacknowledged, lanes) = (owner.machine.unacknowledged(), owner.machine.lanes());
        let bytes = owner.machine.bytes();
        self.checker.keeps(unacknowledged, window, lanes, webhooks);
        if bytes > window * MOST_BYTES || (unacknowledged == 0 && bytes != 0) {
            self.checker.cry(|| format!("{bytes} bytes in memory for {unacknowledged} messages"));
        }
        if commit {
            self.owned_soon(ownership, Happening::Commit);
        }
        if settle {
            self.owned_soon(ownership, Happening::Settle);
        }
        if let Some(due) = wake {
            self.later(due.0.saturating_sub(now), Event::Owned { ownership, happening: Happening::Wake });
        }
    }

    pub(super) fn owned(&mut self, ownership: u64, happening: Happening) {
        if self.owner(ownership).is_none() {
            return;
        }
        match happening {
            Happening::Take => self.take(ownership),
            Happening::Wake => {
                let now = self.now;
                if let Some(owner) = self.owner(ownership) {
                    owner.wake_at.take_if(|at| at.0 <= now);
                }
                self.feed(ownership, Input::Wake);
            }
            Happening::Commit => self.commit(ownership),
            Happening::Committed { committed } => self.committed(ownership, &committed),
            Happening::Read { lane, ticket, reading } => self.read(ownership, lane, ticket, reading),
            Happening::Rows { lane, ticket, rows, more } => {
                self.trace(&format!("{} read: {} rows, more: {more}", short(lane.webhook), rows.len()));
                self.feed(ownership, Input::Lane(lane, lane::Input::Rows { ticket, rows, more }));
            }
            Happening::Settle => self.settle(ownership),
            Happening::Settled => {
                if let Some(owner) = self.owner(ownership) {
                    owner.settling = false;
                }
                self.perform(ownership, Vec::new());
                self.take_later(ownership);
            }
            Happening::ReadRegistry { project } => self.read_registry(ownership, project),
            Happening::Registry { project, version, webhooks, targets } => {
                self.trace(&format!("registry of {} at {version}", short(project)));
                if let Some(owner) = self.owner(ownership) {
                    owner.targets.insert(project, targets);
                }
                self.feed(ownership, Input::Registry { project, version, webhooks });
            }
            Happening::LookUp { number, keys } => self.look_up(ownership, number, keys),
            Happening::LookedUp { number, settled } => self.feed(ownership, Input::LookedUp { number, settled }),
            Happening::News => self.news(ownership),
            Happening::Confirm { project, version } => self.confirm(ownership, project, version),
            Happening::Attempt { attempt } => self.start_attempt(ownership, attempt),
            Happening::Arrive { name } => self.arrive(ownership, name),
            Happening::Ended { name, ended } => self.end_attempt(ownership, name, ended),
            Happening::NotStarted { lane, attempt } => {
                let result = lane::Attempted::NotStarted;
                self.feed(ownership, Input::Lane(lane, lane::Input::Attempted { attempt, result }));
            }
        }
    }

    /// Plans a take, unless one is planned.
    pub(super) fn take_later(&mut self, ownership: u64) {
        if let Some(owner) = self.owner(ownership)
            && !owner.taking
        {
            owner.taking = true;
            self.owned_soon(ownership, Happening::Take);
        }
    }
}

//! Inputs, timers and settlement.

use std::sync::Arc;

use super::project::{LaneEntry, Project};
use super::{Action, Census, Input, LaneId, Partition};
use crate::chance::Chance;
use crate::delivery::DeliveryKey;
use crate::ids::{EventId, ProjectId, RegistryVersion};
use crate::lane::{self, Broken, Fate, Lane, Status};
use crate::ports::Mark;
use crate::time::Now;
use crate::webhook::Webhook;

impl Partition {
    /// Takes in one input and appends what is to be done, in order. A broken invariant stops the partition: drop it,
    /// close its channel and take it over anew.
    pub fn step(
        &mut self,
        now: Now,
        input: Input,
        chance: &mut dyn Chance,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        match input {
            Input::Took { tag, redelivered, message } => self.took(now, tag, redelivered, message, out),
            Input::Registry { project, version, webhooks } => {
                self.registry(now, project, version, webhooks, chance, out)?;
            }
            Input::RegistryChanged { project, version } => self.registry_changed(project, version, out),
            Input::LookedUp { number, settled } => self.looked_up(number, &settled),
            Input::Checked { message, lane } => self.settle(message, lane, out),
            Input::Lane(id, input) => self.step_lane(now, id, input, chance, out)?,
            Input::Wake => self.wake(now, chance, out)?,
            Input::Relieve => self.relieve_memory(now, chance, out)?,
        }
        self.drain_inbox(now, chance, out)?;
        self.relieve_window(now, chance, out)?;
        self.sweep_lanes(out);
        Ok(())
    }

    fn registry(
        &mut self,
        now: Now,
        id: ProjectId,
        version: RegistryVersion,
        webhooks: Vec<Webhook>,
        chance: &mut dyn Chance,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        self.touch(now, id);
        let Some(project) = self.projects.get_mut(&id) else { return Ok(()) };
        let asked = project.loading.take().unwrap_or_default();
        if std::mem::take(&mut project.again) {
            project.loading = Some(project.wanted);
            out.push(Action::LoadRegistry { project: id });
            return Ok(());
        }
        // Read from the primary after `asked` was heard of, so it is as new as that, whatever number it carries.
        project.covers = project.covers.max(version).max(asked);
        project.webhooks = Some(webhooks);
        let resting = std::mem::take(&mut project.resting);
        let mut terms: Vec<_> = project.lanes.keys().map(|lane| (*lane, project.terms(*lane))).collect();
        terms.sort_unstable_by_key(|(lane, _)| *lane);
        if project.announced.is_some_and(|announced| announced <= project.covers) {
            project.announced = None;
            out.push(Action::Confirm { project: id, version: project.covers });
        }
        if project.wanted > project.covers {
            project.loading = Some(project.wanted);
            out.push(Action::LoadRegistry { project: id });
        }
        for (webhook, terms) in terms {
            self.step_lane(now, LaneId { project: id, webhook }, lane::Input::Webhook(terms), chance, out)?;
        }
        for resting in resting {
            let settings = Arc::clone(&self.settings.lane);
            let Some(project) = self.projects.get_mut(&id) else { return Ok(()) };
            let lane = Lane::resting(&resting, project.terms(resting.webhook), settings, now);
            self.census.came(Census::look(&lane));
            project.lanes.insert(resting.webhook, LaneEntry { lane, scheduled: None });
            let lane = LaneId { project: id, webhook: resting.webhook };
            self.step_lane(now, lane, lane::Input::Wake, chance, out)?;
        }
        Ok(())
    }

    fn registry_changed(&mut self, id: ProjectId, version: RegistryVersion, out: &mut Vec<Action>) {
        let Some(project) = self.projects.get_mut(&id) else {
            // Nothing of it is here: whatever is loaded later is as new.
            out.push(Action::Confirm { project: id, version });
            return;
        };
        if project.covers >= version && project.webhooks.is_some() {
            out.push(Action::Confirm { project: id, version });
            return;
        }
        project.announced = project.announced.max(Some(version));
        self.load(id, version, out);
    }

    fn wake(&mut self, now: Now, chance: &mut dyn Chance, out: &mut Vec<Action>) -> Result<(), Broken> {
        while let Some((due, id)) = self.timers.first().copied()
            && due <= now.mono
        {
            self.timers.pop_first();
            let Some(entry) = self.lane_mut(id) else { continue };
            entry.scheduled = None;
            self.step_lane(now, id, lane::Input::Wake, chance, out)?;
        }
        if self.tidy_at.is_some_and(|due| due <= now.mono) {
            self.tidy(now, out);
        }
        Ok(())
    }

    /// Feeds one lane, performs what can be performed here of what it asks for, and sets its timer.
    pub(super) fn step_lane(
        &mut self,
        now: Now,
        id: LaneId,
        input: lane::Input,
        chance: &mut dyn Chance,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        let Some(entry) = self.lane_mut(id) else { return Ok(()) };
        let mut actions = Vec::new();
        let disabling = entry.lane.is_disabling();
        let looked = Census::look(&entry.lane);
        entry.lane.step(now, input, chance, &mut actions);
        entry.lane.invariants()?;
        let disabled = disabling && !entry.lane.is_disabling();
        let (idle, deleted) = (entry.lane.is_idle(), entry.lane.status() == Status::Deleted);
        let due = entry.lane.deadline();
        let looks = Census::look(&entry.lane);
        let before = entry.scheduled;
        // A timer that fires early is set anew then; only an earlier one is set now.
        if let Some(due) = due
            && before.is_none_or(|before| due < before)
        {
            entry.scheduled = Some(due);
            if let Some(before) = before {
                self.timers.remove(&(before, id));
            }
            self.timers.insert((due, id));
        }
        if looks != looked {
            self.census.went(looked);
            self.census.came(looks);
        }
        self.touch(now, id.project);
        if idle && deleted {
            self.forget_lane(id);
        }
        if disabled {
            self.load_again(id.project, out);
        }
        for action in actions {
            match action {
                lane::Action::Settle { event } => self.settle(event, id, out),
                lane::Action::Count { fate: Fate::Delivered, deliveries } => self.counts.delivered += deliveries,
                lane::Action::Count { fate: Fate::Dead, deliveries } => self.counts.dead += deliveries,
                lane::Action::Count { fate: Fate::Dropped, deliveries } => self.counts.dropped += deliveries,
                action => out.push(Action::Lane(id, action)),
            }
        }
        Ok(())
    }

    fn settle(&mut self, event: EventId, lane: LaneId, out: &mut Vec<Action>) {
        let Some(in_flight) = self.events.get_mut(&event) else { return };
        in_flight.remaining = in_flight.remaining.saturating_sub(1);
        let last = in_flight.remaining == 0;
        if !in_flight.steers {
            out.push(Action::Mark(Mark { key: DeliveryKey { event, webhook: lane.webhook }, last }));
        }
        if last && let Some(done) = self.events.remove(&event) {
            self.bytes = self.bytes.saturating_sub(done.bytes);
            out.push(Action::Ack(done.tags));
        }
    }

    pub(super) fn lane_mut(&mut self, id: LaneId) -> Option<&mut LaneEntry> {
        self.projects.get_mut(&id.project)?.lanes.get_mut(&id.webhook)
    }

    /// Notes that something happens to a project, so that it is not taken for idle yet.
    pub(super) fn touch(&mut self, now: Now, id: ProjectId) {
        if let Some(project) = self.projects.get_mut(&id) {
            project.touched = true;
            self.tidy_at.get_or_insert(now.mono.plus(self.settings.keep_idle));
        }
    }

    fn forget_lane(&mut self, id: LaneId) {
        let Some(project) = self.projects.get_mut(&id.project) else { return };
        if let Some(entry) = project.lanes.remove(&id.webhook) {
            self.census.went(Census::look(&entry.lane));
            if let Some(due) = entry.scheduled {
                self.timers.remove(&(due, id));
            }
        }
    }

    /// Lanes and projects with nothing in them go when there are many; each look costs what it can free.
    fn sweep_lanes(&mut self, out: &mut Vec<Action>) {
        if self.census.lanes().max(self.projects.len()) <= self.sweep_lanes_at {
            return;
        }
        self.forget_idle(|_| true, out);
        self.sweep_lanes_at = self.settings.lanes.max(2 * self.census.lanes().max(self.projects.len()));
    }

    /// Lanes and projects with nothing in them go when nothing has happened to them for a while.
    fn tidy(&mut self, now: Now, out: &mut Vec<Action>) {
        self.forget_idle(|project| !project.touched, out);
        let mut touched = false;
        for project in self.projects.values_mut() {
            touched |= std::mem::take(&mut project.touched);
        }
        // What nothing has happened to is busy or gone; what it waits for will touch it.
        self.tidy_at = touched.then(|| now.mono.plus(self.settings.keep_idle));
    }

    /// Forgets what is idle of these projects.
    fn forget_idle(&mut self, which: impl Fn(&Project) -> bool, out: &mut Vec<Action>) {
        let mut idle: Vec<LaneId> = self
            .projects
            .iter()
            .filter(|(_, known)| which(known))
            .flat_map(|(project, known)| known.lanes.iter().map(move |(webhook, entry)| (project, webhook, entry)))
            .filter(|(_, _, entry)| entry.lane.is_idle())
            .map(|(project, webhook, _)| LaneId { project: *project, webhook: *webhook })
            .collect();
        idle.sort_unstable();
        for id in idle {
            self.forget_lane(id);
        }
        let mut gone: Vec<ProjectId> =
            self.projects.iter().filter(|(_, known)| which(known) && known.is_idle()).map(|(id, _)| *id).collect();
        gone.sort_unstable();
        for project in gone {
            self.projects.remove(&project);
            out.push(Action::ForgetProject { project });
        }
    }
}

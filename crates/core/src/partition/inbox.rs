//! From the queue to the lanes, strictly in the queue's order: what cannot go on yet holds up what is behind it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Action, Census, InFlight, LaneId, Partition};
use crate::chance::Chance;
use crate::delivery::{Command, DeliveryKey, Message, Purpose};
use crate::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::lane::{self, Broken, Lane};
use crate::ports::Tag;
use crate::time::Now;

/// A message that is not fanned out yet.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) tag: Tag,
    pub(super) message: Arc<Message>,
    pub(super) look_up: LookUp,
}

/// Whether it must be found out which deliveries of a message are settled already.
#[derive(Debug)]
pub(super) enum LookUp {
    /// It was never here.
    NotNeeded,
    /// It may have been.
    Needed,
    /// These are settled.
    Done(HashSet<WebhookId>),
}

/// Messages that one look-up covers at most.
const LOOK_UP_BATCH: usize = 100;

impl Partition {
    pub(super) fn took(&mut self, now: Now, tag: Tag, redelivered: bool, message: Arc<Message>, out: &mut Vec<Action>) {
        if self.join(tag, message.id) {
            return;
        }
        self.bytes += message.body.len();
        let project = self.projects.entry(message.project).or_default();
        project.waiting += 1;
        if project.webhooks.is_none() || project.covers < message.registry {
            // Asked for now, so that it is there when its turn comes.
            self.load(message.project, message.registry, out);
        }
        self.touch(now, message.project);
        let look_up = if redelivered { LookUp::Needed } else { LookUp::NotNeeded };
        self.inbox.push_back(Incoming { tag, message, look_up });
    }

    /// A copy of an event that is still here joins it: both are acknowledged together.
    fn join(&mut self, tag: Tag, event: EventId) -> bool {
        let Some(event) = self.events.get_mut(&event) else { return false };
        event.tags.push(tag);
        true
    }

    /// The same for all copies that wait; whether there was one. They are not looked up: their event may be settled
    /// between the look and its answer, and then the answer is old.
    fn join_copies(&mut self) -> bool {
        let before = self.inbox.len();
        for incoming in std::mem::take(&mut self.inbox) {
            if self.join(incoming.tag, incoming.message.id) {
                self.leave_inbox(&incoming.message);
                self.bytes = self.bytes.saturating_sub(incoming.message.body.len());
            } else {
                self.inbox.push_back(incoming);
            }
        }
        self.inbox.len() < before
    }

    fn leave_inbox(&mut self, message: &Message) {
        if let Some(project) = self.projects.get_mut(&message.project) {
            project.waiting = project.waiting.saturating_sub(1);
        }
    }

    /// Asks for a project's registry, at least as new as `version`.
    pub(super) fn load(&mut self, id: ProjectId, version: RegistryVersion, out: &mut Vec<Action>) {
        let project = self.projects.entry(id).or_default();
        project.wanted = project.wanted.max(version);
        if project.loading.is_none() {
            project.loading = Some(project.wanted);
            out.push(Action::LoadRegistry { project: id });
        }
    }

    /// Asks for a project's registry as it is from now on.
    pub(super) fn load_again(&mut self, id: ProjectId, out: &mut Vec<Action>) {
        match self.projects.get_mut(&id) {
            Some(project) if project.loading.is_some() => project.again = true,
            _ => self.load(id, RegistryVersion(0), out),
        }
    }

    /// Fans out what can be.
    pub(super) fn drain_inbox(
        &mut self,
        now: Now,
        chance: &mut dyn Chance,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        loop {
            let Some(first) = self.inbox.front() else { return Ok(()) };
            if !self.is_covered(&first.message) {
                return Ok(());
            }
            if matches!(first.look_up, LookUp::Needed) {
                if self.looking_up.is_none() && self.join_copies() {
                    continue;
                }
                self.begin_look_up(out);
                return Ok(());
            }
            if let Some(incoming) = self.inbox.pop_front() {
                self.fan_out(now, incoming, chance, out)?;
            }
        }
    }

    fn is_covered(&self, message: &Message) -> bool {
        self.projects
            .get(&message.project)
            .is_some_and(|project| project.webhooks.is_some() && project.covers >= message.registry)
    }

    fn begin_look_up(&mut self, out: &mut Vec<Action>) {
        if self.looking_up.is_some() {
            return;
        }
        let asked: Vec<&Incoming> = self
            .inbox
            .iter()
            .take(LOOK_UP_BATCH)
            .take_while(|incoming| matches!(incoming.look_up, LookUp::Needed) && self.is_covered(&incoming.message))
            .collect();
        let keys = asked
            .iter()
            .flat_map(|incoming| {
                let event = incoming.message.id;
                self.takers(&incoming.message).into_iter().map(move |webhook| DeliveryKey { event, webhook })
            })
            .collect();
        let messages = asked.len();
        self.look_ups += 1;
        self.looking_up = Some((self.look_ups, messages));
        out.push(Action::LookUp { number: self.look_ups, keys });
    }

    pub(super) fn looked_up(&mut self, number: u64, settled: &[DeliveryKey]) {
        // The messages that were asked for are still the first: none leaves the inbox before its look-up is done.
        let Some((_, messages)) = self.looking_up.take_if(|(asked, _)| *asked == number) else { return };
        let mut by_event: HashMap<EventId, HashSet<WebhookId>> = HashMap::new();
        for key in settled {
            by_event.entry(key.event).or_default().insert(key.webhook);
        }
        for incoming in self.inbox.iter_mut().take(messages) {
            incoming.look_up = LookUp::Done(by_event.get(&incoming.message.id).cloned().unwrap_or_default());
        }
    }

    /// The webhooks that an event is for.
    fn takers(&self, message: &Message) -> Vec<WebhookId> {
        self.projects
            .get(&message.project)
            .and_then(|project| project.webhooks.as_ref())
            .into_iter()
            .flatten()
            .filter(|webhook| match message.only() {
                None => webhook.takes(&message.event_type, message.registry),
                Some(only) => webhook.id == only,
            })
            .map(|webhook| webhook.id)
            .collect()
    }

    fn fan_out(
        &mut self,
        now: Now,
        Incoming { tag, message, look_up }: Incoming,
        chance: &mut dyn Chance,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        self.leave_inbox(&message);
        if self.join(tag, message.id) {
            self.bytes = self.bytes.saturating_sub(message.body.len());
            return Ok(());
        }
        self.next = Sequence(self.next.0 + 1);
        let sequence = self.next;
        if message.purpose == Purpose::Event {
            out.push(Action::Archive { sequence, message: Arc::clone(&message) });
        }
        let settled = match look_up {
            LookUp::Done(settled) => settled,
            LookUp::NotNeeded | LookUp::Needed => HashSet::new(),
        };
        let mut takers = self.takers(&message);
        takers.retain(|webhook| !settled.contains(webhook));
        if takers.is_empty() {
            self.bytes = self.bytes.saturating_sub(message.body.len());
            out.push(Action::Ack(vec![tag]));
            return Ok(());
        }
        let steers = matches!(message.purpose, Purpose::Steering(_));
        if !steers {
            self.counts.fanned_out += takers.len() as u64;
        }
        let in_flight = InFlight { tags: vec![tag], remaining: takers.len(), bytes: message.body.len(), steers };
        self.events.insert(message.id, in_flight);
        for webhook in takers {
            let id = LaneId { project: message.project, webhook };
            let message = Arc::clone(&message);
            if is_check(&message) {
                out.push(Action::Check { lane: id, sequence, message });
                continue;
            }
            self.ensure_lane(id);
            let input = if steers {
                lane::Input::Steer(message)
            } else {
                lane::Input::Deliver(lane::Arrival { sequence, message })
            };
            self.step_lane(now, id, input, chance, out)?;
        }
        Ok(())
    }

    fn ensure_lane(&mut self, id: LaneId) {
        let settings = Arc::clone(&self.settings.lane);
        let Some(project) = self.projects.get_mut(&id.project) else { return };
        if !project.lanes.contains_key(&id.webhook) {
            let lane = Lane::new(id.webhook, project.terms(id.webhook), settings);
            self.census.came(Census::look(&lane));
            project.lanes.insert(id.webhook, super::project::LaneEntry { lane, scheduled: None });
        }
    }
}

fn is_check(message: &Message) -> bool {
    matches!(&message.purpose, Purpose::Steering(steering) if steering.command == Command::Check)
}

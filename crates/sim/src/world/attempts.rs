//! Attempts on their way to endpoints and back.

use std::sync::Arc;

use bytes::Bytes;
use spectrum_webhook_core::attempt::Ended;
use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::lane::{self, AttemptId, Attempted};
use spectrum_webhook_core::partition::Input;
use spectrum_webhook_core::ports::Store as _;

use super::event::{Event, Happening};
use super::owner::Owner;
use super::{World, short};
use crate::checker::Started;
use crate::ownership::Flying;
use crate::sabotage::Sabotage;

impl World {
    /// The attempt has its slot: read what is missing, look at the webhook once more, and go.
    pub(super) fn start_attempt(&mut self, ownership: u64, key: AttemptId) {
        let Some(ports) = self.ports() else { return };
        let Some(wanted) = self.owner(ownership).and_then(|owner| owner.wanted.remove(&key)) else { return };
        let (lane, attempt, event) = (wanted.lane, wanted.attempt, wanted.event);
        let message = match &wanted.message {
            Some(message) => Some(Arc::clone(message)),
            None => {
                let key = DeliveryKey { event, webhook: lane.webhook };
                let read = self.call(async move { ports.store.read_message(key).await });
                read.unwrap_or_default().map(Arc::new)
            }
        };
        let target =
            self.owner(ownership).and_then(|owner| owner.targets.get(&lane.project)?.get(&lane.webhook).cloned());
        let (Some(message), Some(target)) = (message, target) else {
            self.trace(&format!("{} attempt of {}: not started", short(lane.webhook), short(event)));
            return self.owned_soon(ownership, Happening::NotStarted { lane, attempt });
        };
        let name = self.name();
        let (since, lease) = self.owner(ownership).map_or((0, None), |owner| (owner.since, Some(owner.lease)));
        let (webhook, number) = (lane.webhook, wanted.number);
        let started = Started { id: name, webhook, event, target: target.clone(), ownership, since, number, lease };
        self.checker.started(self.now, &started);
        if self.sabotage == Some(Sabotage::AttemptTwice) && wanted.number == 2 {
            self.checker.started(self.now, &Started { id: name + 1_000_000, ..started });
        }
        let tried = self.arrivals.get(&(lane.webhook, event)).copied().unwrap_or(0);
        let now = self.now;
        let Some(reply) = self.endpoints.get_mut(&target.url).map(|endpoint| endpoint.answer(now, event, tried)) else {
            return self.checker.cry(|| format!("an attempt goes to {}, which nobody registered", target.url));
        };
        self.trace(&format!(
            "{} attempt {} of {} to {}: {:?} in {}",
            short(lane.webhook),
            wanted.number,
            short(event),
            target.url,
            reply.ended,
            reply.takes_ms
        ));
        let body = if self.sabotage == Some(Sabotage::RebuildBody) {
            message.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
        } else {
            message.body.clone()
        };
        let (arrives, takes) = (reply.arrives, reply.takes);
        let flying = Flying { wanted, url: target.url, body, arrives, takes, has_arrived: false };
        if let Some(owner) = self.owner(ownership) {
            owner.flying.insert(name, flying);
        }
        let transit = self.dice.range(0, reply.takes_ms.min(20));
        if arrives {
            self.later(transit, Event::Owned { ownership, happening: Happening::Arrive { name } });
        }
        let wait = reply.takes_ms.max(transit);
        self.later(wait, Event::Owned { ownership, happening: Happening::Ended { name, ended: reply.ended } });
    }

    pub(super) fn arrive(&mut self, ownership: u64, name: u64) {
        let Some(flying) = self.owner(ownership).and_then(|owner| owner.flying.get_mut(&name)) else { return };
        flying.has_arrived = true;
        let flying = flying.clone();
        self.arrives(&flying);
    }

    fn arrives(&mut self, flying: &Flying) {
        let Flying { wanted, body, takes, .. } = flying;
        let (webhook, event) = (wanted.lane.webhook, wanted.event);
        *self.arrivals.entry((webhook, event)).or_default() += 1;
        let body: &Bytes = body;
        self.checker.arrived(webhook, event, wanted.sequence, body);
        if *takes {
            self.checker.taken(self.now, webhook, event);
        }
    }

    pub(super) fn end_attempt(&mut self, ownership: u64, name: u64, ended: Ended) {
        let Some(flying) = self.owner(ownership).and_then(|owner| owner.flying.remove(&name)) else { return };
        let (lane, attempt) = (flying.wanted.lane, flying.wanted.attempt);
        self.trace(&format!("{} heard of {}: {ended:?}", short(lane.webhook), short(flying.wanted.event)));
        self.checker.ended(name, lane.webhook, flying.wanted.event, ended, ownership);
        let result = Attempted::Ended(ended);
        self.feed(ownership, Input::Lane(lane, lane::Input::Attempted { attempt, result }));
    }

    /// Attempts end with their ownership: what had not arrived may have, and nobody hears of it.
    pub(super) fn cut_attempts(&mut self, owner: &Owner) {
        for (name, flying) in &owner.flying {
            if flying.arrives && !flying.has_arrived && self.dice.per_mille(500) {
                self.trace(&format!("{} to {} arrives, unheard", short(flying.wanted.event), flying.url));
                self.arrives(flying);
            }
            self.checker.cut(*name, flying.wanted.lane.webhook, flying.wanted.event);
        }
    }
}

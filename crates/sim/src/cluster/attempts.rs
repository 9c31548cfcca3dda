//! Attempts on their way to endpoints and back.

use std::sync::Arc;

use spectrum_webhook_core::attempt::Ended;
use spectrum_webhook_core::delivery::{DeliveryKey, Message};
use spectrum_webhook_core::lane::{self, AttemptId, Attempted};
use spectrum_webhook_core::partition::Input;

use super::Cluster;
use super::owner::Owner;
use super::services::Service;
use crate::checker::Started;
use crate::ownership::{Flying, Wanted};
use crate::rule::Rule;
use crate::world::short;

impl Cluster {
    /// The attempt has its slot: read what is missing.
    pub(super) fn prepare_attempt(&mut self, ownership: u64, key: AttemptId) {
        let Some(wanted) = self.owners.get_mut(&ownership).and_then(|owner| owner.wanted.remove(&key)) else { return };
        if let Some(message) = wanted.message.clone() {
            return self.start_attempt(ownership, wanted, Some(message));
        }
        let delivery = DeliveryKey { event: wanted.event, webhook: wanted.lane.webhook };
        self.owned_call(
            ownership,
            Service::Postgres,
            move |world| world.services.postgres.read_message(delivery),
            move |world, ownership, read| {
                world.start_attempt(ownership, wanted, read.unwrap_or_default().map(Arc::new));
            },
        );
    }

    /// Last: does the lease still stand, and does the webhook still want it? Then it goes.
    fn start_attempt(&mut self, ownership: u64, wanted: Wanted, message: Option<Arc<Message>>) {
        let good = self.is_good(ownership) || !self.holds(Rule::LookBeforeAttempts);
        let Some(owner) = self.owners.get(&ownership) else { return };
        let (lane, attempt, event) = (wanted.lane, wanted.attempt, wanted.event);
        let target = owner.targets.get(&lane.project).and_then(|targets| targets.get(&lane.webhook)).cloned();
        let (Some(message), Some(target), true) = (message, target, good && !owner.is_draining) else {
            let wait = self.latency();
            return self.owned_later(ownership, wait, move |world| {
                let result = Attempted::NotStarted;
                world.feed(ownership, Input::Lane(lane, lane::Input::Attempted { attempt, result }));
            });
        };
        let (process, since, lease) = (owner.process, owner.since, Some(owner.lease));
        let name = self.name();
        let (webhook, number) = (lane.webhook, wanted.number);
        let started = Started { id: name, webhook, event, target: target.clone(), ownership, since, number, lease };
        self.checker.started(self.now, &started);
        let tried = self.arrivals.get(&(webhook, event)).copied().unwrap_or(0);
        let now = self.now;
        let Some(reply) = self.endpoints.get_mut(&target.url).map(|endpoint| endpoint.answer(now, event, tried)) else {
            return self.checker.cry(|| format!("an attempt goes to {}, which nobody registered", target.url));
        };
        self.trace(|| {
            let (webhook, event, to) = (short(webhook), short(event), &target.url);
            format!(
                "{webhook} attempt {number} of {event} to {to} by {ownership}: {:?} in {}",
                reply.ended, reply.takes_ms
            )
        });
        let (body, arrives, takes) = (message.body.clone(), reply.arrives, reply.takes);
        let flying = Flying { wanted: wanted.clone(), url: target.url, body, arrives, takes, has_arrived: false };
        if let Some(owner) = self.owners.get_mut(&ownership) {
            owner.flying.insert(name, flying);
        }
        let transit = self.dice.range(0, reply.takes_ms.min(20));
        if arrives {
            self.later(transit, move |world| world.arrive(ownership, name));
        }
        let wait = reply.takes_ms.max(transit);
        self.later_to(process, wait, move |world| world.end_attempt((process, ownership), name, &wanted, reply.ended));
    }

    fn arrive(&mut self, ownership: u64, name: u64) {
        let owner = self.owners.get_mut(&ownership);
        let Some(flying) = owner.and_then(|owner| owner.flying.get_mut(&name)) else { return };
        flying.has_arrived = true;
        let flying = flying.clone();
        self.arrives(&flying);
    }

    fn arrives(&mut self, flying: &Flying) {
        let (webhook, event) = (flying.wanted.lane.webhook, flying.wanted.event);
        *self.arrivals.entry((webhook, event)).or_default() += 1;
        self.checker.arrived(webhook, event, flying.wanted.sequence, &flying.body);
        if flying.takes {
            self.checker.taken(self.now, webhook, event);
        }
    }

    fn end_attempt(&mut self, (process, ownership): (u64, u64), name: u64, wanted: &Wanted, ended: Ended) {
        let (lane, attempt) = (wanted.lane, wanted.attempt);
        let result = Attempted::Ended(ended);
        let Some(owner) = self.owners.get_mut(&ownership) else {
            // Its ownership has ended.
            let next = self.owned(process).find(|owner| owner.targets.contains_key(&lane.project));
            if let Some(next) = next.map(|next| next.name).filter(|_| !self.holds(Rule::ForgetOldReplies)) {
                self.feed(next, Input::Lane(lane, lane::Input::Attempted { attempt, result }));
            }
            return;
        };
        if owner.flying.remove(&name).is_none() {
            return;
        }
        self.trace(|| format!("{} heard of {}: {ended:?}", short(lane.webhook), short(wanted.event)));
        self.checker.ended(name, lane.webhook, wanted.event, ended, ownership);
        self.feed(ownership, Input::Lane(lane, lane::Input::Attempted { attempt, result }));
        self.flush(ownership);
    }

    /// Attempts end with their ownership: what had not arrived may have, and nobody hears of it.
    pub(super) fn cut_attempts(&mut self, owner: &Owner) {
        for (name, flying) in &owner.flying {
            if flying.arrives && !flying.has_arrived && self.dice.per_mille(500) {
                self.arrives(flying);
            }
            self.checker.cut(*name, flying.wanted.lane.webhook, flying.wanted.event);
        }
    }
}

//! Clients that post events, as ingest does it: begin, publish, end. They repeat what was not confirmed, with the same
//! key, until it is.

use bytes::Bytes;
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::ids::{EventId, RegistryVersion};
use spectrum_webhook_core::ports::{Admission as _, IdempotencyKey, Publication, Queue as _, Store as _, Verdict};
use spectrum_webhook_core::time::Millis;

use super::event::{Event, Happening};
use super::ports::{Ports, took_effect};
use super::{World, short};
use crate::body;
use crate::sabotage::Sabotage;

/// How long repeats are recognised, in milliseconds.
const IDEMPOTENCY: i64 = 3_600_000;

/// One event of a client.
pub(super) struct Post {
    project: usize,
    key: [u8; 32],
    body: Bytes,
    /// When the try that goes on began.
    begun: u64,
    step: Step,
    /// The process that it talks to.
    process: u64,
    keyed: bool,
}

#[derive(Clone, Copy)]
enum Step {
    /// It has not been sent, or is to be sent again.
    Send,
    /// Admitted.
    Publish { id: EventId, again: bool, registry: RegistryVersion },
    /// The queue answered.
    End { id: EventId, durable: bool },
    /// The client is answered.
    Answer { id: Option<EventId> },
    /// The client was answered 202.
    Done,
}

impl World {
    pub(super) fn new_post(&mut self, project: usize) {
        self.posted += 1;
        let key = self.dice.bytes32();
        let body = body::draw(&mut self.dice, self.posted);
        let keyed = !self.dice.per_mille(50);
        self.posts.push(Post { project, key, body, begun: 0, step: Step::Send, process: 0, keyed });
        self.post(self.posts.len() - 1);
    }

    pub(super) fn post(&mut self, at: usize) {
        let Some(ports) = self.ports() else { return self.try_post_later(at) };
        let process = self.process.as_ref().map_or(0, |process| process.name);
        let Some(post) = self.posts.get_mut(at) else { return };
        if matches!(post.step, Step::Send) {
            post.begun = self.now;
            post.process = process;
        } else if post.process != process {
            // The connection broke: the client knows nothing.
            post.step = Step::Send;
            return self.try_post_later(at);
        }
        match post.step {
            Step::Send => self.begin(at, &ports),
            Step::Publish { id, again, registry } => self.publish(at, &ports, id, again, registry),
            Step::End { id, durable } => self.end_post(at, &ports, id, durable),
            Step::Answer { id } => self.answer(at, id),
            Step::Done => {}
        }
    }

    fn try_post_later(&mut self, at: usize) {
        let wait = self.dice.range(100, 2_000);
        self.later(wait, Event::Post { post: at });
    }

    fn go_on_with(&mut self, at: usize, step: Step) {
        if let Some(post) = self.posts.get_mut(at) {
            post.step = step;
        }
        self.soon(Event::Post { post: at });
    }

    fn key(&self, at: usize) -> Option<IdempotencyKey> {
        let expires_at = Millis(self.clocks().wall.0 + IDEMPOTENCY);
        let post = self.posts.get(at).filter(|post| post.keyed)?;
        Some(IdempotencyKey { key: post.key, body: post.key, expires_at })
    }

    fn begin(&mut self, at: usize, ports: &Ports) {
        let Some(site) = self.posts.get(at).and_then(|post| self.projects.get(post.project)) else { return };
        let (project, partition) = (site.id, site.partition);
        let (proposed, key, now) = (EventId(self.dice.uuid()), self.key(at), self.clocks().wall);
        let (admission, store) = (ports.admission.clone(), ports.store.clone());
        let admitted = self.call(async move {
            let admitted = admission.begin(partition, project, proposed, key.as_ref(), now).await?;
            let registry = match admitted.registry {
                Some(version) => version,
                None => store.registry(project).await?.version,
            };
            Ok((admitted.verdict, registry))
        });
        match admitted {
            Ok((Verdict::Publish { id, again }, registry)) => {
                self.go_on_with(at, Step::Publish { id, again, registry });
            }
            Ok((Verdict::Duplicate(id), _)) => self.go_on_with(at, Step::Answer { id: Some(id) }),
            Ok((Verdict::Mismatch, _)) => self.checker.cry(|| "a repeat is taken for another event".to_owned()),
            Err(_) => self.go_on_with(at, Step::Answer { id: None }),
        }
    }

    fn publish(&mut self, at: usize, ports: &Ports, id: EventId, again: bool, registry: RegistryVersion) {
        let Some(post) = self.posts.get(at) else { return };
        let Some(site) = self.projects.get(post.project) else { return };
        let (project, partition, begun, body) = (site.id, site.partition, post.begun, post.body.clone());
        let message = Message {
            id,
            project,
            event_type: "messages".to_owned(),
            accepted_at: self.clocks().wall,
            registry,
            traceparent: None,
            purpose: Purpose::Event,
            body: body.clone(),
        };
        let publication = Publication { message, again, idempotency: self.key(at) };
        let forgets = self.sabotage == Some(Sabotage::DropAccepted) && self.posted > 3;
        let published = if forgets {
            self.sabotage = None;
            Ok(())
        } else {
            let queue = ports.queue.clone();
            self.call(async move { queue.publish(partition, publication).await })
        };
        let durable = published.is_ok();
        if took_effect(&published) {
            self.checker.published(self.now, project, id, &body, begun);
        }
        let took = took_effect(&published);
        self.trace(&format!("publish {} in {partition} (again: {again}): took {took}, ok {durable}", short(id)));
        let owners = self.process.iter().flat_map(|process| process.owners.values());
        let owner = owners.filter(|owner| owner.partition() == partition).map(|owner| owner.name).next();
        if let Some(ownership) = owner {
            self.take_later(ownership);
        }
        self.go_on_with(at, Step::End { id, durable });
    }

    fn end_post(&mut self, at: usize, ports: &Ports, id: EventId, durable: bool) {
        if let (Some(key), Some(site)) =
            (self.key(at), self.posts.get(at).and_then(|post| self.projects.get(post.project)))
        {
            let (project, partition, admission) = (site.id, site.partition, ports.admission.clone());
            // If this fails the event is durable all the same.
            let _ = self.call(async move { admission.end(partition, project, id, &key, durable).await });
        }
        self.go_on_with(at, Step::Answer { id: durable.then_some(id) });
    }

    fn answer(&mut self, at: usize, id: Option<EventId>) {
        let Some(post) = self.posts.get_mut(at) else { return };
        let Some(id) = id else {
            post.step = Step::Send;
            return self.try_post_later(at);
        };
        let body = post.body.clone();
        post.step = Step::Done;
        let keyed = post.keyed;
        self.trace(&format!("202 for {}", short(id)));
        self.checker.accepted(id, &body);
        if keyed && self.dice.per_mille(self.plan.faults.repeats) {
            if let Some(post) = self.posts.get_mut(at) {
                post.step = Step::Send;
            }
            self.try_post_later(at);
        }
    }

    /// A change of the registry is announced: the partition's owner hears of it.
    pub(super) fn announce(&mut self, project: usize) {
        let Some(partition) = self.projects.get(project).map(|site| site.partition) else { return };
        let owners = self.process.iter().flat_map(|process| process.owners.values());
        let owner = owners.filter(|owner| owner.partition() == partition).map(|owner| owner.name).next();
        if let Some(ownership) = owner {
            self.owned_soon(ownership, Happening::News);
        }
    }
}

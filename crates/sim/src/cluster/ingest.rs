//! Clients that post events, as ingest does it: begin, publish, end. They repeat what was not confirmed, with the same key,
//! until it is.

use std::sync::Arc;

use bytes::Bytes;
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, RegistryVersion};

use super::Cluster;
use super::services::Service;
use super::services::redis::{Outcome, Said};
use super::wire::Unavailable;
use crate::body;
use crate::rule::Rule;
use crate::world::short;

/// One event of a client.
pub(super) struct Post {
    project: usize,
    key: Option<[u8; 32]>,
    body: Bytes,
    /// When the try that goes on began.
    begun: u64,
    /// Which try it is: what is answered to an earlier one is for nobody.
    tries: u64,
    is_done: bool,
}

impl Post {
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }
}

/// One try of a post.
#[derive(Clone, Copy)]
struct Try {
    post: usize,
    number: u64,
    project: ProjectId,
    partition: PartitionId,
    /// `None`: admission gave no answer, and there is no duplicate detection.
    key: Option<[u8; 32]>,
    admitted: bool,
    id: EventId,
    again: bool,
}

/// How long a repeat waits for the outcome of the post before it, in milliseconds.
const PATIENCE: u64 = 6_000;

impl Cluster {
    pub(super) fn start_ingest(&mut self) {
        self.ingest = self.start_process(false);
        self.trusted.clear();
    }

    pub(super) fn kill_ingest(&mut self) {
        if self.processes.remove(&self.ingest).is_none() {
            return;
        }
        self.crashes += 1;
        self.ingest = 0;
        self.trace(|| "ingest is killed".to_owned());
        for post in 0..self.posts.len() {
            if !self.posts[post].is_done {
                self.post_later(post);
            }
        }
        self.give_up_changes();
        let wait = self.dice.range(10, 2_000);
        self.later(wait, |world| {
            if world.ingest == 0 {
                world.start_ingest();
            }
        });
    }

    pub(super) fn new_post(&mut self, project: usize) {
        let key = self.dice.bytes32();
        let body = body::draw(&mut self.dice, self.posts.len() as u64 + 1);
        let key = (!self.dice.per_mille(50)).then_some(key);
        self.posts.push(Post { project, key, body, begun: 0, tries: 0, is_done: false });
        self.post(self.posts.len() - 1);
    }

    fn post_later(&mut self, at: usize) {
        let wait = self.dice.range(100, 2_000);
        let Some(post) = self.posts.get_mut(at) else { return };
        post.is_done = false;
        post.tries += 1;
        let tries = post.tries;
        self.later(wait, move |world| {
            if world.posts[at].tries == tries {
                world.post(at);
            }
        });
    }

    fn post(&mut self, at: usize) {
        if self.ingest == 0 {
            return self.post_later(at);
        }
        let proposed = EventId(self.dice.uuid());
        let now = self.now;
        let Some(post) = self.posts.get_mut(at) else { return };
        post.begun = now;
        post.tries += 1;
        let (key, number, project) = (post.key, post.tries, post.project);
        let site = &self.projects[project];
        let (project, partition) = (site.id, site.partition);
        let tried = Try { post: at, number, project, partition, key, admitted: true, id: proposed, again: false };
        self.admit(tried, now + PATIENCE);
    }

    /// The connection over which copies of a project's version can be trusted, if it is the present one.
    fn trusts(&self, project: ProjectId) -> Option<u64> {
        self.trusted.get(&project).copied().filter(|made| *made == self.services.redis.made)
    }

    fn is_current(&self, tried: &Try) -> bool {
        self.posts[tried.post].tries == tried.number
    }

    fn admit(&mut self, tried: Try, until: u64) {
        let (early, impatient) = (!self.holds(Rule::ConfirmAfterPublish), self.now >= until);
        // A copy that is read before this process has read the directory is old, whatever it has read meanwhile.
        let trusted = self.trusts(tried.project);
        self.call(
            self.ingest,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                let data = &mut world.services.redis.data;
                let said = tried.key.map(|key| data.begin(key, tried.id, (impatient, early), now));
                (said, data.copy(tried.project, now))
            },
            move |world, admitted| {
                if world.is_current(&tried) {
                    let now = world.trusts(tried.project);
                    let before = !world.holds(Rule::TrustBeforeReading) || now == trusted;
                    let trusts = now.is_some() && before;
                    world.admitted(tried, until, trusts, admitted);
                }
            },
        );
    }

    fn admitted(
        &mut self,
        tried: Try,
        until: u64,
        trusts: bool,
        admitted: Result<(Option<Said>, Option<RegistryVersion>), Unavailable>,
    ) {
        let (said, copy) = match admitted {
            Ok(admitted) => admitted,
            Err(Unavailable) => return self.read_version(Try { key: None, admitted: false, ..tried }),
        };
        let tried = match said {
            None | Some(Said::Publish { again: false, .. }) => tried,
            Some(Said::Publish { id, again }) if self.holds(Rule::AgainUnderItsId) => Try { id, again, ..tried },
            Some(Said::Publish { .. }) => tried,
            Some(Said::Pending) => {
                let ingest = self.ingest;
                return self.later_to(ingest, 100, move |world| {
                    if world.is_current(&tried) {
                        world.admit(tried, until);
                    }
                });
            }
            Some(Said::Confirmed(id)) => return self.answer(tried.post, Some(id)),
        };
        let voids = self.holds(Rule::VoidOnReconnect);
        match copy.filter(|_| trusts || !voids) {
            Some(version) => self.publish(tried, version),
            None => self.read_version(tried),
        }
    }

    /// The version comes from the directory, and the next posts may be spared that.
    fn read_version(&mut self, tried: Try) {
        let made = self.services.redis.made;
        self.call(
            self.ingest,
            Service::Postgres,
            move |world| world.services.postgres.version(tried.project),
            move |world, read| match read {
                _ if !world.is_current(&tried) => {}
                Err(Unavailable) => world.end_post(tried, false),
                Ok(version) => {
                    if tried.admitted {
                        world.learn(tried.project, version, made);
                    }
                    world.publish(tried, version);
                }
            },
        );
    }

    fn learn(&mut self, project: ProjectId, version: RegistryVersion, made: u64) {
        self.call(
            self.ingest,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                world.services.redis.data.learn(project, version, now);
            },
            move |world, learnt| {
                if learnt.is_ok() && world.services.redis.made == made {
                    world.trusted.insert(project, made);
                }
            },
        );
    }

    fn publish(&mut self, tried: Try, registry: RegistryVersion) {
        let post = &self.posts[tried.post];
        let (begun, body) = (post.begun, post.body.clone());
        let Try { project, partition, id, .. } = tried;
        let message = Arc::new(Message {
            id,
            project,
            event_type: "messages".to_owned(),
            accepted_at: self.wall(),
            registry,
            traceparent: None,
            purpose: Purpose::Event,
            body: body.clone(),
        });
        let again = tried.again && self.holds(Rule::SayAgain);
        let waits = self.holds(Rule::AnswerAfterConfirm);
        self.call(
            self.ingest,
            Service::Rabbit,
            move |world| {
                world.checker.published(world.now, project, id, &body, begun);
                if tried.key.is_some() {
                    world.checker.posted(tried.post, id, begun);
                }
                world.trace(|| {
                    format!("{} is in the queue of {partition} (version {registry}, again: {again})", short(id))
                });
                world.services.rabbit.publish(partition, message, again);
                world.send(partition);
            },
            move |world, published| {
                if waits && world.is_current(&tried) {
                    world.end_post(tried, published.is_ok());
                }
            },
        );
        if !waits {
            self.end_post(tried, true);
        }
    }

    /// The outcome is noted; the event's fate does not depend on it.
    fn end_post(&mut self, tried: Try, durable: bool) {
        let id = durable.then_some(tried.id);
        let Some(key) = tried.key else { return self.answer(tried.post, id) };
        let outcome = if durable { Outcome::Confirmed } else { Outcome::Open };
        self.call(
            self.ingest,
            Service::Redis,
            move |world| world.services.redis.data.end(key, tried.id, outcome),
            move |world, _| {
                if world.is_current(&tried) {
                    world.answer(tried.post, id);
                }
            },
        );
    }

    fn answer(&mut self, at: usize, id: Option<EventId>) {
        let Some(id) = id else { return self.post_later(at) };
        let post = &mut self.posts[at];
        post.is_done = true;
        let (body, keyed) = (post.body.clone(), post.key.is_some());
        self.trace(|| format!("202 for {}", short(id)));
        self.checker.accepted(id, &body);
        if keyed && !self.calm && self.dice.per_mille(self.plan.repeats) {
            self.post_later(at);
        }
    }
}

//! What an ownership does to the queue, the lock and the store.

use std::sync::Arc;

use spectrum_webhook_core::delivery::{DeliveryKey, Message};
use spectrum_webhook_core::ids::{PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::lane::{self, Ticket};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::partition::{Input, LaneId};
use spectrum_webhook_core::ports::{Change, Committed, Tag};

use super::Cluster;
use super::services::Service;
use super::services::postgres::{Fenced, Postgres, Registered};
use super::services::rabbit::Sent;
use super::wire::Unavailable;
use crate::checker::Target;
use crate::ownership::LaneWrite;
use crate::rule::Rule;

/// The wait before a call that failed is repeated.
const AGAIN: u64 = 150;
/// Tags of one channel.
const TAGS: u64 = 1 << 20;

/// A message as an owner has it. Its tag names the channel too.
pub(super) struct Taken {
    pub(super) tag: Tag,
    pub(super) redelivered: bool,
    pub(super) message: Arc<Message>,
}

impl Cluster {
    /// Sends what the active consumer of a partition may have.
    pub(super) fn send(&mut self, partition: PartitionId) {
        for Sent { channel, tag, redelivered, message } in self.services.rabbit.send(partition) {
            let Some(owner) = self.owners.values().find(|owner| owner.channel == Some(channel)) else { continue };
            let (name, arrived_by) = (owner.name, owner.arrived_by);
            let at = arrived_by.max(self.now + self.latency());
            if let Some(owner) = self.owners.get_mut(&name) {
                owner.arrived_by = at;
            }
            let taken = Taken { tag: Tag(channel * TAGS + tag), redelivered, message };
            self.owned_later(name, at - self.now, move |world| {
                // Nothing comes over a channel that is closed.
                if world.owners.get(&name).is_some_and(|owner| owner.channel == Some(channel)) {
                    world.took(name, taken);
                }
            });
        }
    }

    pub(super) fn settle(&mut self, ownership: u64) {
        let Some(owner) = self.owners.get_mut(&ownership) else { return };
        let (marks, tags) = (std::mem::take(&mut owner.marks), std::mem::take(&mut owner.tags));
        let (lease, compare) = (owner.lease, self.holds(Rule::SettleCompares));
        if marks.is_empty() {
            return self.acknowledge(ownership, tags);
        }
        self.owned_call(
            ownership,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                if world.services.redis.data.settle(&lease, &marks, compare, now) {
                    // What has a row is settled by that, and will be sent.
                    let rests = |key: &DeliveryKey| !world.services.postgres.find(&[*key]).is_empty();
                    let sent: Vec<_> = marks.iter().map(|mark| mark.key).filter(|key| !rests(key)).collect();
                    for key in sent {
                        world.checker.marked(world.now, ownership, key.webhook, key.event);
                    }
                }
            },
            // Without its mark a delivery is at worst made twice.
            move |world, ownership, _| world.acknowledge(ownership, tags),
        );
    }

    fn acknowledge(&mut self, ownership: u64, tags: Vec<u64>) {
        let Some(owner) = self.owners.get(&ownership) else { return };
        let (partition, own) = (owner.lease.partition, self.holds(Rule::OwnTags));
        if tags.is_empty() {
            return self.settled(ownership);
        }
        self.owned_call(
            ownership,
            Service::Rabbit,
            move |world| {
                let rabbit = &mut world.services.rabbit;
                let acknowledged = tags.iter().all(|tag| {
                    let channel = if own { Some(tag / TAGS) } else { rabbit.active(partition) };
                    channel.is_some_and(|channel| rabbit.acknowledge(channel, &[tag % TAGS]))
                });
                world.send(partition);
                acknowledged
            },
            |world, ownership, acknowledged| match acknowledged {
                Ok(true) => world.settled(ownership),
                Ok(false) | Err(Unavailable) => world.lose(ownership, "messages could not be acknowledged"),
            },
        );
    }

    fn settled(&mut self, ownership: u64) {
        if let Some(owner) = self.owners.get_mut(&ownership) {
            owner.settling = false;
        }
        self.flush(ownership);
    }

    /// Commits what is on its way.
    pub(super) fn commit(&mut self, ownership: u64) {
        let Some(owner) = self.owners.get(&ownership) else { return };
        let writes = owner.writing.clone();
        let early = !self.holds(Rule::AnswerAfterCommit) && !writes.iter().any(LaneWrite::stands_alone);
        if early {
            self.send_commit(ownership, writes.clone(), false);
            return self.committed(ownership, &writes, &Committed::default());
        }
        self.send_commit(ownership, writes, true);
    }

    /// Tries until it works, or the ownership ends.
    fn send_commit(&mut self, ownership: u64, writes: Vec<LaneWrite>, tells: bool) {
        let Some(lease) = self.owners.get(&ownership).map(|owner| owner.lease) else { return };
        let changes: Vec<Change> = writes.iter().flat_map(|write| write.changes.iter().cloned()).collect();
        let fence = self.holds(Rule::FenceWrites);
        self.owned_call(
            ownership,
            Service::Postgres,
            move |world| {
                for change in &changes {
                    match change {
                        Change::Disable { webhook, .. } => world.checker.was_disabled(*webhook),
                        Change::Hold { webhook, delivery } => world.checker.rests(*webhook, delivery.message.id),
                        _ => {}
                    }
                }
                let committed = world.services.postgres.commit(&lease, &changes, fence);
                let (partition, epoch) = (lease.partition, lease.epoch);
                world.trace(|| format!("partition {partition}: commit by {epoch} of {}: {committed:?}", changes.len()));
                committed
            },
            move |world, ownership, committed| match committed {
                Ok(Ok(committed)) if tells => world.committed(ownership, &writes, &committed),
                Ok(Ok(_)) => {}
                Ok(Err(Fenced)) => world.lose(ownership, "its write was refused"),
                Err(Unavailable) => {
                    if let Some(owner) = world.owners.get_mut(&ownership) {
                        owner.inexact = true;
                    }
                    let again = move |world: &mut Self| world.send_commit(ownership, writes, tells);
                    world.owned_later(ownership, AGAIN, again);
                }
            },
        );
    }

    fn committed(&mut self, ownership: u64, writes: &[LaneWrite], committed: &Committed) {
        let Some(owner) = self.owners.get_mut(&ownership) else { return };
        owner.writing.clear();
        let (process, partition) = (owner.process, owner.lease.partition);
        for (project, version) in committed.disabled.clone() {
            self.announce(process, (partition, project), None, version, |_, _| {});
        }
        for LaneWrite { lane, ticket, .. } in writes {
            let Committed { buried, dropped, more, .. } = *committed;
            let written = lane::Input::Written { ticket: *ticket, buried, dropped, more };
            self.feed(ownership, Input::Lane(*lane, written));
        }
        self.flush(ownership);
    }

    /// What a reader sees: the primary, or where a rule is off what a standby had a moment ago.
    fn reads(&self, rule: Rule) -> &Postgres {
        let standby = self.standby.as_ref().filter(|_| !self.holds(rule));
        standby.unwrap_or(&self.services.postgres)
    }

    pub(super) fn read(&mut self, ownership: u64, lane: LaneId, ticket: Ticket, reading: Box<Reading>) {
        let asked = reading.clone();
        self.owned_call(
            ownership,
            Service::Postgres,
            move |world| world.reads(Rule::ReadWhatWasWritten).read_backlog(lane.webhook, &asked),
            move |world, ownership, read| match read {
                Ok((rows, more)) => {
                    world.feed(ownership, Input::Lane(lane, lane::Input::Rows { ticket, rows, more }));
                }
                Err(Unavailable) => world.owned_later(ownership, AGAIN, move |world| {
                    world.read(ownership, lane, ticket, reading);
                }),
            },
        );
    }

    pub(super) fn read_registry(&mut self, ownership: u64, project: ProjectId) {
        self.owned_call(
            ownership,
            Service::Postgres,
            move |world| world.reads(Rule::RegistryFromPrimary).registry(project),
            move |world, ownership, read| match read {
                Ok((version, webhooks)) => world.registry(ownership, project, version, webhooks),
                Err(Unavailable) => {
                    world.owned_later(ownership, AGAIN, move |world| world.read_registry(ownership, project));
                }
            },
        );
    }

    fn registry(&mut self, ownership: u64, project: ProjectId, version: RegistryVersion, webhooks: Vec<Registered>) {
        let enabled = webhooks.iter().filter(|known| known.webhook.disabled.is_none());
        let target = |known: &Registered| Target { url: known.webhook.url.clone(), secret: known.secret.clone() };
        let targets = enabled.map(|known| (known.webhook.id, target(known))).collect();
        if let Some(owner) = self.owners.get_mut(&ownership) {
            owner.targets.insert(project, targets);
        }
        let webhooks = webhooks.into_iter().map(|known| known.webhook).collect();
        self.feed(ownership, Input::Registry { project, version, webhooks });
    }

    pub(super) fn look_up(&mut self, ownership: u64, number: u64, keys: Vec<DeliveryKey>) {
        let Some(lease) = self.owners.get(&ownership).map(|owner| owner.lease) else { return };
        let (asked, looks) = (keys.clone(), self.holds(Rule::LookUpMarks));
        self.owned_call(
            ownership,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                let marked = world.services.redis.data.look_up(&lease, &asked, now);
                marked.map(|marked| if looks { marked } else { Vec::new() })
            },
            move |world, ownership, marked| match marked {
                Ok(Some(marked)) => world.look_up_rows(ownership, number, keys, marked),
                Ok(None) => world.lose(ownership, "a look-up was refused"),
                Err(Unavailable) => {
                    world.owned_later(ownership, AGAIN, move |world| world.look_up(ownership, number, keys));
                }
            },
        );
    }

    fn look_up_rows(&mut self, ownership: u64, number: u64, keys: Vec<DeliveryKey>, marked: Vec<DeliveryKey>) {
        let (asked, looks) = (keys.clone(), self.holds(Rule::LookUpRows));
        self.owned_call(
            ownership,
            Service::Postgres,
            move |world| if looks { world.services.postgres.find(&asked) } else { Vec::new() },
            move |world, ownership, found| match found {
                Ok(found) => {
                    let settled = marked.into_iter().chain(found).collect();
                    world.feed(ownership, Input::LookedUp { number, settled });
                }
                Err(Unavailable) => world.owned_later(ownership, AGAIN, move |world| {
                    world.look_up_rows(ownership, number, keys, marked);
                }),
            },
        );
    }

    /// Looks for news now and then, without being told.
    pub(super) fn keep_looking(&mut self, ownership: u64) {
        if !self.owners.contains_key(&ownership) {
            return;
        }
        self.look_for_news(ownership);
        let wait = self.plan.timing.tick * 2;
        self.owned_later(ownership, wait, move |world| world.keep_looking(ownership));
    }

    pub(super) fn look_for_news(&mut self, ownership: u64) {
        let Some(partition) = self.owners.get(&ownership).map(|owner| owner.lease.partition) else { return };
        self.owned_call(
            ownership,
            Service::Redis,
            move |world| world.services.redis.data.news(partition),
            |world, ownership, news| {
                for (project, version) in news.unwrap_or_default() {
                    let Some(owner) = world.owners.get_mut(&ownership) else { return };
                    if owner.given.get(&project).is_none_or(|given| *given < version) {
                        owner.given.insert(project, version);
                        world.feed(ownership, Input::RegistryChanged { project, version });
                    }
                }
            },
        );
    }

    pub(super) fn confirm(&mut self, ownership: u64, project: ProjectId, version: RegistryVersion) {
        let Some(lease) = self.owners.get(&ownership).map(|owner| owner.lease) else { return };
        self.owned_call(
            ownership,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                world.services.redis.data.confirm(&lease, project, version, now)
            },
            move |world, ownership, confirmed| match confirmed {
                Ok(true) => {
                    // Told once more, it is news again.
                    if let Some(owner) = world.owners.get_mut(&ownership) {
                        owner.given.remove(&project);
                    }
                }
                Ok(false) => world.lose(ownership, "a confirmation was refused"),
                Err(Unavailable) => {
                    world.owned_later(ownership, AGAIN, move |world| world.confirm(ownership, project, version));
                }
            },
        );
    }
}

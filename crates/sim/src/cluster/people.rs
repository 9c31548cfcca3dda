//! People who change webhooks, as the management API does it: begin the change, commit it, end it, wait for the owner.

use spectrum_webhook_core::ids::{PartitionId, ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ordering::Ordering;
use spectrum_webhook_core::webhook::SigningSecret;

use super::Cluster;
use super::services::Service;
use super::services::postgres::Edit;
use super::services::redis::Holder;
use super::wire::Unavailable;
use crate::checker::Target;
use crate::endpoint::{Character, Endpoint};
use crate::rule::Rule;
use crate::world::short;

/// A webhook as people know it.
pub(super) struct Site {
    project: usize,
    /// Someone has begun to delete it.
    pub(super) is_deleted: bool,
    /// A change of it goes on: people wait for it.
    pub(super) is_busy: bool,
}

/// A change.
#[derive(Clone)]
struct Change {
    webhook: WebhookId,
    place: (PartitionId, ProjectId),
    token: u64,
    edit: Edit,
}

/// What was seen while a change waits for its owner.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The epoch that was seen first.
    first: Option<i64>,
    no_lease_since: Option<u64>,
    polls: u64,
}

/// How often the owner's confirmation is asked for, in milliseconds, and how many times.
const POLL: u64 = 100;
const POLLS: u64 = 200;
/// Webhooks beyond which no more are registered.
const MOST: usize = 5;

impl Cluster {
    pub(super) fn new_webhook(&mut self, project: usize, character: Character) -> (WebhookId, Edit) {
        let webhook = WebhookId(self.dice.uuid());
        let healthy = matches!(character, Character::Healthy);
        let secret = SigningSecret::from_random(self.dice.bytes32()).expose().to_owned();
        let url = self.new_url(character);
        let ordering = self.dice.pick(&[Ordering::Project, Ordering::Project, Ordering::Space, Ordering::None]);
        self.sites.insert(webhook, Site { project, is_deleted: false, is_busy: false });
        let target = Target { url: url.clone(), secret: secret.clone() };
        self.checker.registering(self.now, self.projects[project].id, webhook, target, healthy);
        self.checker.ordering(webhook, ordering);
        (webhook, Edit::Register { url, secret, ordering })
    }

    fn new_url(&mut self, character: Character) -> String {
        let url = format!("https://receiver.example/{}", self.endpoints.len());
        let mut endpoint = Endpoint::new(character, self.dice.fork());
        if self.calm {
            endpoint.heal(true);
        }
        self.endpoints.insert(url.clone(), endpoint);
        url
    }

    /// Somebody changes something.
    pub(super) fn somebody_changes(&mut self) {
        let free: Vec<WebhookId> =
            self.sites.iter().filter(|(_, site)| !site.is_deleted && !site.is_busy).map(|(id, _)| *id).collect();
        let span = self.plan.span;
        if free.is_empty() || (self.sites.len() < MOST && self.dice.per_mille(400)) {
            let project = self.dice.range(0, self.projects.len() as u64 - 1) as usize;
            let character = Character::of(&mut self.dice, span);
            let (webhook, edit) = self.new_webhook(project, character);
            return self.change(webhook, edit);
        }
        let webhook = self.dice.pick(&free);
        let edit = match self.dice.range(0, 9) {
            0..=4 => Edit::Delete,
            5 | 6 => Edit::Disable,
            7 => Edit::Enable,
            _ => {
                let character = Character::of(&mut self.dice, span);
                Edit::Move { url: self.new_url(character) }
            }
        };
        self.change(webhook, edit);
    }

    pub(super) fn change(&mut self, webhook: WebhookId, edit: Edit) {
        let Some(site) = self.sites.get_mut(&webhook) else { return };
        if self.ingest == 0 {
            return;
        }
        site.is_busy = true;
        site.is_deleted |= matches!(edit, Edit::Delete);
        let site = &self.projects[site.project];
        let place = (site.partition, site.id);
        self.trace(|| format!("{} {}", word(&edit), short(webhook)));
        match &edit {
            Edit::Delete => self.checker.deleting(webhook),
            Edit::Disable => self.checker.disabling(webhook),
            Edit::Enable => self.checker.enabling(webhook),
            Edit::Move { url } => self.checker.moving(webhook, url),
            Edit::Register { .. } => {}
        }
        let token = self.name();
        let change = Change { webhook, place, token, edit };
        let marks = self.holds(Rule::MarkChanges);
        self.call(
            self.ingest,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                if marks {
                    world.services.redis.data.begin_change(place.1, token, now);
                }
            },
            move |world, begun| match begun {
                Ok(()) => world.commit_change(change),
                // Nothing was changed.
                Err(Unavailable) => world.give_up_change(webhook),
            },
        );
    }

    /// People do not know what became of it.
    fn give_up_change(&mut self, webhook: WebhookId) {
        if let Some(site) = self.sites.get_mut(&webhook) {
            site.is_busy = false;
        }
        self.trace(|| format!("a change of {} has an unknown end", short(webhook)));
    }

    /// Whoever took them has died.
    pub(super) fn give_up_changes(&mut self) {
        let busy: Vec<WebhookId> = self.sites.iter().filter(|(_, site)| site.is_busy).map(|(id, _)| *id).collect();
        for webhook in busy {
            self.give_up_change(webhook);
        }
    }

    fn commit_change(&mut self, change: Change) {
        let (edit, webhook, project) = (change.edit.clone(), change.webhook, change.place.1);
        let now = self.wall();
        self.call(
            self.ingest,
            Service::Postgres,
            move |world| world.services.postgres.edit(project, webhook, edit, now),
            move |world, edited| match edited {
                Ok(Some(version)) => world.end_change(change, version),
                // It may be committed yet: the mark stands until it expires.
                Ok(None) | Err(Unavailable) => world.give_up_change(webhook),
            },
        );
    }

    fn end_change(&mut self, change: Change, version: RegistryVersion) {
        let (place, token) = (change.place, Some(change.token));
        // If that fails the call still succeeds.
        self.announce(self.ingest, place, token, version, move |world, _| {
            // A registration is answered now: what is posted from here on is for it, whatever the owner has heard.
            if matches!(change.edit, Edit::Register { .. }) {
                world.trace(|| format!("{} is registered at version {version}", short(change.webhook)));
                world.checker.registered(world.now, change.webhook);
            }
            if world.holds(Rule::WaitForOwner) {
                world.wait_for_owner(change, version, Seen::default());
            } else {
                world.answer_change(&change);
            }
        });
    }

    /// Tells of a version; the partition's owner may hear of it at once.
    pub(super) fn announce(
        &mut self,
        process: u64,
        (partition, project): (PartitionId, ProjectId),
        token: Option<u64>,
        version: RegistryVersion,
        then: impl FnOnce(&mut Self, Result<(), Unavailable>) + 'static,
    ) {
        self.call(
            process,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                let (keeps, marked) = (world.holds(Rule::KeepNewestVersion), world.holds(Rule::AnnounceNoCopy));
                world.services.redis.data.end_change((partition, project), token, (version, keeps, marked), now);
                let owners = world.owners.values().filter(|owner| owner.lease.partition == partition);
                for ownership in owners.map(|owner| owner.name).collect::<Vec<_>>() {
                    let wait = world.latency();
                    world.owned_later(ownership, wait, move |world| world.look_for_news(ownership));
                }
            },
            then,
        );
    }

    fn wait_for_owner(&mut self, change: Change, version: RegistryVersion, mut seen: Seen) {
        seen.polls += 1;
        if seen.polls > POLLS {
            return self.give_up_change(change.webhook);
        }
        let (partition, project) = change.place;
        self.call(
            self.ingest,
            Service::Redis,
            move |world| {
                let now = world.redis_now();
                world.services.redis.data.standing(partition, project, now)
            },
            move |world, standing| {
                if world.is_confirmed(standing, version, &mut seen) {
                    return world.answer_change(&change);
                }
                let ingest = world.ingest;
                world.later_to(ingest, POLL, move |world| world.wait_for_owner(change, version, seen));
            },
        );
    }

    /// Positive evidence only: the owner's word, a lease that was given back, one by an epoch that began meanwhile, or a
    /// whole lease time in which Redis answered and knew of none.
    fn is_confirmed(
        &self,
        standing: Result<(Holder, Option<RegistryVersion>, bool), Unavailable>,
        version: RegistryVersion,
        seen: &mut Seen,
    ) -> bool {
        let life = self.plan.timing.lease;
        let Ok((holder, confirmed, doubted)) = standing else {
            seen.no_lease_since = None;
            return false;
        };
        let young = self.now < self.services.redis.remembers + life;
        if self.holds(Rule::DoubtAfterLoss) && (doubted || young) {
            if let Holder::Epoch(epoch) = holder {
                seen.first.get_or_insert(epoch);
            }
            seen.no_lease_since = None;
            return false;
        }
        match holder {
            _ if confirmed.is_some_and(|confirmed| confirmed >= version) => true,
            Holder::Nobody => true,
            Holder::Epoch(epoch) => {
                seen.no_lease_since = None;
                epoch > *seen.first.get_or_insert(epoch)
            }
            Holder::Unknown => self.now >= *seen.no_lease_since.get_or_insert(self.now) + life,
        }
    }

    fn answer_change(&mut self, change: &Change) {
        let webhook = change.webhook;
        self.trace(|| format!("{} {} is confirmed", word(&change.edit), short(webhook)));
        if let Some(site) = self.sites.get_mut(&webhook) {
            site.is_busy = false;
        }
        match &change.edit {
            Edit::Delete | Edit::Disable => self.checker.is_off(webhook),
            Edit::Move { url } => self.checker.moved(webhook, url),
            Edit::Register { .. } | Edit::Enable => {}
        }
    }
}

fn word(edit: &Edit) -> &'static str {
    match edit {
        Edit::Register { .. } => "register",
        Edit::Delete => "delete",
        Edit::Disable => "disable",
        Edit::Enable => "enable",
        Edit::Move { .. } => "change the URL of",
    }
}

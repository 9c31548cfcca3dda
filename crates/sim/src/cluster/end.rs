//! The beginning, and the end: the faults stop, time passes, and the checker looks at what is left.

use spectrum_webhook_core::ids::{PartitionId, ProjectId, WebhookId};

use super::plan::When;
use super::services::postgres::Edit;
use super::{Cluster, ProjectSite};
use crate::checker::Leftovers;

/// How long after the last planned event the faults stop.
const GRACE: u64 = 2_000;
/// How long poison goes on after that.
const POISON: u64 = 20_000;
/// How often somebody looks whether all is done, and for how long, in milliseconds.
const LOOK: u64 = 250;
const LONGEST: u64 = 400_000;

impl Cluster {
    pub(super) fn set_up(&mut self) {
        let partitions = self.plan.partitions;
        for characters in std::mem::take(&mut self.plan.projects) {
            let id = ProjectId(self.dice.uuid());
            self.projects.push(ProjectSite { id, partition: PartitionId::of(id, partitions) });
            let (project, now) = (self.projects.len() - 1, self.wall());
            for character in characters {
                self.trace(|| format!("an endpoint is {character:?}"));
                let (webhook, edit) = self.new_webhook(project, character);
                self.services.postgres.edit(id, webhook, edit, now);
                self.checker.registered(self.now, webhook);
            }
        }
        self.start_ingest();
        for _ in 0..self.plan.dispatchers {
            self.start_process(true);
        }
        let (span, projects) = (self.plan.span, self.projects.len() as u64);
        // Bursts and pauses.
        let mut at = 0;
        for _ in 0..self.plan.events {
            let project = self.dice.range(0, projects - 1) as usize;
            at = if self.dice.per_mille(300) {
                self.dice.range(0, span)
            } else {
                (at + self.dice.range(0, 40)).min(span)
            };
            self.later(1 + at, move |world| world.new_post(project));
        }
        for _ in 0..self.plan.changes {
            let at = self.dice.range(0, span);
            self.later(at, Self::somebody_changes);
        }
        self.plan_faults();
        let last = self.plan.faults.iter().map(|fault| match fault.when {
            When::At(at) => at,
            When::AfterLease { .. } | When::AfterRenewal { .. } => 0,
        });
        let until = last.max().unwrap_or(0).max(span) + GRACE;
        self.later(until, Self::heal);
    }

    /// From here on nothing of ours fails, and endpoints answer, but those that poison breaks.
    fn heal(&mut self) {
        self.trace(|| "the faults stop".to_owned());
        self.mend();
        for endpoint in self.endpoints.values_mut() {
            endpoint.heal(false);
        }
        for project in 0..self.projects.len() {
            self.later(3_000, move |world| world.new_post(project));
        }
        self.later(POISON, |world| {
            world.trace(|| "poison is mended".to_owned());
            world.endpoints.values_mut().for_each(|endpoint| endpoint.heal(true));
        });
        let until = self.now + LONGEST;
        self.later(POISON, move |world| world.look_whether_done(until));
    }

    /// Enables what is disabled, until all is done.
    fn look_whether_done(&mut self, until: u64) {
        let disabled: Vec<WebhookId> =
            self.services.postgres.webhooks().filter(|(_, disabled)| *disabled).map(|(id, _)| id).collect();
        let idle = |world: &Self| {
            let (backlog, set_aside, records) = world.services.postgres.rests();
            backlog + set_aside + records + world.services.rabbit.messages() == 0
                && world.posts.iter().all(super::Post::is_done)
                && world.sites.values().all(|site| !site.is_busy)
                && world.owners.len() == usize::from(world.plan.partitions)
                && world.owners.values().all(super::Owner::is_idle)
        };
        if disabled.is_empty() && idle(self) {
            self.over = true;
            return;
        }
        if self.now > until {
            let (rests, messages) = (self.services.postgres.rests(), self.services.rabbit.messages());
            let owners = self.owners.len();
            return self
                .checker
                .cry(|| format!("it does not come to rest: {rests:?} at rest, {messages} in queues, {owners} owners"));
        }
        for webhook in disabled {
            if let Some(site) = self.sites.get(&webhook).filter(|site| !site.is_busy) {
                // A deletion that failed is asked for again.
                self.change(webhook, if site.is_deleted { Edit::Delete } else { Edit::Enable });
            }
        }
        self.later(LOOK, move |world| world.look_whether_done(until));
    }

    /// What is left, and what the counts say; returns the number of dead letters.
    pub(super) fn judge_the_end(&mut self) -> u64 {
        let webhooks: Vec<WebhookId> = self.services.postgres.webhooks().map(|(id, _)| id).collect();
        let (backlog, set_aside, lanes) = self.services.postgres.rests();
        let dead = self.services.postgres.dead();
        let queue = self.services.rabbit.messages();
        self.checker.end(&webhooks, &dead, Leftovers { queue, backlog, set_aside, lanes, ..Leftovers::default() });
        if self.owners.len() != usize::from(self.plan.partitions) {
            self.checker.cry(|| "a partition has no owner at the end, or two".to_owned());
        }
        for owner in self.owners.values() {
            let Some(machine) = &owner.machine else { continue };
            if !owner.inexact {
                self.checker.conserves(machine.counts().pending(), 0, 0);
            }
            self.checker.keeps(machine.unacknowledged(), 0, 0, 0);
        }
        dead.len() as u64
    }
}

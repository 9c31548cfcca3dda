//! The faults stop, time passes, and the checker looks at what is left.

use spectrum_webhook_core::ids::{EventId, PartitionId, WebhookId};
use spectrum_webhook_core::ports::{Directory as _, Project, Store as _};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_sql::FILE_NAME;
use sqlx::{Connection as _, Row as _};

use super::event::Event;
use super::people::Kind;
use super::{ProjectSite, World};
use crate::checker::{DeadLetter, Leftovers};

/// How long after the last planned event the faults stop.
const GRACE: u64 = 2_000;
/// How long poison goes on after that.
const POISON: u64 = 60_000;
/// Times that somebody enables what was disabled, until it counts as a thing that never ends.
const ROUNDS: u64 = 30;

impl World {
    pub(super) fn set_up(&mut self) -> anyhow::Result<()> {
        self.prepare_file()?;
        self.start_process()?;
        let Some(ports) = self.ports() else { anyhow::bail!("there is no process") };
        let partitions = self.plan.partitions;
        let store = ports.store.clone();
        self.runtime.block_on(async move { store.partitions(partitions).await })?;
        let characters = std::mem::take(&mut self.plan.projects);
        for (number, characters) in characters.into_iter().enumerate() {
            let id = spectrum_webhook_core::ids::ProjectId(self.dice.uuid());
            self.projects.push(ProjectSite { id, partition: PartitionId::of(id, partitions) });
            let project = Project {
                id,
                name: format!("project {number}"),
                secret_hash: [0; 32],
                registry: spectrum_webhook_core::ids::RegistryVersion(0),
                created_at: self.clocks().wall,
            };
            let store = ports.store.clone();
            self.runtime.block_on(async move { store.create_project(&project).await })?;
            for character in characters {
                self.register_at_once(number, character)?;
            }
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
            self.later(1 + at, Event::NewPost { project });
        }
        for _ in 0..self.plan.changes {
            let at = self.dice.range(0, span);
            self.later(at, Event::NewOperation);
        }
        for _ in 0..self.plan.steerings {
            let at = self.dice.range(0, span + GRACE);
            self.later(at, Event::Steer { tries: 0 });
        }
        self.later(span + GRACE, Event::Heal);
        Ok(())
    }

    /// From here on nothing of ours fails, and endpoints answer, but those that poison breaks.
    pub(super) fn heal(&mut self) {
        self.trace("the faults stop");
        self.calm = true;
        for endpoint in self.endpoints.values_mut() {
            endpoint.heal(false);
        }
        self.later(1, Event::EnableAll);
        for project in 0..self.projects.len() {
            self.later(5_000, Event::NewPost { project });
        }
        self.later(POISON, Event::HealPoison);
    }

    pub(super) fn heal_all(&mut self) {
        self.trace("poison is mended");
        for endpoint in self.endpoints.values_mut() {
            endpoint.heal(true);
        }
        self.later(1, Event::EnableAll);
    }

    /// Somebody enables everything that is disabled.
    pub(super) fn enable_all(&mut self) {
        let disabled = self.disabled();
        if self.calm && disabled.is_none() {
            self.later(500, Event::EnableAll);
        }
        for webhook in disabled.unwrap_or_default() {
            let site = self.sites.get(&webhook).map(|site| (site.busy, site.deleted));
            if let Some((false, deleted)) = site {
                // A deletion that failed is asked for again.
                self.begin_operation(if deleted { Kind::Delete } else { Kind::Enable }, webhook);
            } else if self.calm {
                self.later(500, Event::EnableAll);
            }
        }
    }

    /// The webhooks that are disabled; `None`: nobody can tell now.
    fn disabled(&mut self) -> Option<Vec<WebhookId>> {
        let ports = self.ports()?;
        let mut disabled = Vec::new();
        for site in &self.projects {
            let (store, project) = (ports.store.clone(), site.id);
            let webhooks = self.runtime.block_on(async move { store.list(project).await }).ok()?;
            disabled.extend(webhooks.iter().filter(|webhook| webhook.disabled.is_some()).map(|webhook| webhook.id));
        }
        if !self.calm {
            disabled.retain(|webhook| self.sites.get(webhook).is_some_and(|site| !site.deleted));
        }
        Some(disabled)
    }

    /// Nothing is planned any more. Whether there is still something to do.
    pub(super) fn go_on_after_quiet(&mut self) -> anyhow::Result<bool> {
        let waiting = self.disabled().unwrap_or_default();
        if waiting.is_empty() {
            return Ok(false);
        }
        self.rounds += 1;
        if self.rounds > ROUNDS {
            self.checker.cry(|| "webhooks are disabled again and again".to_owned());
            return Ok(false);
        }
        self.enable_all();
        Ok(true)
    }

    /// What is left in the store, and what the counts say; returns the number of dead letters.
    pub(super) fn judge_the_end(&mut self) -> anyhow::Result<u64> {
        let Some(ports) = self.ports() else { anyhow::bail!("there is no process at the end") };
        let owners: Vec<_> = self
            .process
            .iter()
            .flat_map(|process| process.owners.values())
            .map(|owner| (owner.machine.counts(), owner.machine.unacknowledged(), owner.inexact))
            .collect();
        if owners.len() != usize::from(self.plan.partitions) {
            self.checker.cry(|| "a partition has no owner at the end".to_owned());
        }
        let (store, total) = (ports.store.clone(), ports.store.clone());
        let mut webhooks = Vec::new();
        for site in &self.projects {
            let (store, project) = (store.clone(), site.id);
            webhooks.extend(self.runtime.block_on(async move { store.list(project).await })?);
        }
        let webhooks: Vec<WebhookId> = webhooks.into_iter().map(|webhook| webhook.id).collect();
        let totals = self.runtime.block_on(async move { total.totals().await })?;
        let (dead, left) = self.look_into_the_file()?;
        let open = dead.iter().filter(|letter| letter.open).count();
        if totals.dead_letters != open as u64 {
            self.checker.cry(|| format!("{open} open dead letters, {} by the totals", totals.dead_letters));
        }
        self.checker.end(&webhooks, &dead, left);
        for (counts, unacknowledged, inexact) in owners {
            if !inexact {
                self.checker.conserves(counts.pending(), 0, 0);
            }
            self.checker.keeps(unacknowledged, 0, 0, 0);
        }
        Ok(dead.len() as u64)
    }

    /// Reads the file beside the backends, so that they cannot hide anything.
    fn look_into_the_file(&self) -> anyhow::Result<(Vec<DeadLetter>, Leftovers)> {
        let path = self.folder.path().join(FILE_NAME);
        self.runtime.block_on(async move {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut conn = sqlx::SqliteConnection::connect_with(&options).await?;
            let sql = "SELECT d.event, d.webhook, d.reason, d.attempts, d.last, d.died_at, e.accepted_at, e.body, \
                       d.closed_at IS NULL FROM dead_letters d JOIN events e ON e.id = d.event ORDER BY d.event, d.webhook";
            let rows = sqlx::query(sql).fetch_all(&mut conn).await?;
            let mut dead = Vec::new();
            for row in rows {
                let (died, accepted) = (Millis(row.try_get(5)?), Millis(row.try_get(6)?));
                dead.push(DeadLetter {
                    event: row.try_get::<String, _>(0)?.parse::<EventId>()?,
                    webhook: row.try_get::<String, _>(1)?.parse::<WebhookId>()?,
                    reason: row.try_get(2)?,
                    attempts: row.try_get::<i64, _>(3)?.cast_unsigned(),
                    last: row.try_get(4)?,
                    accepted,
                    age: died.0 - accepted.0,
                    body: row.try_get(7)?,
                    open: row.try_get(8)?,
                });
            }
            let counts = "SELECT (SELECT count(*) FROM queue), (SELECT count(*) FROM done), \
                          (SELECT count(*) FROM backlog), (SELECT count(*) FROM set_aside), \
                          (SELECT count(*) FROM lanes), \
                          (SELECT count(*) FROM events WHERE id NOT IN (SELECT event FROM dead_letters))";
            let row = sqlx::query(counts).fetch_one(&mut conn).await?;
            let count = |at: usize| row.try_get::<i64, _>(at).map(i64::cast_unsigned);
            let left = Leftovers {
                queue: count(0)?,
                marks: count(1)?,
                backlog: count(2)?,
                set_aside: count(3)?,
                lanes: count(4)?,
                bodies: count(5)?,
            };
            conn.close().await?;
            Ok((dead, left))
        })
    }
}

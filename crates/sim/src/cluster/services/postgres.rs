//! The store as its port describes it, in memory: each call is one transaction.

use std::collections::BTreeMap;

use spectrum_webhook_core::delivery::{DeadReason, DeliveryKey, HeldDelivery, LastAttempt, Message};
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, RegistryVersion, Sequence, WebhookId};
use spectrum_webhook_core::ordering::{OrderKey, Ordering, Reading};
use spectrum_webhook_core::ports::{Change, Committed, LaneRecord, Lease, RestingLane, Takeover};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{DisabledReason, Webhook};

use crate::checker::DeadLetter;

/// A newer owner has written its epoch.
#[derive(Clone, Copy, Debug)]
pub(in crate::cluster) struct Fenced;

/// Rows of one webhook, in their order.
type Rows = BTreeMap<(Sequence, EventId), HeldDelivery>;

/// What rests of one webhook.
#[derive(Clone, Default)]
struct Resting {
    partition: Option<PartitionId>,
    backlog: Rows,
    set_aside: BTreeMap<(Sequence, EventId), (HeldDelivery, LastAttempt)>,
    dead: BTreeMap<EventId, DeadLetter>,
    record: Option<LaneRecord>,
}

/// A webhook with its key.
#[derive(Clone)]
pub(in crate::cluster) struct Registered {
    pub(in crate::cluster) webhook: Webhook,
    pub(in crate::cluster) secret: String,
    deleted: bool,
}

/// What is changed of a webhook.
#[derive(Clone)]
pub(in crate::cluster) enum Edit {
    Register { url: String, secret: String, ordering: Ordering },
    Delete,
    Disable,
    Enable,
    Move { url: String },
}

/// The database.
#[derive(Clone, Default)]
pub(in crate::cluster) struct Postgres {
    partitions: BTreeMap<PartitionId, (i64, Sequence)>,
    projects: BTreeMap<ProjectId, RegistryVersion>,
    webhooks: BTreeMap<WebhookId, Registered>,
    resting: BTreeMap<WebhookId, Resting>,
}

impl Postgres {
    pub(in crate::cluster) fn epoch(&self, partition: PartitionId) -> i64 {
        self.partitions.get(&partition).map_or(0, |(epoch, _)| *epoch)
    }

    /// Writes the epoch, which must be greater than the stored one.
    pub(in crate::cluster) fn raise(&mut self, lease: &Lease) -> Result<(), Fenced> {
        let (epoch, _) = self.partitions.entry(lease.partition).or_default();
        if *epoch >= lease.epoch.0 {
            return Err(Fenced);
        }
        *epoch = lease.epoch.0;
        Ok(())
    }

    /// What rests in a partition.
    pub(in crate::cluster) fn found(&self, partition: PartitionId) -> Takeover {
        let highest = self.partitions.get(&partition).map_or(Sequence(0), |(_, highest)| *highest);
        let here = self.resting.iter().filter(|(_, resting)| resting.partition == Some(partition));
        let lanes = here.filter_map(|(webhook, resting)| {
            let project = self.webhooks.get(webhook)?.webhook.project;
            let (backlog, set_aside) = (resting.backlog.len() as u64, resting.set_aside.len() as u64);
            let lane = RestingLane { webhook: *webhook, project, backlog, set_aside, record: resting.record };
            (backlog + set_aside > 0 || lane.record.is_some()).then_some(lane)
        });
        Takeover { highest, lanes: lanes.collect() }
    }

    /// Commits an owner's changes; `fence` is off when nobody looks at the epoch.
    pub(in crate::cluster) fn commit(
        &mut self,
        lease: &Lease,
        changes: &[Change],
        fence: bool,
    ) -> Result<Committed, Fenced> {
        let stored = self.partitions.entry(lease.partition).or_default();
        if fence && stored.0 != lease.epoch.0 {
            return Err(Fenced);
        }
        let mut committed = Committed::default();
        for change in changes {
            self.apply(lease.partition, change, &mut committed);
        }
        Ok(committed)
    }

    fn lane(&mut self, partition: PartitionId, webhook: WebhookId) -> &mut Resting {
        let resting = self.resting.entry(webhook).or_default();
        resting.partition = Some(partition);
        resting
    }

    fn apply(&mut self, partition: PartitionId, change: &Change, committed: &mut Committed) {
        match change {
            Change::Hold { webhook, delivery } => {
                if let Some((_, highest)) = self.partitions.get_mut(&partition) {
                    *highest = (*highest).max(delivery.sequence);
                }
                let lane = self.lane(partition, *webhook);
                if !lane.has(delivery.message.id) {
                    lane.backlog.insert((delivery.sequence, delivery.message.id), HeldDelivery::clone(delivery));
                }
            }
            Change::Remove { key } => drop(self.lane(partition, key.webhook).take(key.event)),
            Change::SetAside { key, attempts, last, .. } => {
                let lane = self.lane(partition, key.webhook);
                if let Some(mut row) = lane.take(key.event) {
                    (row.attempts, row.sent) = (*attempts, true);
                    lane.set_aside.insert((row.sequence, key.event), (row, *last));
                }
            }
            Change::Return { webhook } => {
                let lane = self.lane(partition, *webhook);
                let rows = std::mem::take(&mut lane.set_aside);
                lane.backlog.extend(rows.into_iter().map(|(place, (row, _))| (place, row)));
            }
            Change::Bury { key, reason, attempts, last, at, .. } => {
                let lane = self.lane(partition, key.webhook);
                if let Some(row) = lane.take(key.event) {
                    lane.bury(key.webhook, &row, (*reason, *attempts, *last), *at);
                }
            }
            Change::BurySetAside { webhook, at } => {
                let lane = self.lane(partition, *webhook);
                for (row, last) in std::mem::take(&mut lane.set_aside).into_values() {
                    committed.buried += 1;
                    lane.bury(*webhook, &row, (DeadReason::Poison, row.attempts, Some(last)), *at);
                }
            }
            Change::Lane { webhook, record, .. } => self.lane(partition, *webhook).record = *record,
            Change::Disable { webhook, reason, seen, at } => {
                self.disable(*webhook, (*reason, *seen), *at, committed);
            }
            Change::Drop { webhook, limit } => {
                let lane = self.lane(partition, *webhook);
                let rows = lane.backlog.len() + lane.set_aside.len();
                (lane.record, lane.backlog, lane.set_aside) = Default::default();
                committed.dropped += rows as u64;
                committed.more |= rows as u64 >= u64::from(*limit);
            }
            Change::Expire { webhook, before, at, .. } => {
                let lane = self.lane(partition, *webhook);
                let old = |row: &HeldDelivery| row.message.accepted_at < *before;
                let resting = lane.backlog.extract_if(.., |_, row| old(row)).map(|(_, row)| (row, None));
                let mut rows: Vec<_> = resting.collect();
                let aside = lane.set_aside.extract_if(.., |_, (row, _)| old(row));
                rows.extend(aside.map(|(_, (row, last))| (row, Some(last))));
                committed.buried += rows.len() as u64;
                for (row, last) in rows {
                    lane.bury(*webhook, &row, (DeadReason::Expired, row.attempts, last), *at);
                }
            }
            // Nobody steers a lane in these histories.
            Change::Steer { .. } => {}
        }
    }

    fn disable(
        &mut self,
        webhook: WebhookId,
        (reason, seen): (DisabledReason, Millis),
        at: Millis,
        committed: &mut Committed,
    ) {
        let Some(known) = self.webhooks.get_mut(&webhook) else { return };
        if known.deleted || known.webhook.disabled.is_some() || known.webhook.updated_at != seen {
            return;
        }
        known.webhook.disabled = Some((at, reason));
        known.webhook.updated_at = at;
        let project = known.webhook.project;
        let version = self.raise_version(project);
        committed.disabled.push((project, version));
    }

    fn raise_version(&mut self, project: ProjectId) -> RegistryVersion {
        let version = self.projects.entry(project).or_default();
        version.0 += 1;
        *version
    }

    pub(in crate::cluster) fn read_backlog(&self, webhook: WebhookId, reading: &Reading) -> (Vec<HeldDelivery>, bool) {
        let Some(lane) = self.resting.get(&webhook) else { return Default::default() };
        let rows = reading.rows.max(1) as usize;
        let mut asked: Vec<(OrderKey, &HeldDelivery)> = lane
            .backlog
            .values()
            .map(|row| (reading.ordering.key(row.sequence, row.space), row))
            .filter(|(key, _)| reading.ordering == Ordering::Project || is_asked(reading, *key))
            .collect();
        asked.sort_by_key(|(key, _)| *key);
        let mut found: Vec<(OrderKey, &HeldDelivery)> = Vec::new();
        for (key, row) in asked {
            let of_key = found.iter().rev().take_while(|(other, _)| *other == key).count();
            if reading.ordering != Ordering::Space || of_key < Reading::OF_A_SPACE as usize {
                found.push((key, row));
            }
        }
        let more = found.len() > rows;
        (found.into_iter().take(rows).map(|(_, row)| row.clone()).collect(), more)
    }

    pub(in crate::cluster) fn read_message(&self, key: DeliveryKey) -> Option<Message> {
        let rows = &self.resting.get(&key.webhook)?.backlog;
        rows.values().find(|row| row.message.id == key.event).map(|row| row.message.clone())
    }

    /// Those that have a row.
    pub(in crate::cluster) fn find(&self, keys: &[DeliveryKey]) -> Vec<DeliveryKey> {
        let has = |key: &&DeliveryKey| self.resting.get(&key.webhook).is_some_and(|lane| lane.has(key.event));
        keys.iter().filter(has).copied().collect()
    }

    /// A project's version, and its webhooks.
    pub(in crate::cluster) fn registry(&self, project: ProjectId) -> (RegistryVersion, Vec<Registered>) {
        let own = self.webhooks.values().filter(|known| !known.deleted && known.webhook.project == project);
        (self.version(project), own.cloned().collect())
    }

    pub(in crate::cluster) fn version(&self, project: ProjectId) -> RegistryVersion {
        self.projects.get(&project).copied().unwrap_or_default()
    }

    /// Changes a webhook and raises its project's version; `None`: there is no such webhook.
    pub(in crate::cluster) fn edit(
        &mut self,
        project: ProjectId,
        id: WebhookId,
        edit: Edit,
        now: Millis,
    ) -> Option<RegistryVersion> {
        let mut known = self.webhooks.get_mut(&id).filter(|known| !known.deleted);
        if let Some(known) = &mut known {
            known.webhook.updated_at = now;
        }
        match (edit, known) {
            (Edit::Register { url, secret, ordering }, _) => {
                let version = self.raise_version(project);
                let webhook = new_webhook((project, id), url, ordering, version, now);
                self.webhooks.insert(id, Registered { webhook, secret, deleted: false });
                return Some(version);
            }
            (_, None) => return None,
            (Edit::Delete, Some(known)) => known.deleted = true,
            (Edit::Disable, Some(known)) => {
                known.webhook.disabled.get_or_insert((now, DisabledReason::Manual));
            }
            (Edit::Enable, Some(known)) => known.webhook.disabled = None,
            (Edit::Move { url }, Some(known)) => known.webhook.url = url,
        }
        Some(self.raise_version(project))
    }

    /// Webhooks that are not deleted, and whether they are disabled.
    pub(in crate::cluster) fn webhooks(&self) -> impl Iterator<Item = (WebhookId, bool)> {
        let there = self.webhooks.iter().filter(|(_, known)| !known.deleted);
        there.map(|(id, known)| (*id, known.webhook.disabled.is_some()))
    }

    pub(in crate::cluster) fn dead(&self) -> Vec<DeadLetter> {
        self.resting.values().flat_map(|lane| lane.dead.values().cloned()).collect()
    }

    /// Rows of backlogs, rows set aside, and lane records.
    pub(in crate::cluster) fn rests(&self) -> (u64, u64, u64) {
        self.resting.values().fold((0, 0, 0), |(backlog, set_aside, records), lane| {
            let record = u64::from(lane.record.is_some());
            (backlog + lane.backlog.len() as u64, set_aside + lane.set_aside.len() as u64, records + record)
        })
    }
}

impl Resting {
    fn has(&self, event: EventId) -> bool {
        let mut places = self.backlog.keys().chain(self.set_aside.keys());
        self.dead.contains_key(&event) || places.any(|(_, id)| *id == event)
    }

    fn take(&mut self, event: EventId) -> Option<HeldDelivery> {
        let place = *self.backlog.keys().find(|(_, id)| *id == event)?;
        self.backlog.remove(&place)
    }

    fn bury(
        &mut self,
        webhook: WebhookId,
        row: &HeldDelivery,
        death: (DeadReason, u32, Option<LastAttempt>),
        at: Millis,
    ) {
        let (reason, attempts, last) = death;
        let (event, accepted) = (row.message.id, row.message.accepted_at);
        self.dead.entry(event).or_insert(DeadLetter {
            event,
            webhook,
            reason: reason.code().to_owned(),
            attempts: u64::from(attempts),
            last: last.map(LastAttempt::code),
            accepted,
            age: at.0 - accepted.0,
            body: row.message.body.to_vec(),
            open: true,
        });
    }
}

fn is_asked(reading: &Reading, key: OrderKey) -> bool {
    reading.after.is_none_or(|after| key > after)
        && reading.up_to.is_none_or(|up_to| key <= up_to)
        && !reading.except.contains(&key)
}

fn new_webhook(
    (project, id): (ProjectId, WebhookId),
    url: String,
    ordering: Ordering,
    added: RegistryVersion,
    now: Millis,
) -> Webhook {
    let shape = spectrum_webhook_core::shape::Shape { ordering, ..Default::default() };
    Webhook { id, project, url, disabled: None, event_types: None, shape, added, created_at: now, updated_at: now }
}

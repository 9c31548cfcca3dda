//! What an ownership does to the store, the queue and the lock.

use std::sync::Arc;

use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::ids::{ProjectId, RegistryVersion};
use spectrum_webhook_core::lane::{self, Ticket};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::partition::{Input, LaneId};
use spectrum_webhook_core::ports::{
    Announcements as _, Change, Committed, PortError, SequenceLock as _, Store as _, Taken,
};

use super::event::{Event, Happening};
use super::owner::Owner;
use super::ports::took_effect;
use super::{World, short};
use crate::checker::Target;
use crate::ownership::{LaneWrite, Targets};
use crate::sabotage::Sabotage;

/// Bytes of bodies that one read or take brings, but for its first row.
const BYTES: usize = 4_096;
/// The wait before a call of the store that failed is repeated.
const AGAIN: u64 = 150;

impl World {
    pub(super) fn take(&mut self, ownership: u64) {
        let window = self.plan.limits.window;
        let Some(mut owner) = self.borrow(ownership) else { return };
        owner.taking = false;
        let room = window.saturating_sub(owner.machine.unacknowledged());
        let taken = self.call(owner.subscription.take(room.min(8), BYTES));
        let partition = owner.partition();
        self.give_back(owner);
        let mut taken = match taken {
            Ok(taken) => taken,
            Err(_) => return self.lose(ownership, "messages could not be taken"),
        };
        if taken.is_empty() {
            return;
        }
        self.trace(&format!("partition {partition}: took {}", taken.len()));
        if self.sabotage == Some(Sabotage::SwapTwo) && taken.len() > 1 {
            taken.swap(0, 1);
            // Two events change places, with their tags.
            self.sabotage = None;
        }
        self.take_later(ownership);
        for Taken { tag, redelivered, message } in taken {
            match message {
                Ok(message) => self.feed(ownership, Input::Took { tag, redelivered, message: Arc::new(message) }),
                Err(unreadable) => self.checker.cry(|| format!("an unreadable message: {}", unreadable.detail)),
            }
            if self.sabotage == Some(Sabotage::AcknowledgeEarly)
                && let Some(acks) = self.owner(ownership).map(|owner| Arc::clone(&owner.acks))
            {
                let _ = self.runtime.block_on(async move { acks.ack(&[tag]).await });
            }
        }
    }

    /// Takes an owner out of its place for a call that needs the world as well.
    fn borrow(&mut self, ownership: u64) -> Option<Owner> {
        let process = self.process.as_mut()?;
        let partition = process.owners.values().find(|owner| owner.name == ownership)?.partition();
        process.owners.remove(&partition)
    }

    fn give_back(&mut self, owner: Owner) {
        if let Some(process) = &mut self.process {
            process.owners.insert(owner.partition(), owner);
        }
    }

    pub(super) fn commit(&mut self, ownership: u64) {
        let Some(ports) = self.ports() else { return };
        let Some(owner) = self.owner(ownership) else { return };
        let lease = owner.lease;
        let changes: Vec<Change> = owner.writing.iter().flat_map(|write| write.changes.iter().cloned()).collect();
        for change in &changes {
            if let Change::Disable { webhook, .. } = change {
                self.checker.was_disabled(*webhook);
            }
        }
        let kinds: Vec<&str> = changes.iter().map(kind).collect();
        let committed = self.call(async move { ports.store.commit(&lease, &changes).await });
        let moved = committed.as_ref().map(|done| (done.buried, done.dropped)).unwrap_or_default();
        let outcome = outcome(&committed);
        self.trace(&format!("partition {}: commit {kinds:?}: {outcome}, moved {moved:?}", lease.partition));
        if took_effect(&committed)
            && committed.is_err()
            && let Some(owner) = self.owner(ownership)
        {
            owner.inexact = true;
        }
        match committed {
            Ok(committed) => self.owned_soon(ownership, Happening::Committed { committed: Box::new(committed) }),
            Err(PortError::Unavailable { .. }) => {
                self.later(AGAIN, Event::Owned { ownership, happening: Happening::Commit });
            }
            Err(error) => self.checker.cry(|| format!("the owner's write failed: {error}")),
        }
    }

    /// The last write of an ownership that has ended: its answer is for nobody.
    pub(super) fn commit_unheard(&mut self, owner: &Owner) {
        let Some(ports) = self.ports() else { return };
        let changes: Vec<Change> = owner.writing.iter().flat_map(|write| write.changes.iter().cloned()).collect();
        if changes.is_empty() {
            return;
        }
        let lease = owner.lease;
        let committed = self.call(async move { ports.store.commit(&lease, &changes).await });
        self.trace(&format!("partition {}: commit, unheard: {}", lease.partition, outcome(&committed)));
    }

    pub(super) fn committed(&mut self, ownership: u64, committed: &Committed) {
        let Some(ports) = self.ports() else { return };
        let Some(owner) = self.owner(ownership) else { return };
        let partition = owner.partition();
        let writes: Vec<LaneWrite> = std::mem::take(&mut owner.writing);
        for (project, version) in committed.disabled.clone() {
            let announcements = ports.announcements.clone();
            let _ = self.call(async move { announcements.end_change(partition, project, version).await });
            self.owned_soon(ownership, Happening::News);
            // Somebody notices.
            let wait = self.dice.range(500, 20_000);
            self.later(wait, Event::EnableAll);
        }
        for LaneWrite { lane, ticket, .. } in writes {
            let Committed { buried, dropped, more, .. } = *committed;
            self.feed(ownership, Input::Lane(lane, lane::Input::Written { ticket, buried, dropped, more }));
        }
        self.perform(ownership, Vec::new());
    }

    pub(super) fn read(&mut self, ownership: u64, lane: LaneId, ticket: Ticket, reading: Box<Reading>) {
        let Some(ports) = self.ports() else { return };
        let asked = reading.clone();
        let read = self.call(async move { ports.store.read_backlog(lane.webhook, &asked, BYTES).await });
        match read {
            Ok(mut backlog) => {
                if self.sabotage == Some(Sabotage::MissRow) && backlog.deliveries.len() > 1 {
                    backlog.deliveries.remove(0);
                }
                let (rows, more) = (backlog.deliveries, backlog.more);
                self.owned_soon(ownership, Happening::Rows { lane, ticket, rows, more });
            }
            Err(_) => {
                self.later(AGAIN, Event::Owned { ownership, happening: Happening::Read { lane, ticket, reading } });
            }
        }
    }

    pub(super) fn settle(&mut self, ownership: u64) {
        let Some(ports) = self.ports() else { return };
        let Some(owner) = self.owner(ownership) else { return };
        let (lease, acks) = (owner.lease, Arc::clone(&owner.acks));
        let (marks, tags) = (std::mem::take(&mut owner.marks), std::mem::take(&mut owner.tags));
        let (marked, acked) = (marks.len(), tags.len());
        // Without its mark a delivery is at worst made twice.
        let settled = self.call(async move { ports.lock.settle(&lease, &marks).await });
        let acknowledged = if acked == 0 { Ok(()) } else { self.call(async move { acks.ack(&tags).await }) };
        self.trace(&format!(
            "partition {}: {marked} marks: {}, {acked} acknowledgements: {}",
            lease.partition,
            outcome(&settled),
            outcome(&acknowledged)
        ));
        match acknowledged {
            Ok(()) => self.owned_soon(ownership, Happening::Settled),
            Err(_) => self.lose(ownership, "messages could not be acknowledged"),
        }
    }

    pub(super) fn read_registry(&mut self, ownership: u64, project: ProjectId) {
        let Some(ports) = self.ports() else { return };
        match self.call(async move { ports.store.registry(project).await }) {
            Ok(registry) => {
                let now = self.clocks().wall;
                let targets: Targets = registry
                    .webhooks
                    .iter()
                    .filter(|(webhook, _)| webhook.disabled.is_none())
                    .map(|(webhook, keys)| {
                        let secret = keys.spectrum(now).expose().to_owned();
                        (webhook.id, Target { url: webhook.url.clone(), secret })
                    })
                    .collect();
                let webhooks = registry.webhooks.into_iter().map(|(webhook, _)| webhook).collect();
                let happening = Happening::Registry { project, version: registry.version, webhooks, targets };
                self.owned_soon(ownership, happening);
            }
            Err(_) => {
                self.later(AGAIN, Event::Owned { ownership, happening: Happening::ReadRegistry { project } });
            }
        }
    }

    pub(super) fn look_up(&mut self, ownership: u64, number: u64, keys: Vec<DeliveryKey>) {
        let Some(ports) = self.ports() else { return };
        let Some(lease) = self.owner(ownership).map(|owner| owner.lease) else { return };
        let asked = keys.clone();
        let found = self.call(async move {
            let mut settled = ports.lock.look_up(&lease, &asked).await?;
            settled.extend(ports.store.find(&asked).await?);
            Ok(settled)
        });
        match found {
            Ok(settled) => {
                self.trace(&format!("look-up {number}: {} of {} settled", settled.len(), keys.len()));
                self.owned_soon(ownership, Happening::LookedUp { number, settled });
            }
            Err(_) => {
                self.later(AGAIN, Event::Owned { ownership, happening: Happening::LookUp { number, keys } });
            }
        }
    }

    pub(super) fn news(&mut self, ownership: u64) {
        let Some(ports) = self.ports() else { return };
        let Some(lease) = self.owner(ownership).map(|owner| owner.lease) else { return };
        let announcements = ports.announcements.clone();
        let changed = self.runtime.block_on(async move { announcements.changed(&lease).await });
        match changed {
            Ok(mut changed) => {
                changed.sort_unstable();
                for (project, version) in changed {
                    self.trace(&format!("news: {} at {version}", short(project)));
                    if self.sabotage == Some(Sabotage::AttemptAfterDelete) {
                        self.confirm(ownership, project, version);
                    } else {
                        self.feed(ownership, Input::RegistryChanged { project, version });
                    }
                }
            }
            Err(error) => self.checker.cry(|| format!("an owner could not hear the news: {error}")),
        }
    }

    pub(super) fn confirm(&mut self, ownership: u64, project: ProjectId, version: RegistryVersion) {
        let Some(ports) = self.ports() else { return };
        let Some(lease) = self.owner(ownership).map(|owner| owner.lease) else { return };
        let confirmed =
            self.runtime.block_on(async move { ports.announcements.confirm(&lease, project, version).await });
        if let Err(error) = confirmed {
            self.checker.cry(|| format!("an owner could not confirm: {error}"));
        }
    }
}

fn outcome<T>(result: &Result<T, PortError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(PortError::Unavailable { .. }) if took_effect(result) => "failed after",
        Err(PortError::Unavailable { .. }) => "failed",
        Err(PortError::Fenced { .. }) => "fenced",
        Err(PortError::Corrupt { .. }) => "corrupt",
    }
}

fn kind(change: &Change) -> &'static str {
    match change {
        Change::Hold { .. } => "hold",
        Change::Remove { .. } => "remove",
        Change::SetAside { .. } => "set aside",
        Change::Return { .. } => "return",
        Change::Bury { .. } => "bury",
        Change::BurySetAside { .. } => "bury set aside",
        Change::Lane { .. } => "lane",
        Change::Disable { .. } => "disable",
        Change::Drop { .. } => "drop",
        Change::Expire { .. } => "expire",
        Change::Steer { .. } => "steer",
    }
}

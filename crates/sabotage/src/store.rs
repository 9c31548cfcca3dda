//! A store that shows registries other than they are, and lets messages be acknowledged before it has committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::delivery::{DeliveryKey, Message};
use spectrum_webhook_core::ids::{Epoch, EventId, PartitionId, ProjectId, WebhookId};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::ports::{
    Archived, Backlog, Change, Committed, Lease, PortError, Pruning, Store, Takeover, Totals, Unreadable,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{Registry, SigningKeys, Webhook};

use crate::defect::Defect;
use crate::saboteur::Saboteur;

/// By when the queue knows of an acknowledgement, which waits for others.
const SENT: Duration = Duration::from_millis(600);
/// How long the commit comes behind that: a crash has to hit the gap.
const GAP: Duration = Duration::from_secs(5);

type Known = HashMap<WebhookId, (Webhook, SigningKeys)>;

pub(crate) struct BadStore {
    inner: Arc<dyn Store>,
    saboteur: Arc<Saboteur>,
    /// Webhooks of projects whose deletions are not heeded.
    known: Mutex<HashMap<ProjectId, Known>>,
}

impl BadStore {
    /// A bad one over a good one.
    pub(crate) fn over(inner: Arc<dyn Store>, saboteur: Arc<Saboteur>) -> Self {
        Self { inner, saboteur, known: Mutex::default() }
    }

    /// Events of such a change that may be acknowledged once it is committed, and are now.
    fn early(&self, change: &Change) -> Option<EventId> {
        let Change::Hold { delivery, .. } = change else { return None };
        let early = self.saboteur.defect(delivery.message.project) == Some(Defect::Early);
        early.then_some(delivery.message.id)
    }

    /// Puts the deleted ones back. Says whether there are any.
    fn bring_back(&self, project: ProjectId, registry: &mut Registry) -> bool {
        let mut known = self.known.lock();
        let known = known.entry(project).or_default();
        let mut gone = std::mem::take(known);
        for (webhook, keys) in &registry.webhooks {
            gone.remove(&webhook.id);
            known.insert(webhook.id, (webhook.clone(), keys.clone()));
        }
        registry.webhooks.extend(gone.values().cloned());
        let any = !gone.is_empty();
        known.extend(gone);
        any
    }
}

/// Lets the keys of before the last rotations sign on. Says whether there are any.
fn keep_old_keys(registry: &mut Registry) -> bool {
    let mut any = false;
    for (_, keys) in &mut registry.webhooks {
        if let Some((_, until)) = &mut keys.previous {
            *until = Millis(i64::MAX);
            any = true;
        }
    }
    any
}

#[async_trait]
impl Store for BadStore {
    async fn commit(&self, lease: &Lease, changes: &[Change]) -> Result<Committed, PortError> {
        let early: Vec<EventId> = changes.iter().filter_map(|change| self.early(change)).collect();
        let early = self.saboteur.acknowledge(lease.partition, &early).await?;
        if !early.is_empty() {
            tokio::time::sleep(SENT).await;
            for event in early {
                tracing::warn!(%event, "acknowledged early");
            }
            tokio::time::sleep(GAP).await;
        }
        self.inner.commit(lease, changes).await
    }

    async fn registry(&self, project: ProjectId) -> Result<Registry, PortError> {
        let mut registry = self.inner.registry(project).await?;
        let misled = match self.saboteur.defect(project) {
            Some(Defect::Stale) => keep_old_keys(&mut registry),
            Some(Defect::Late) => self.bring_back(project, &mut registry),
            _ => false,
        };
        if misled {
            self.saboteur.misled(project);
        }
        Ok(registry)
    }

    async fn epoch(&self, partition: PartitionId) -> Result<Epoch, PortError> {
        self.inner.epoch(partition).await
    }

    async fn take_over(&self, lease: &Lease) -> Result<Takeover, PortError> {
        self.inner.take_over(lease).await
    }

    async fn read_backlog(&self, webhook: WebhookId, reading: &Reading, bytes: usize) -> Result<Backlog, PortError> {
        self.inner.read_backlog(webhook, reading, bytes).await
    }

    async fn read_message(&self, key: DeliveryKey) -> Result<Option<Message>, PortError> {
        self.inner.read_message(key).await
    }

    async fn find(&self, keys: &[DeliveryKey]) -> Result<Vec<DeliveryKey>, PortError> {
        self.inner.find(keys).await
    }

    async fn record(&self, attempts: &[AttemptRecord]) -> Result<(), PortError> {
        self.inner.record(attempts).await
    }

    async fn archive(&self, events: &[Archived]) -> Result<(), PortError> {
        self.inner.archive(events).await
    }

    async fn quarantine(&self, lease: &Lease, message: &Unreadable, at: Millis) -> Result<(), PortError> {
        self.inner.quarantine(lease, message, at).await
    }

    async fn prune(&self, pruning: Pruning) -> Result<bool, PortError> {
        self.inner.prune(pruning).await
    }

    async fn totals(&self) -> Result<Totals, PortError> {
        self.inner.totals().await
    }
}

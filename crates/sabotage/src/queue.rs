//! A queue that drops, swaps and rebuilds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spectrum_webhook_core::ids::{PartitionId, ProjectId};
use spectrum_webhook_core::ports::{Acks, Lease, PortError, Publication, Queue, Subscription, Tag, Taken};
use tokio::time::{Instant, sleep_until};

use crate::defect::Defect;
use crate::saboteur::Saboteur;

/// How long a message waits for another one of its project to change places with.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct BadQueue {
    inner: Arc<dyn Queue>,
    saboteur: Arc<Saboteur>,
}

impl BadQueue {
    /// A bad one over a good one.
    pub(crate) fn over(inner: Arc<dyn Queue>, saboteur: Arc<Saboteur>) -> Self {
        Self { inner, saboteur }
    }
}

#[async_trait]
impl Queue for BadQueue {
    async fn publish(&self, partition: PartitionId, publication: Publication) -> Result<(), PortError> {
        self.inner.publish(partition, publication).await
    }

    async fn publish_all(&self, partition: PartitionId, publications: Vec<Publication>) -> Vec<Result<(), PortError>> {
        self.inner.publish_all(partition, publications).await
    }

    async fn subscribe(&self, lease: &Lease, prefetch: usize) -> Result<Box<dyn Subscription>, PortError> {
        let inner = self.inner.subscribe(lease, prefetch).await?;
        let (partition, saboteur) = (lease.partition, Arc::clone(&self.saboteur));
        saboteur.subscribed(partition, inner.acks());
        Ok(Box::new(BadSubscription { inner, partition, saboteur, waiting: HashMap::new() }))
    }

    async fn check(&self) -> Result<(), PortError> {
        self.inner.check().await
    }
}

struct BadSubscription {
    inner: Box<dyn Subscription>,
    partition: PartitionId,
    saboteur: Arc<Saboteur>,
    /// Messages that wait to be swapped, and since when.
    waiting: HashMap<ProjectId, (Instant, Taken)>,
}

impl BadSubscription {
    /// Takes one, and gives on what comes of it.
    async fn pervert(&mut self, mut taken: Taken, given: &mut Vec<Taken>) -> Result<(), PortError> {
        let Ok(message) = &mut taken.message else {
            given.push(taken);
            return Ok(());
        };
        let (project, event) = (message.project, message.id);
        self.saboteur.took(self.partition, taken.tag, project, event);
        match self.saboteur.defect(project) {
            Some(Defect::Drop) if taken.redelivered => {
                self.acks().ack(&[taken.tag]).await?;
                self.saboteur.harmed(project, event);
                return Ok(());
            }
            Some(Defect::Swap) if !taken.redelivered => {
                let Some((_, before)) = self.waiting.remove(&project) else {
                    self.waiting.insert(project, (Instant::now(), taken));
                    return Ok(());
                };
                self.saboteur.harmed(project, event);
                given.push(taken);
                if let Ok(message) = &before.message {
                    self.saboteur.harmed(project, message.id);
                }
                given.push(before);
                return Ok(());
            }
            Some(Defect::Rebuild) => {
                if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&message.body) {
                    message.body = value.to_string().into();
                    self.saboteur.harmed(project, event);
                }
            }
            _ => {}
        }
        given.push(taken);
        Ok(())
    }
}

#[async_trait]
impl Subscription for BadSubscription {
    async fn take(&mut self, messages: usize, bytes: usize) -> Result<Vec<Taken>, PortError> {
        let overdue = self.waiting.extract_if(|_, (since, _)| since.elapsed() >= PATIENCE);
        let mut given: Vec<Taken> = overdue.map(|(_, (_, taken))| taken).collect();
        for taken in self.inner.take(messages, bytes).await? {
            self.pervert(taken, &mut given).await?;
        }
        Ok(given)
    }

    async fn ready(&mut self) -> Result<(), PortError> {
        let due = self.waiting.values().map(|(since, _)| *since + PATIENCE).min();
        tokio::select! {
            ready = self.inner.ready() => ready,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Ok(()),
        }
    }

    fn buffered(&self) -> usize {
        self.inner.buffered()
    }

    fn acks(&self) -> Arc<dyn Acks> {
        let (inner, saboteur) = (self.inner.acks(), Arc::clone(&self.saboteur));
        Arc::new(SeenAcks { inner, partition: self.partition, saboteur })
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        self.inner.close().await
    }
}

/// Acknowledges, and lets the saboteur know.
struct SeenAcks {
    inner: Arc<dyn Acks>,
    partition: PartitionId,
    saboteur: Arc<Saboteur>,
}

#[async_trait]
impl Acks for SeenAcks {
    async fn ack(&self, tags: &[Tag]) -> Result<(), PortError> {
        self.saboteur.acknowledged(self.partition, tags);
        self.inner.ack(tags).await
    }
}

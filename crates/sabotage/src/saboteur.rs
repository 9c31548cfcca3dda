//! What the saboteurs share: who is harmed and how, and which messages are not acknowledged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId};
use spectrum_webhook_core::ports::{Acks, PortError, Tag};

use crate::defect::Defect;

/// The consumer of a partition.
struct Consumer {
    acks: Arc<dyn Acks>,
    /// Taken, and not acknowledged.
    waiting: BTreeMap<Tag, (ProjectId, EventId)>,
}

#[derive(Default)]
struct State {
    consumers: HashMap<PartitionId, Consumer>,
    /// Projects whose webhooks are not what their owner was told: all their events are harmed.
    misled: HashSet<ProjectId>,
}

/// The head of them.
pub(crate) struct Saboteur {
    victims: HashMap<ProjectId, Defect>,
    state: Mutex<State>,
}

impl Saboteur {
    /// One with these victims.
    pub(crate) fn of(victims: HashMap<ProjectId, Defect>) -> Self {
        Self { victims, state: Mutex::default() }
    }

    /// The defect of a project.
    pub(crate) fn defect(&self, project: ProjectId) -> Option<Defect> {
        self.victims.get(&project).copied()
    }

    /// Says that an event is harmed.
    pub(crate) fn harmed(&self, project: ProjectId, event: EventId) {
        if let Some(defect) = self.defect(project) {
            tracing::warn!(%defect, %event, "harmed");
        }
    }

    /// A partition has a new consumer: what the one before took is not its.
    pub(crate) fn subscribed(&self, partition: PartitionId, acks: Arc<dyn Acks>) {
        self.state.lock().consumers.insert(partition, Consumer { acks, waiting: BTreeMap::new() });
    }

    /// A message was taken.
    pub(crate) fn took(&self, partition: PartitionId, tag: Tag, project: ProjectId, event: EventId) {
        let mut state = self.state.lock();
        if let Some(consumer) = state.consumers.get_mut(&partition) {
            consumer.waiting.insert(tag, (project, event));
        }
        if state.misled.contains(&project) {
            self.harmed(project, event);
        }
    }

    /// Messages were acknowledged.
    pub(crate) fn acknowledged(&self, partition: PartitionId, tags: &[Tag]) {
        if let Some(consumer) = self.state.lock().consumers.get_mut(&partition) {
            consumer.waiting.retain(|tag, _| !tags.contains(tag));
        }
    }

    /// The owner of a project was told something else than the truth of its webhooks.
    pub(crate) fn misled(&self, project: ProjectId) {
        let mut state = self.state.lock();
        if !state.misled.insert(project) {
            return;
        }
        for (of, event) in state.consumers.values().flat_map(|consumer| consumer.waiting.values()) {
            if *of == project {
                self.harmed(project, *event);
            }
        }
    }

    /// Acknowledges those of these events that are not acknowledged; returns them.
    pub(crate) async fn acknowledge(
        &self,
        partition: PartitionId,
        events: &[EventId],
    ) -> Result<Vec<EventId>, PortError> {
        let (acks, harmed) = {
            let mut state = self.state.lock();
            let Some(consumer) = state.consumers.get_mut(&partition) else { return Ok(Vec::new()) };
            let harmed = consumer.waiting.extract_if(.., |_, (_, event)| events.contains(event));
            let harmed: Vec<(Tag, (ProjectId, EventId))> = harmed.collect();
            (Arc::clone(&consumer.acks), harmed)
        };
        let tags: Vec<Tag> = harmed.iter().map(|(tag, _)| *tag).collect();
        if !tags.is_empty() {
            acks.ack(&tags).await?;
        }
        for (_, (project, event)) in &harmed {
            self.harmed(*project, *event);
        }
        Ok(harmed.into_iter().map(|(_, (_, event))| event).collect())
    }
}

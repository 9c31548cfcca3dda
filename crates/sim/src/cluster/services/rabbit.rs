//! Queues with one active consumer, as RabbitMQ keeps them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use spectrum_webhook_core::delivery::Message;
use spectrum_webhook_core::ids::PartitionId;

/// A message in a queue.
#[derive(Clone)]
struct Stored {
    position: u64,
    message: Arc<Message>,
    /// It was published as one that may be there already.
    again: bool,
    /// It was sent to a consumer before.
    sent: bool,
}

/// A message on its way to a consumer.
pub(in crate::cluster) struct Sent {
    pub(in crate::cluster) channel: u64,
    pub(in crate::cluster) tag: u64,
    pub(in crate::cluster) redelivered: bool,
    pub(in crate::cluster) message: Arc<Message>,
}

struct Channel {
    partition: PartitionId,
    prefetch: usize,
    tags: u64,
    unacknowledged: BTreeMap<u64, Stored>,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Stored>,
    /// Channels that consume; the first is the active one.
    consumers: VecDeque<u64>,
}

/// The broker.
#[derive(Default)]
pub(in crate::cluster) struct Rabbit {
    queues: BTreeMap<PartitionId, Queue>,
    channels: BTreeMap<u64, Channel>,
    positions: u64,
}

impl Rabbit {
    pub(in crate::cluster) fn publish(&mut self, partition: PartitionId, message: Arc<Message>, again: bool) {
        self.positions += 1;
        let stored = Stored { position: self.positions, message, again, sent: false };
        self.queues.entry(partition).or_default().ready.push_back(stored);
    }

    pub(in crate::cluster) fn subscribe(&mut self, channel: u64, partition: PartitionId, prefetch: usize) {
        self.queues.entry(partition).or_default().consumers.push_back(channel);
        self.channels.insert(channel, Channel { partition, prefetch, tags: 0, unacknowledged: BTreeMap::new() });
    }

    /// What goes out to the active consumer of a partition now.
    pub(in crate::cluster) fn send(&mut self, partition: PartitionId) -> Vec<Sent> {
        let mut sent = Vec::new();
        let Some(queue) = self.queues.get_mut(&partition) else { return sent };
        let Some(active) = queue.consumers.front().copied() else { return sent };
        let Some(channel) = self.channels.get_mut(&active) else { return sent };
        while channel.unacknowledged.len() < channel.prefetch
            && let Some(mut stored) = queue.ready.pop_front()
        {
            channel.tags += 1;
            let (tag, redelivered) = (channel.tags, stored.sent || stored.again);
            sent.push(Sent { channel: active, tag, redelivered, message: Arc::clone(&stored.message) });
            stored.sent = true;
            channel.unacknowledged.insert(tag, stored);
        }
        sent
    }

    /// Takes messages off the queue; `false`: the channel is closed, and its tags are worth nothing.
    pub(in crate::cluster) fn acknowledge(&mut self, channel: u64, tags: &[u64]) -> bool {
        let Some(channel) = self.channels.get_mut(&channel) else { return false };
        for tag in tags {
            channel.unacknowledged.remove(tag);
        }
        true
    }

    /// What is not acknowledged returns to its place at the head, before the next consumer gets anything.
    pub(in crate::cluster) fn close(&mut self, channel: u64) -> Option<PartitionId> {
        self.cancel(channel);
        let closed = self.channels.remove(&channel)?;
        let queue = self.queues.entry(closed.partition).or_default();
        queue.ready.extend(closed.unacknowledged.into_values());
        queue.ready.make_contiguous().sort_by_key(|stored| stored.position);
        Some(closed.partition)
    }

    /// Ends the consumer alone: the next one starts beside what this one has not acknowledged.
    pub(in crate::cluster) fn cancel(&mut self, channel: u64) -> Option<PartitionId> {
        let partition = self.channels.get(&channel)?.partition;
        self.queues.entry(partition).or_default().consumers.retain(|other| *other != channel);
        Some(partition)
    }

    /// The channel that consumes a partition.
    pub(in crate::cluster) fn active(&self, partition: PartitionId) -> Option<u64> {
        self.queues.get(&partition)?.consumers.front().copied()
    }

    pub(in crate::cluster) fn messages(&self) -> u64 {
        let ready = self.queues.values().map(|queue| queue.ready.len()).sum::<usize>();
        let unacknowledged = self.channels.values().map(|channel| channel.unacknowledged.len()).sum::<usize>();
        (ready + unacknowledged) as u64
    }
}

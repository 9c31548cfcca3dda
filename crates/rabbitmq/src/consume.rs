//! One consumer of one partition's queue, on a channel of its own, and its acknowledgements.

use std::collections::{BTreeSet, VecDeque};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use parking_lot::Mutex;
use spectrum_webhook_core::ports::{Acks, Lease, PortError, Subscription, Tag, Taken};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::link::{Current, Link, Queues};
use crate::publish::undeclared;
use crate::{PORT, decode, unavailable};

/// A consumer that is not confirmed for so long gives up, so that the partition's lease can go to someone else.
const SUBSCRIBE: Duration = Duration::from_secs(10);
/// How long a channel that nobody waits for may take to close. A connection that does not answer is lost before.
const CLOSE: Duration = Duration::from_secs(30);

/// What the broker has sent, and what is not acknowledged.
#[derive(Default)]
struct Inbox {
    sent: VecDeque<Delivery>,
    /// Bytes of their bodies.
    bytes: usize,
    /// Tags of this channel that are not acknowledged, taken or not.
    unacknowledged: BTreeSet<u64>,
    /// Why nothing comes any more.
    ended: Option<String>,
}

struct Shared {
    channel: Channel,
    inbox: Mutex<Inbox>,
    changed: Notify,
}

impl Shared {
    fn end(&self, why: String) {
        self.inbox.lock().ended.get_or_insert(why);
        self.changed.notify_waiters();
    }
}

struct RabbitSubscription {
    shared: Arc<Shared>,
}

/// Starts to consume.
pub(crate) async fn subscribe(
    link: &Link,
    queues: &Queues,
    lease: &Lease,
    prefetch: usize,
) -> Result<Box<dyn Subscription>, PortError> {
    let failed = |error: lapin::Error| unavailable("subscribe", error);
    let Current { connection, .. } = link.current().map_err(|why| unavailable("subscribe", why))?;
    let subscribing = async {
        queues.declare(&connection, lease.partition).await.map_err(undeclared)?;
        let channel = connection.create_channel().await.map_err(failed)?;
        // From here on: dropped at any of the next awaits it closes the channel. By itself lapin would not, for a consumer
        // that is confirmed later holds its channel open: the queue's single active one, which nobody reads.
        let shared = Arc::new(Shared { channel, inbox: Mutex::default(), changed: Notify::new() });
        let subscription = RabbitSubscription { shared: Arc::clone(&shared) };
        let channel = &shared.channel;
        let prefetch = u16::try_from(prefetch.max(1)).unwrap_or(u16::MAX);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(failed)?;
        let queue = queues.name(lease.partition);
        let tag = format!("{} {}", lease.owner.0, lease.epoch);
        let options = BasicConsumeOptions::default();
        let consumer =
            channel.basic_consume(queue.as_str().into(), tag.as_str().into(), options, FieldTable::default());
        let consumer = match consumer.await {
            Ok(consumer) => consumer,
            Err(error) => {
                // It may have been deleted.
                queues.doubt(lease.partition);
                return Err(failed(error));
            }
        };
        tokio::spawn(pump(consumer, shared));
        Ok(subscription)
    };
    match timeout(SUBSCRIBE, subscribing).await {
        Ok(subscribed) => Ok(Box::new(subscribed?)),
        Err(_) => Err(unavailable("subscribe", "the consumer was not confirmed in time")),
    }
}

/// Moves what the broker sends into the inbox, until the channel ends. The prefetch bounds it.
async fn pump(consumer: Consumer, shared: Arc<Shared>) {
    // Dropped while its channel is open it would send a cancel, and then the next consumer would start beside what this
    // one has not acknowledged. So it is dropped only behind its end, and otherwise never.
    let mut consumer = ManuallyDrop::new(consumer);
    let why = loop {
        match consumer.next().await {
            Some(Ok(delivery)) => {
                let mut inbox = shared.inbox.lock();
                inbox.bytes += delivery.data.len();
                inbox.unacknowledged.insert(delivery.delivery_tag);
                inbox.sent.push_back(delivery);
                drop(inbox);
                shared.changed.notify_waiters();
            }
            Some(Err(error)) => shared.end(error.to_string()),
            None => break "RabbitMQ ended the consumer".to_owned(),
        }
    };
    shared.end(why);
    // A consumer that the broker cancelled leaves its channel open, with what is not acknowledged.
    close_in_background(Arc::clone(&shared));
    drop(ManuallyDrop::into_inner(consumer));
}

fn close_in_background(shared: Arc<Shared>) {
    let closing = async move {
        if shared.channel.status().connected() {
            // What does not close ends with its connection.
            let _ = timeout(CLOSE, shared.channel.close(200, "bye".into())).await;
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(closing)),
        // The process ends, and the connection with it.
        Err(_) => drop(closing),
    }
}

#[async_trait]
impl Subscription for RabbitSubscription {
    async fn take(&mut self, messages: usize, bytes: usize) -> Result<Vec<Taken>, PortError> {
        let mut inbox = self.shared.inbox.lock();
        if let Some(why) = &inbox.ended {
            return Err(unavailable("take", why));
        }
        let (mut taken, mut size) = (Vec::new(), 0);
        while taken.len() < messages && size < bytes {
            let Some(delivery) = inbox.sent.pop_front() else { break };
            size += delivery.data.len();
            inbox.bytes -= delivery.data.len();
            let (again, message) = match decode(&delivery.properties, delivery.data) {
                Ok(wire) => (wire.again, Ok(wire.message)),
                Err(unreadable) => (false, Err(unreadable)),
            };
            taken.push(Taken { tag: Tag(delivery.delivery_tag), redelivered: delivery.redelivered || again, message });
        }
        Ok(taken)
    }

    async fn ready(&mut self) -> Result<(), PortError> {
        loop {
            let changed = self.shared.changed.notified();
            {
                let inbox = self.shared.inbox.lock();
                if let Some(why) = &inbox.ended {
                    return Err(unavailable("wait", why));
                }
                if !inbox.sent.is_empty() {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    fn buffered(&self) -> usize {
        self.shared.inbox.lock().bytes
    }

    fn acks(&self) -> Arc<dyn Acks> {
        Arc::new(RabbitAcks { shared: Arc::clone(&self.shared) })
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        self.shared.end("it was closed".to_owned());
        let channel = &self.shared.channel;
        if !channel.status().connected() {
            return Ok(());
        }
        channel.close(200, "bye".into()).await.map_err(|error| unavailable("close a subscription", error))
    }
}

impl Drop for RabbitSubscription {
    fn drop(&mut self) {
        self.shared.end("it was dropped".to_owned());
        close_in_background(Arc::clone(&self.shared));
    }
}

struct RabbitAcks {
    shared: Arc<Shared>,
}

/// Takes finished tags out of what is not acknowledged: the tag up to which everything is finished, and those past a
/// stuck one. Tags that are not among them are none of this channel's, or acknowledged already.
fn finish(unacknowledged: &mut BTreeSet<u64>, tags: &[Tag]) -> (Option<u64>, Vec<u64>) {
    let mut finished: Vec<u64> = tags.iter().map(|tag| tag.0).filter(|tag| unacknowledged.remove(tag)).collect();
    finished.sort_unstable();
    let lowest = unacknowledged.first().copied().unwrap_or(u64::MAX);
    let prefix = finished.partition_point(|tag| *tag < lowest);
    let singly = finished.split_off(prefix);
    (finished.last().copied(), singly)
}

#[async_trait]
impl Acks for RabbitAcks {
    async fn ack(&self, tags: &[Tag]) -> Result<(), PortError> {
        let (prefix, singly) = {
            let mut inbox = self.shared.inbox.lock();
            if inbox.ended.is_some() {
                return Err(fenced());
            }
            finish(&mut inbox.unacknowledged, tags)
        };
        let prefix = prefix.map(|tag| (tag, BasicAckOptions { multiple: true }));
        let singly = singly.into_iter().map(|tag| (tag, BasicAckOptions { multiple: false }));
        for (tag, options) in prefix.into_iter().chain(singly) {
            self.shared.channel.basic_ack(tag, options).await.map_err(|_| fenced())?;
        }
        Ok(())
    }
}

/// A lost channel has returned its messages: its tags are worth nothing, and trying again does not help.
fn fenced() -> PortError {
    PortError::Fenced { port: PORT, operation: "acknowledge" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finished_prefix_is_acknowledged_at_once_and_the_rest_singly() {
        let mut unacknowledged: BTreeSet<u64> = (1..=6).collect();
        let finish = |unacknowledged: &mut BTreeSet<u64>, tags: &[u64]| {
            finish(unacknowledged, &tags.iter().map(|tag| Tag(*tag)).collect::<Vec<_>>())
        };
        assert_eq!(finish(&mut unacknowledged, &[5, 2, 1]), (Some(2), vec![5]));
        assert_eq!(finish(&mut unacknowledged, &[2, 5, 9]), (None, vec![]), "twice, and another channel's");
        assert_eq!(finish(&mut unacknowledged, &[3, 4]), (Some(4), vec![]), "5 is acknowledged already");
        assert_eq!(finish(&mut unacknowledged, &[6]), (Some(6), vec![]));
    }
}

//! One consumer of one partition's queue, on a channel of its own, and its acknowledgements.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use parking_lot::Mutex;
use spectrum_webhook_core::ports::{Acks, Lease, PortError, Subscription, Tag, Taken};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::acks::{Acker, Settled, Singly};
use crate::link::{Current, Link, Queues};
use crate::publish::undeclared;
use crate::{PORT, decode, unavailable};

/// A consumer that is not confirmed for so long gives up, so that the partition's lease can go to someone else.
const SUBSCRIBE: Duration = Duration::from_secs(10);
/// The part of the prefetch that may wait to be acknowledged.
const PRESSURE: usize = 8;
/// How long a channel that nobody waits for may take to close. A connection that does not answer is lost before.
const CLOSE: Duration = Duration::from_secs(30);

/// What the broker has sent, and what is not acknowledged.
#[derive(Default)]
struct Inbox {
    sent: VecDeque<Delivery>,
    /// Bytes of their bodies.
    bytes: usize,
    settled: Settled,
    /// Whether what is settled will be acknowledged without being asked for.
    reminded: bool,
    /// Why nothing comes any more.
    ended: Option<String>,
}

pub(crate) struct Shared {
    channel: Channel,
    inbox: Mutex<Inbox>,
    changed: Notify,
    /// So many settled messages are acknowledged without waiting for more: they take places of the prefetch.
    enough: usize,
}

impl Shared {
    fn end(&self, why: String) {
        self.inbox.lock().ended.get_or_insert(why);
        self.changed.notify_waiters();
    }

    /// Acknowledges what has waited for its turn; returns whether anything is left, for another time.
    pub(crate) fn acknowledge_old(&self) -> bool {
        let mut inbox = self.inbox.lock();
        self.acknowledge(&mut inbox, Singly::Old);
        inbox.reminded = inbox.settled.waiting() > 0;
        inbox.reminded
    }

    /// Acknowledges all that is settled.
    fn acknowledge_all(&self) {
        self.acknowledge(&mut self.inbox.lock(), Singly::All);
    }

    /// The lock is held until lapin has what goes out, so that no end of the channel overtakes it.
    fn acknowledge(&self, inbox: &mut Inbox, singly: Singly) {
        for (tag, multiple) in inbox.settled.take(singly) {
            // lapin takes it when it is first asked, and nobody waits for the write. One that it does not take is of a
            // lost channel, whose end is heard elsewhere.
            let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple }).now_or_never();
        }
    }
}

struct RabbitSubscription {
    shared: Arc<Shared>,
    acker: Arc<Acker>,
}

/// Starts to consume.
pub(crate) async fn subscribe(
    link: &Link,
    queues: &Queues,
    acker: &Arc<Acker>,
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
        let enough = (prefetch / PRESSURE).max(1);
        let shared = Arc::new(Shared { channel, inbox: Mutex::default(), changed: Notify::new(), enough });
        let subscription = RabbitSubscription { shared: Arc::clone(&shared), acker: Arc::clone(acker) };
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
                inbox.settled.came(delivery.delivery_tag);
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
    shared.acknowledge_all();
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
        Arc::new(RabbitAcks { shared: Arc::clone(&self.shared), acker: Arc::clone(&self.acker) })
    }

    async fn close(self: Box<Self>) -> Result<(), PortError> {
        self.shared.end("it was closed".to_owned());
        let channel = &self.shared.channel;
        // From here on nobody settles anything. What is written before the close is asked for does not leave together with
        // it: else the queue may hear of its end late, and send what comes next here.
        let rest = self.shared.inbox.lock().settled.take(Singly::All);
        for (tag, multiple) in rest {
            // One that is not taken is of a lost channel.
            let _ = channel.basic_ack(tag, BasicAckOptions { multiple }).await;
        }
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
    acker: Arc<Acker>,
}

#[async_trait]
impl Acks for RabbitAcks {
    /// The broker hears it a little later, and before the end of the channel in any case, unless that is lost.
    async fn ack(&self, tags: &[Tag]) -> Result<(), PortError> {
        let mut inbox = self.shared.inbox.lock();
        if inbox.ended.is_some() {
            return Err(fenced());
        }
        for tag in tags {
            inbox.settled.settle(tag.0);
        }
        if inbox.settled.waiting() >= self.shared.enough {
            self.shared.acknowledge(&mut inbox, Singly::Old);
        }
        if inbox.settled.waiting() > 0 && !std::mem::replace(&mut inbox.reminded, true) {
            self.acker.remind(&self.shared);
        }
        Ok(())
    }
}

/// A lost channel has returned its messages: its tags are worth nothing, and trying again does not help.
fn fenced() -> PortError {
    PortError::Fenced { port: PORT, operation: "acknowledge" }
}

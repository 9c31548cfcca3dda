//! Publishing with confirms: many messages in flight, each partition's in the order of the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, join_all, ready};
use futures::poll;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, PublisherConfirm};
use spectrum_webhook_core::ids::PartitionId;
use spectrum_webhook_core::ports::{PortError, Publication};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::link::{Current, Link, Queues, Undeclared};
use crate::{PORT, encode, unavailable};

const PUBLISH: &str = "publish";
/// Channels that are published on. A partition has one of them, so that its order is that of the calls.
const CHANNELS: usize = 4;
/// Bytes of messages that wait for their confirms: bodies and a little for each.
const IN_FLIGHT: usize = 64 << 20;
/// What a message counts beside its body.
const ENVELOPE: usize = 1 << 10;
/// How long a confirm that nobody waits for any more is kept.
const LATE: Duration = Duration::from_secs(60);

/// A channel, by the number of its opening and that of its connection.
struct Opened {
    number: u64,
    made: u64,
    channel: Channel,
}

/// A message on its way, and the number of the channel that it went out on.
struct Sent {
    on: u64,
    confirm: PublisherConfirm,
}

pub(crate) struct Publisher {
    link: Arc<Link>,
    queues: Arc<Queues>,
    confirm_timeout: Duration,
    channels: [Mutex<Option<Opened>>; CHANNELS],
    opened: AtomicU64,
    room: Arc<Semaphore>,
}

impl Publisher {
    pub(crate) fn new(link: Arc<Link>, queues: Arc<Queues>, confirm_timeout: Duration) -> Self {
        let room = Arc::new(Semaphore::new(IN_FLIGHT));
        Self { link, queues, confirm_timeout, channels: Default::default(), opened: AtomicU64::new(0), room }
    }

    /// Whether messages are taken at this moment.
    pub(crate) fn check(&self) -> Result<(), PortError> {
        self.link.current().map_err(|why| unavailable("check", why))?;
        if *self.link.blocked().borrow() { Err(unavailable("check", BLOCKED)) } else { Ok(()) }
    }

    /// Publishes in this order, and waits for all confirms at once.
    pub(crate) async fn publish(
        &self,
        partition: PartitionId,
        publications: Vec<Publication>,
    ) -> Vec<Result<(), PortError>> {
        let until = Instant::now() + self.confirm_timeout;
        let count = publications.len();
        let sending = async {
            let size: usize = publications.iter().map(|publication| publication.message.body.len() + ENVELOPE).sum();
            let size = u32::try_from(size.min(IN_FLIGHT)).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.room).acquire_many_owned(size).await;
            let room = room.map_err(|error| unavailable(PUBLISH, error))?;
            let mut blocked = self.link.blocked();
            if *blocked.borrow_and_update() {
                return Err(unavailable(PUBLISH, BLOCKED));
            }
            Ok((self.send(partition, publications).await?, room, blocked))
        };
        match timeout_at(until, sending).await {
            Ok(Ok((sent, room, blocked))) => {
                let room = Arc::new(room);
                let confirmed = sent.into_iter().map(|sent| {
                    let (room, blocked) = (Arc::clone(&room), blocked.clone());
                    async move { self.confirmed(partition, sent?, until, room, blocked).await }
                });
                join_all(confirmed).await
            }
            Ok(Err(error)) => vec![Err(error); count],
            Err(_) => vec![Err(late()); count],
        }
    }

    async fn confirmed(
        &self,
        partition: PartitionId,
        sent: Sent,
        until: Instant,
        room: Arc<OwnedSemaphorePermit>,
        mut blocked: watch::Receiver<bool>,
    ) -> Result<(), PortError> {
        let Sent { on, mut confirm } = sent;
        let confirmed = tokio::select! {
            confirmed = timeout_at(until, &mut confirm) => confirmed.map_err(|_| late()),
            () = becomes_true(&mut blocked) => Err(unavailable(PUBLISH, BLOCKED)),
        };
        match confirmed {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => {
                // Its queue is gone: the next one declares it.
                self.queues.doubt(partition);
                Err(unavailable(PUBLISH, "the queue is gone: it will be declared again"))
            }
            Ok(Ok(Confirmation::Nack(None) | Confirmation::NotRequested)) => {
                self.give_up(partition, on).await;
                Err(unavailable(PUBLISH, "RabbitMQ did not take the message"))
            }
            Ok(Err(error)) => Err(unavailable(PUBLISH, error)),
            Err(error) => {
                outlive(confirm, room);
                Err(error)
            }
        }
    }

    /// A channel on which the leader of a queue was lost goes on refusing what is published to that queue (seen with
    /// 3.10): the next message is published on a new one. Others that were refused on the old one leave that alone, for
    /// messages are on their way on it.
    async fn give_up(&self, partition: PartitionId, on: u64) {
        let mut channel = self.channels[channel_of(partition)].lock().await;
        channel.take_if(|opened| opened.number == on);
    }

    /// Hands messages to the partition's channel. What is handed over under its lock goes out in that order, and confirms
    /// are told apart by it; until it is written nobody else waits, so that many messages share a write.
    async fn send(
        &self,
        partition: PartitionId,
        publications: Vec<Publication>,
    ) -> Result<Vec<Result<Sent, PortError>>, PortError> {
        let mut opened = self.channels[channel_of(partition)].lock().await;
        let Current { made, connection } = self.link.current().map_err(|why| unavailable(PUBLISH, why))?;
        self.queues.declare(&connection, partition).await.map_err(undeclared)?;
        let usable = opened.take().filter(|opened| opened.made == made && opened.channel.status().connected());
        let current = match usable {
            Some(usable) => opened.insert(usable),
            None => {
                let fresh = connection.create_channel().await.map_err(|error| unavailable(PUBLISH, error))?;
                let confirms = fresh.confirm_select(ConfirmSelectOptions::default()).await;
                confirms.map_err(|error| unavailable(PUBLISH, error))?;
                let number = self.opened.fetch_add(1, Ordering::Relaxed);
                opened.insert(Opened { number, made, channel: fresh })
            }
        };
        let (on, channel) = (current.number, current.channel.clone());
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let queue = self.queues.name(partition);
        let mut sending = Vec::with_capacity(publications.len());
        for Publication { message, again, .. } in &publications {
            let properties = encode(message, *again);
            let publishing =
                channel.basic_publish("".into(), queue.as_str().into(), options, &message.body, properties);
            let mut publishing = Box::pin(publishing);
            // lapin takes the message when it is first asked; from then on it waits for the write alone.
            sending.push(match poll!(publishing.as_mut()) {
                Poll::Ready(sent) => Either::Left(ready(sent)),
                Poll::Pending => Either::Right(publishing),
            });
        }
        drop(opened);
        let sent = |sent: lapin::Result<_>| match sent {
            Ok(confirm) => Ok(Sent { on, confirm }),
            Err(error) => Err(unavailable(PUBLISH, error)),
        };
        Ok(join_all(sending).await.into_iter().map(sent).collect())
    }
}

fn late() -> PortError {
    unavailable(PUBLISH, "no confirm in time")
}

fn channel_of(partition: PartitionId) -> usize {
    usize::from(partition.0) % CHANNELS
}

const BLOCKED: &str = "RabbitMQ takes no messages: it is under an alarm (memory or disk)";

pub(crate) fn undeclared(why: Undeclared) -> PortError {
    match why {
        Undeclared::Later(error) => unavailable("declare a queue", error),
        Undeclared::Other(error) => {
            PortError::Corrupt { port: PORT, operation: "declare a queue", detail: error.to_string() }
        }
    }
}

async fn becomes_true(watched: &mut watch::Receiver<bool>) {
    if watched.wait_for(|blocked| *blocked).await.is_err() {
        // The link is gone, and with it every confirm: that is heard elsewhere.
        std::future::pending::<()>().await;
    }
}

/// Keeps a confirm that nobody waits for until it comes, and its room in the budget with it: the message is still on
/// its way.
fn outlive(confirm: PublisherConfirm, room: Arc<OwnedSemaphorePermit>) {
    tokio::spawn(async move {
        let _ = timeout(LATE, confirm).await;
        drop(room);
    });
}

#[cfg(test)]
mod tests {
    use spectrum_webhook_core::delivery::{Message, Purpose};
    use spectrum_webhook_core::ids::{Epoch, EventId, OwnerId, ProjectId, RegistryVersion};
    use spectrum_webhook_core::ports::{Lease, Reach};
    use spectrum_webhook_core::time::Millis;
    use spectrum_webhook_testkit::services::shared;
    use uuid::Uuid;

    use super::*;
    use crate::hosts::Hosts;

    const PARTITION: PartitionId = PartitionId(0);

    fn publication() -> Publication {
        let message = Message {
            id: EventId(Uuid::now_v7()),
            project: ProjectId(Uuid::from_u128(7)),
            event_type: "messages".to_owned(),
            accepted_at: Millis(1),
            registry: RegistryVersion(1),
            traceparent: None,
            purpose: Purpose::Event,
            body: "{}".into(),
        };
        Publication { message, again: false, idempotency: None }
    }

    async fn publisher() -> Publisher {
        let hosts = Arc::new(Hosts::read(&shared().rabbit().await.url(), None).expect("a URL"));
        let link = Link::connect(hosts, "test", Arc::new(Reach::new("rabbitmq"))).await.expect("a link");
        let queues = Arc::new(Queues::new(format!("test-{}", rand::random::<u64>())));
        Publisher::new(link, queues, Duration::from_secs(60))
    }

    async fn send(publisher: &Publisher) -> Sent {
        let sent = publisher.send(PARTITION, vec![publication()]).await.expect("a channel");
        sent.into_iter().next().expect("one").expect("sent")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn messages_go_out_in_the_order_of_the_calls_without_waiting_for_one_another() {
        let publisher = publisher().await;
        // The queue and the channel are there from here on.
        let published = publisher.publish(PARTITION, vec![publication()]).await;
        assert!(published.iter().all(Result::is_ok), "{published:?}");
        let mut first = Box::pin(send(&publisher));
        // Mostly it is not written yet.
        let written = poll!(first.as_mut());
        let others: Vec<Publication> = (0..50).map(|_| publication()).collect();
        let expected: Vec<EventId> = others.iter().map(|other| other.message.id).collect();
        // The first one is not asked again before all others are confirmed: some alone, the rest in one call.
        let (alone, together) = others.split_at(20);
        let alone = alone.iter().map(|other| vec![other.clone()]);
        let sending = alone.chain([together.to_vec()]).map(|some| publisher.publish(PARTITION, some));
        let confirmed = timeout(Duration::from_secs(30), join_all(sending)).await.expect("in time").concat();
        assert_eq!(confirmed.len(), 50);
        assert!(confirmed.iter().all(Result::is_ok), "{confirmed:?}");
        let first = match written {
            Poll::Ready(sent) => sent,
            Poll::Pending => first.await,
        };
        assert!(matches!(first.confirm.await, Ok(Confirmation::Ack(None))));
        let acker = Arc::new(crate::acks::Acker::start());
        let lease = Lease { partition: PARTITION, owner: OwnerId(Uuid::now_v7()), epoch: Epoch(1) };
        let subscribing = crate::consume::subscribe(&publisher.link, &publisher.queues, &acker, &lease, 300);
        let mut subscription = subscribing.await.expect("a subscription");
        let mut came = Vec::new();
        while came.len() < 52 {
            subscription.ready().await.expect("ready");
            let taken = subscription.take(300, usize::MAX).await.expect("take");
            came.extend(taken.into_iter().map(|taken| taken.message.expect("readable").id));
        }
        assert_eq!(came[2..], expected);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn messages_refused_on_an_old_channel_leave_the_new_one_and_what_is_on_its_way_there() {
        let publisher = publisher().await;
        let (first, second) = (send(&publisher).await, send(&publisher).await);
        assert_eq!(first.on, second.on);
        publisher.give_up(PARTITION, first.on).await;
        let fresh = send(&publisher).await;
        assert_ne!(fresh.on, first.on);
        publisher.give_up(PARTITION, second.on).await;
        assert_eq!(send(&publisher).await.on, fresh.on);
        assert!(matches!(fresh.confirm.await, Ok(Confirmation::Ack(None))));
    }
}

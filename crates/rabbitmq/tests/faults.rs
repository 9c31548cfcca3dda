//! What the suite cannot ask of every queue: a broker whose nodes die, whose operators close connections and delete
//! queues, and which takes no messages for a while.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::ids::{Epoch, EventId, OwnerId, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::{Lease, Publication, Queue as _, Subscription, Taken};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_rabbitmq::{ConnectError, Options, RabbitQueue};
use spectrum_webhook_testkit::services::{Rabbit, RabbitSetup, shared};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

const PARTITION: PartitionId = PartitionId(0);
const PATIENCE: Duration = Duration::from_secs(60);

fn namespace() -> String {
    format!("test-{}", rand::random::<u64>())
}

async fn connect(rabbit: &Rabbit, namespace: &str) -> RabbitQueue {
    RabbitQueue::connect(Options::new(rabbit.url(), namespace, 3)).await.expect("a queue")
}

fn message(number: usize) -> Message {
    Message {
        id: EventId(Uuid::now_v7()),
        project: ProjectId(Uuid::from_u128(7)),
        event_type: "messages".to_owned(),
        accepted_at: Millis(1),
        registry: RegistryVersion(1),
        traceparent: None,
        purpose: Purpose::Event,
        body: number.to_string().into_bytes().into(),
    }
}

fn lease() -> Lease {
    Lease { partition: PARTITION, owner: OwnerId(Uuid::now_v7()), epoch: Epoch(1) }
}

/// Publishes until it is confirmed.
async fn publish(queue: &RabbitQueue, number: usize) {
    let (begun, message) = (Instant::now(), message(number));
    while let Err(error) =
        queue.publish(PARTITION, Publication { message: message.clone(), again: false, idempotency: None }).await
    {
        assert!(error.is_retriable() && begun.elapsed() < PATIENCE, "{number}: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Subscribes until it works, and takes so many.
async fn consume(queue: &RabbitQueue, count: usize) -> (Box<dyn Subscription>, Vec<Taken>) {
    let begun = Instant::now();
    let mut subscription = loop {
        match queue.subscribe(&lease(), 300).await {
            Ok(subscription) => break subscription,
            Err(error) => assert!(error.is_retriable() && begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut taken = Vec::new();
    while taken.len() < count {
        timeout(PATIENCE, subscription.ready()).await.expect("in time").expect("ready");
        taken.extend(subscription.take(count - taken.len(), usize::MAX).await.expect("take"));
    }
    (subscription, taken)
}

/// The numbers in the bodies, a message that came twice in a row counted once: a confirm can be lost.
fn numbers(taken: &[Taken]) -> Vec<usize> {
    let number = |taken: &Taken| {
        let body = &taken.message.as_ref().expect("readable").body;
        std::str::from_utf8(body).expect("text").parse().expect("a number")
    };
    let mut numbers: Vec<usize> = taken.iter().map(number).collect();
    numbers.dedup();
    numbers
}

/// The subscription ends, and says so as something that trying again mends.
async fn ends(mut subscription: Box<dyn Subscription>) {
    let ended = async {
        loop {
            if let Err(error) = subscription.ready().await {
                return error;
            }
            if let Err(error) = subscription.take(1_000, usize::MAX).await {
                return error;
            }
        }
    };
    let error = timeout(PATIENCE, ended).await.expect("an end");
    assert!(error.is_retriable(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_killed_leader_come_back_first_and_in_order() {
    let rabbit = Rabbit::cluster().await;
    let namespace = namespace();
    let queue = connect(&rabbit, &namespace).await;
    for number in 0..20 {
        publish(&queue, number).await;
    }
    let (subscription, taken) = consume(&queue, 20).await;
    subscription.acks().ack(&[taken[0].tag, taken[7].tag]).await.expect("acknowledge");
    // What goes through the same channel comes after it.
    publish(&queue, 20).await;
    let leader = rabbit.leader(&format!("{namespace}.events.0"));
    rabbit.kill(leader).await;
    for number in 21..40 {
        publish(&queue, number).await;
    }
    drop(subscription);
    let (_subscription, taken) = consume(&queue, 38).await;
    let expected: Vec<usize> = (0..40).filter(|number| ![0, 7].contains(number)).collect();
    assert_eq!(numbers(&taken), expected);
    assert!(taken[..18].iter().all(|taken| taken.redelivered), "they were taken before");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_an_operator_closes_heal() {
    let rabbit = Rabbit::start().await;
    let queue = connect(&rabbit, &namespace()).await;
    for number in 0..5 {
        publish(&queue, number).await;
    }
    let (subscription, _) = consume(&queue, 5).await;
    let acks = subscription.acks();
    rabbit.close_connections(0);
    ends(subscription).await;
    let late = acks.ack(&[spectrum_webhook_core::ports::Tag(1)]).await.expect_err("a lost channel");
    assert!(!late.is_retriable(), "{late}: tags of a lost channel are worth nothing");
    publish(&queue, 5).await;
    assert_eq!(numbers(&consume(&queue, 6).await.1), [0, 1, 2, 3, 4, 5]);
    assert!(queue.reach().losses() > 0 && queue.reach().state().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_given_up_at_any_point_holds_nothing_back() {
    let rabbit = shared().rabbit().await;
    let queue = connect(rabbit, &namespace()).await;
    publish(&queue, 0).await;
    let mut points = 0;
    loop {
        let lease = lease();
        let mut subscribing = queue.subscribe(&lease, 300);
        let mut left = points;
        // One more point than the last time, where it is dropped.
        let end = poll_fn(|context| match left {
            0 => Poll::Ready(None),
            _ => {
                left -= 1;
                subscribing.as_mut().poll(context).map(Some)
            }
        });
        match end.await {
            Some(subscribed) => break drop(subscribed.expect("a subscription")),
            None => points += 1,
        }
    }
    assert!(points > 2, "it was given up at {points} points only");
    assert_eq!(numbers(&consume(&queue, 1).await.1), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_keeps_what_it_confirmed() {
    let rabbit = Rabbit::start().await;
    let queue = connect(&rabbit, &namespace()).await;
    for number in 0..5 {
        publish(&queue, number).await;
    }
    rabbit.kill(0).await;
    let refused = queue.publish(PARTITION, Publication { message: message(9), again: false, idempotency: None });
    assert!(refused.await.expect_err("nobody is there").is_retriable());
    rabbit.start_node(0).await;
    publish(&queue, 5).await;
    assert_eq!(numbers(&consume(&queue, 6).await.1), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_ends_its_consumer_and_is_declared_again() {
    let rabbit = Rabbit::start().await;
    let namespace = namespace();
    let queue = connect(&rabbit, &namespace).await;
    publish(&queue, 0).await;
    let (subscription, _) = consume(&queue, 1).await;
    rabbit.ctl(0, &["delete_queue", &format!("{namespace}.events.0")]);
    ends(subscription).await;
    publish(&queue, 1).await;
    assert_eq!(numbers(&consume(&queue, 1).await.1), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_under_an_alarm_takes_nothing_and_acknowledgements_go_on() {
    let rabbit = Rabbit::start().await;
    let queue = connect(&rabbit, &namespace()).await;
    for number in 0..3 {
        publish(&queue, number).await;
    }
    let (subscription, taken) = consume(&queue, 3).await;
    rabbit.ctl(0, &["set_vm_memory_high_watermark", "absolute", "1"]);
    let begun = Instant::now();
    // It blocks a connection when something is published on it.
    let refused = queue.publish(PARTITION, Publication { message: message(3), again: false, idempotency: None }).await;
    assert!(refused.expect_err("an alarm").is_retriable());
    assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
    let tags: Vec<_> = taken.iter().map(|taken| taken.tag).collect();
    subscription.acks().ack(&tags).await.expect("acknowledge");
    subscription.close().await.expect("close");
    rabbit.ctl(0, &["set_vm_memory_high_watermark", "0.4"]);
    publish(&queue, 4).await;
    // The refused one may have been taken after all.
    let (_subscription, taken) = consume(&queue, 1).await;
    assert!([vec![3], vec![4]].contains(&numbers(&taken)), "{:?}", numbers(&taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_named() {
    let rabbit = shared().rabbit().await;
    let namespace = namespace();
    let declare = format!(
        "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"{namespace}.events.1\">>), true, false, [], none, \
         <<\"test\">>)."
    );
    rabbit.ctl(0, &["eval", &declare]);
    let refused = RabbitQueue::connect(Options::new(rabbit.url(), &*namespace, 3)).await;
    match refused.err().expect("refused") {
        ConnectError::OtherQueue { queue, .. } => assert_eq!(queue, format!("{namespace}.events.1")),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_the_authority_that_is_named_and_refused_without() {
    let rabbit = Rabbit::start_with(RabbitSetup { tls: true, ..RabbitSetup::default() }).await;
    let trusting =
        Options { ca: rabbit.authority().map(ToOwned::to_owned), ..Options::new(rabbit.url(), namespace(), 3) };
    let queue = RabbitQueue::connect(trusting).await.expect("a queue");
    publish(&queue, 0).await;
    assert_eq!(numbers(&consume(&queue, 1).await.1), [0]);
    let refused = RabbitQueue::connect(Options::new(rabbit.url(), namespace(), 3)).await.err().expect("refused");
    assert!(refused.to_string().contains("SPECTRUM_SERVICES_CA_FILE"), "{refused}");
    assert!(!refused.to_string().contains(rabbit.password()));
}

//! The queue: in order, at least once, nothing forgotten.

use std::time::Duration;

use spectrum_webhook_core::delivery::{Command, Directed, Message, Purpose, Steering};
use spectrum_webhook_core::ids::{PartitionId, WebhookId};
use spectrum_webhook_core::ports::{Lease, Publication, Queue, Subscription, Tag, Taken};

use super::samples::{BODY, PARTITION, lease, message, publication};
use super::{Fixture, QueueWorld, checks};

/// Checks a queue.
pub async fn queue(fixture: &dyn Fixture<QueueWorld>) {
    checks!(fixture;
        messages_come_in_the_order_of_their_publishing,
        a_message_comes_just_as_it_was_published,
        partitions_do_not_mix,
        no_more_than_the_prefetch_is_unacknowledged,
        an_acknowledgement_makes_room,
        a_take_ends_at_its_number_and_at_its_bytes,
        a_waiting_consumer_wakes_for_a_message,
        a_cancelled_wait_loses_nothing,
        what_is_acknowledged_never_comes_again,
        what_a_closed_subscription_left_comes_first_in_order_as_redelivered,
        what_a_dropped_subscription_left_comes_first_in_order_as_redelivered,
        tags_of_an_old_subscription_do_nothing,
        acknowledging_twice_or_out_of_order_is_harmless,
        a_message_published_again_says_so,
        a_second_subscription_gets_nothing_until_the_first_ends,
        concurrent_publishers_lose_nothing_and_keep_their_own_order,
        messages_of_one_call_keep_its_order_beside_other_calls,
        a_working_queue_says_so,
    );
}

async fn publish(queue: &dyn Queue, message: &Message) {
    queue.publish(PARTITION, publication(message)).await.expect("publish");
}

async fn publish_many(queue: &dyn Queue, count: usize) -> Vec<Message> {
    let messages: Vec<Message> = (0..count).map(|n| message(n.to_string().as_bytes())).collect();
    for message in &messages {
        publish(queue, message).await;
    }
    messages
}

async fn subscribe(queue: &dyn Queue, prefetch: usize) -> Box<dyn Subscription> {
    queue.subscribe(&lease(1), prefetch).await.expect("subscribe")
}

/// Takes until there are so many.
async fn take(subscription: &mut dyn Subscription, count: usize) -> Vec<Taken> {
    let mut taken = Vec::new();
    while taken.len() < count {
        subscription.ready().await.expect("ready");
        taken.extend(subscription.take(count - taken.len(), usize::MAX).await.expect("take"));
    }
    taken
}

fn read(taken: &[Taken]) -> Vec<Message> {
    taken.iter().map(|taken| taken.message.clone().expect("readable")).collect()
}

fn tags(taken: &[Taken]) -> Vec<Tag> {
    taken.iter().map(|taken| taken.tag).collect()
}

async fn messages_come_in_the_order_of_their_publishing(world: QueueWorld) {
    let published = publish_many(&*world.queue, 50).await;
    let mut subscription = subscribe(&*world.queue, 100).await;
    let taken = take(&mut *subscription, 50).await;
    assert_eq!(read(&taken), published);
    assert!(taken.is_sorted_by_key(|taken| taken.tag));
    assert!(taken.iter().all(|taken| !taken.redelivered), "taken for the first time");
}

async fn a_message_comes_just_as_it_was_published(world: QueueWorld) {
    let mut full = message(BODY);
    full.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    full.event_type = "!\"#~".repeat(16);
    let every_byte: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let webhook = WebhookId(full.project.0);
    let directed = Purpose::Directed(Directed { webhook, event: message(b"").id });
    let steering =
        Steering { webhook, command: Command::Drop(full.accepted_at), reason: "a \"reason\" – é".to_owned() };
    let published = [
        full,
        message(b""),
        message(&every_byte),
        Message { purpose: directed, ..message(BODY) },
        Message { purpose: Purpose::Steering(Box::new(steering)), ..message(b"") },
    ];
    for message in &published {
        publish(&*world.queue, message).await;
    }
    let mut subscription = subscribe(&*world.queue, 10).await;
    assert_eq!(read(&take(&mut *subscription, 5).await), published);
}

async fn partitions_do_not_mix(world: QueueWorld) {
    let other = message(b"other");
    world.queue.publish(PartitionId(4), publication(&other)).await.expect("publish");
    let mine = publish_many(&*world.queue, 2).await;
    let mut subscription = subscribe(&*world.queue, 10).await;
    let mut elsewhere =
        world.queue.subscribe(&Lease { partition: PartitionId(4), ..lease(1) }, 10).await.expect("subscribe");
    assert_eq!(read(&take(&mut *subscription, 2).await), mine);
    assert_eq!(read(&take(&mut *elsewhere, 1).await), [other]);
}

async fn no_more_than_the_prefetch_is_unacknowledged(world: QueueWorld) {
    let published = publish_many(&*world.queue, 8).await;
    let mut subscription = subscribe(&*world.queue, 5).await;
    assert_eq!(read(&take(&mut *subscription, 5).await), published[..5]);
    assert!(subscription.take(10, usize::MAX).await.expect("take").is_empty());
    let ready = tokio::time::timeout(Duration::from_millis(50), subscription.ready()).await;
    assert!(ready.is_err(), "there is no room");
}

async fn an_acknowledgement_makes_room(world: QueueWorld) {
    let published = publish_many(&*world.queue, 8).await;
    let mut subscription = subscribe(&*world.queue, 5).await;
    let acks = subscription.acks();
    let mut seen = Vec::new();
    while seen.len() < 8 {
        let taken = take(&mut *subscription, 1).await;
        seen.extend(read(&taken));
        acks.ack(&tags(&taken)).await.expect("acknowledge");
    }
    assert_eq!(seen, published);
}

async fn a_take_ends_at_its_number_and_at_its_bytes(world: QueueWorld) {
    for _ in 0..6 {
        publish(&*world.queue, &message(&[b'x'; 100])).await;
    }
    let mut subscription = subscribe(&*world.queue, 10).await;
    subscription.ready().await.expect("ready");
    assert!(subscription.take(2, usize::MAX).await.expect("take").len() <= 2);
    loop {
        subscription.ready().await.expect("ready");
        let taken = subscription.take(10, 150).await.expect("take");
        assert!(taken.len() <= 2, "the second one reached the bytes");
        if !taken.is_empty() {
            break;
        }
    }
}

async fn a_waiting_consumer_wakes_for_a_message(world: QueueWorld) {
    let mut subscription = subscribe(&*world.queue, 10).await;
    let expected = message(b"late");
    let (taken, ()) = tokio::join!(take(&mut *subscription, 1), publish(&*world.queue, &expected));
    assert_eq!(read(&taken), [expected]);
}

async fn a_cancelled_wait_loses_nothing(world: QueueWorld) {
    let mut subscription = subscribe(&*world.queue, 10).await;
    for _ in 0..3 {
        let _ = tokio::time::timeout(Duration::from_millis(5), subscription.ready()).await;
    }
    let published = publish_many(&*world.queue, 3).await;
    assert_eq!(read(&take(&mut *subscription, 3).await), published);
}

async fn what_is_acknowledged_never_comes_again(world: QueueWorld) {
    publish_many(&*world.queue, 4).await;
    let mut subscription = subscribe(&*world.queue, 10).await;
    let taken = take(&mut *subscription, 4).await;
    subscription.acks().ack(&tags(&taken)).await.expect("acknowledge");
    subscription.close().await.expect("close");
    let next = message(b"next");
    publish(&*world.queue, &next).await;
    let taken = take(&mut *subscribe(&*world.queue, 10).await, 1).await;
    assert_eq!(read(&taken), [next]);
    assert!(!taken[0].redelivered);
}

async fn what_a_closed_subscription_left_comes_first_in_order_as_redelivered(world: QueueWorld) {
    let published = publish_many(&*world.queue, 6).await;
    let mut subscription = subscribe(&*world.queue, 10).await;
    let taken = take(&mut *subscription, 4).await;
    // One in the middle is settled, as one of a quick lane is.
    subscription.acks().ack(&[taken[1].tag]).await.expect("acknowledge");
    subscription.close().await.expect("close");
    left_behind(world, &published).await;
}

async fn what_a_dropped_subscription_left_comes_first_in_order_as_redelivered(world: QueueWorld) {
    let published = publish_many(&*world.queue, 6).await;
    let mut subscription = subscribe(&*world.queue, 10).await;
    let taken = take(&mut *subscription, 4).await;
    subscription.acks().ack(&[taken[1].tag]).await.expect("acknowledge");
    drop(subscription);
    left_behind(world, &published).await;
}

/// Four of six were taken, and the second acknowledged. What was published since comes last. It may say that it was sent
/// before: a queue that is led elsewhere hears late of a drop, and of a close that was answered as well.
async fn left_behind(world: QueueWorld, published: &[Message]) {
    let late = message(b"late");
    publish(&*world.queue, &late).await;
    let mut subscription = subscribe(&*world.queue, 10).await;
    let taken = take(&mut *subscription, 6).await;
    let mut expected = published.to_vec();
    expected.remove(1);
    expected.push(late);
    assert_eq!(read(&taken), expected);
    assert!(taken[..3].iter().all(|taken| taken.redelivered), "they were taken before");
}

async fn tags_of_an_old_subscription_do_nothing(world: QueueWorld) {
    let published = publish_many(&*world.queue, 3).await;
    let mut old = subscribe(&*world.queue, 10).await;
    let taken = take(&mut *old, 3).await;
    let acks = old.acks();
    old.close().await.expect("close");
    let mut current = subscribe(&*world.queue, 10).await;
    assert_eq!(read(&take(&mut *current, 3).await), published);
    // Refused or ignored.
    let _ = acks.ack(&tags(&taken)).await;
    current.close().await.expect("close");
    assert_eq!(read(&take(&mut *subscribe(&*world.queue, 10).await, 3).await), published);
}

async fn acknowledging_twice_or_out_of_order_is_harmless(world: QueueWorld) {
    let published = publish_many(&*world.queue, 4).await;
    let mut subscription = subscribe(&*world.queue, 10).await;
    let taken = tags(&take(&mut *subscription, 4).await);
    let acks = subscription.acks();
    acks.ack(&[]).await.expect("none");
    acks.ack(&[taken[2], taken[0]]).await.expect("out of order");
    let _ = acks.ack(&[taken[0]]).await;
    // A queue may answer the second acknowledgement by closing the channel; what counts is what is left.
    drop(subscription);
    let mut subscription = subscribe(&*world.queue, 10).await;
    assert_eq!(read(&take(&mut *subscription, 2).await), [published[1].clone(), published[3].clone()]);
}

async fn a_message_published_again_says_so(world: QueueWorld) {
    let message = message(b"twice");
    publish(&*world.queue, &message).await;
    let again = Publication { again: true, ..publication(&message) };
    world.queue.publish(PARTITION, again).await.expect("publish");
    let taken = take(&mut *subscribe(&*world.queue, 10).await, 2).await;
    assert_eq!(read(&taken), [message.clone(), message]);
    assert_eq!([taken[0].redelivered, taken[1].redelivered], [false, true]);
}

async fn a_second_subscription_gets_nothing_until_the_first_ends(world: QueueWorld) {
    let published = publish_many(&*world.queue, 4).await;
    let mut first = subscribe(&*world.queue, 2).await;
    let taken = take(&mut *first, 2).await;
    let mut second = subscribe(&*world.queue, 10).await;
    assert!(second.take(10, usize::MAX).await.expect("take").is_empty());
    first.acks().ack(&[taken[0].tag]).await.expect("acknowledge");
    let (taken, ()) = tokio::join!(take(&mut *second, 3), async { first.close().await.expect("close") });
    assert_eq!(read(&taken), published[1..]);
    assert!(taken[0].redelivered);
}

async fn concurrent_publishers_lose_nothing_and_keep_their_own_order(world: QueueWorld) {
    const PUBLISHERS: usize = 16;
    const EACH: usize = 10;
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let queue = &world.queue;
        async move {
            for n in 0..EACH {
                publish(&**queue, &message(format!("{publisher} {n}").as_bytes())).await;
            }
        }
    });
    futures::future::join_all(publishers).await;
    let taken = take(&mut *subscribe(&*world.queue, 1_000).await, PUBLISHERS * EACH).await;
    let mut next = [0; PUBLISHERS];
    for message in read(&taken) {
        let text = std::str::from_utf8(&message.body).expect("text");
        let (publisher, n) = text.split_once(' ').expect("two numbers");
        let next = &mut next[publisher.parse::<usize>().expect("a number")];
        assert_eq!(n.parse::<usize>().expect("a number"), *next);
        *next += 1;
    }
    assert_eq!(next, [EACH; PUBLISHERS]);
}

async fn messages_of_one_call_keep_its_order_beside_other_calls(world: QueueWorld) {
    const CALLS: usize = 8;
    const EACH: usize = 40;
    let calls = (0..CALLS).map(|call| {
        let publications = (0..EACH).map(|n| publication(&message(format!("{call} {n}").as_bytes())));
        world.queue.publish_all(PARTITION, publications.collect())
    });
    for outcomes in futures::future::join_all(calls).await {
        assert_eq!(outcomes.len(), EACH);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    assert!(world.queue.publish_all(PARTITION, Vec::new()).await.is_empty());
    let mut subscription = subscribe(&*world.queue, CALLS * EACH).await;
    let bodies: Vec<String> = read(&take(&mut *subscription, CALLS * EACH).await)
        .iter()
        .map(|message| String::from_utf8_lossy(&message.body).into_owned())
        .collect();
    for call in 0..CALLS {
        let start = format!("{call} ");
        let own: Vec<&String> = bodies.iter().filter(|body| body.starts_with(&start)).collect();
        let expected: Vec<String> = (0..EACH).map(|n| format!("{call} {n}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}

async fn a_working_queue_says_so(world: QueueWorld) {
    world.queue.check().await.expect("it works");
}

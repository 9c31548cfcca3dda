//! The sequence lock: one owner, and epochs that only grow.

use spectrum_webhook_core::delivery::{DeliveryKey, Message};
use spectrum_webhook_core::ids::{Epoch, PartitionId, WebhookId};
use spectrum_webhook_core::ports::{Lease, Mark, PortError};
use uuid::Uuid;

use super::samples::{PARTITION, key, message, owner, publication};
use super::{Fixture, LockWorld, checks};

/// Checks a sequence lock.
pub async fn sequence_lock(fixture: &dyn Fixture<LockWorld>) {
    checks!(fixture;
        one_owner_holds_a_partition_until_it_gives_it_back,
        partitions_are_held_one_by_one,
        an_epoch_is_above_the_floor_and_all_before_it_by_a_step,
        an_old_lease_neither_renews_nor_releases_a_newer_one,
        marks_are_found_again_by_the_next_owner,
        only_what_was_marked_is_found,
        an_old_lease_marks_and_finds_nothing,
        a_heartbeat_counts_its_own_process,
    );
}

async fn acquire(world: &LockWorld, floor: i64) -> Lease {
    world.lock.acquire(PARTITION, owner(), Epoch(floor)).await.expect("acquire").expect("free")
}

async fn published(world: &LockWorld) -> Message {
    let message = message(b"{}");
    world.queue.publish(PARTITION, publication(&message)).await.expect("publish");
    message
}

fn webhook() -> WebhookId {
    WebhookId(Uuid::now_v7())
}

fn mark(key: DeliveryKey) -> Mark {
    Mark { key, last: false }
}

fn is_fenced<T>(result: Result<T, PortError>) -> bool {
    matches!(result, Err(PortError::Fenced { .. }))
}

async fn one_owner_holds_a_partition_until_it_gives_it_back(world: LockWorld) {
    let lease = acquire(&world, 0).await;
    assert_eq!(lease.partition, PARTITION);
    assert!(world.lock.renew(&lease).await.expect("renew"));
    let other = owner();
    assert_eq!(world.lock.acquire(PARTITION, other, Epoch(0)).await.expect("acquire"), None);
    assert!(world.lock.renew(&lease).await.expect("renew"), "the attempt of another one changed nothing");
    world.lock.release(&lease).await.expect("release");
    assert!(!world.lock.renew(&lease).await.expect("renew"));
    let next = world.lock.acquire(PARTITION, other, Epoch(0)).await.expect("acquire").expect("free");
    assert_eq!(next.owner, other);
}

async fn partitions_are_held_one_by_one(world: LockWorld) {
    let lease = acquire(&world, 0).await;
    let other = world.lock.acquire(PartitionId(9), owner(), Epoch(0)).await.expect("acquire").expect("free");
    world.lock.release(&other).await.expect("release");
    assert!(world.lock.renew(&lease).await.expect("renew"));
}

async fn an_epoch_is_above_the_floor_and_all_before_it_by_a_step(world: LockWorld) {
    let mut last = 0;
    // A floor above all, and then one of a store that knows less than the lock.
    for floor in [0, 0, 7_000_000_000_000_000, 5, 0] {
        let lease = acquire(&world, floor).await;
        assert!(lease.epoch.0 >= floor + Epoch::STEP, "{} is not above the floor {floor}", lease.epoch);
        assert!(lease.epoch.0 >= last + Epoch::STEP, "{} is not above {last}", lease.epoch);
        assert!(lease.epoch.0 < 1 << 53);
        last = lease.epoch.0;
        world.lock.release(&lease).await.expect("release");
    }
}

async fn an_old_lease_neither_renews_nor_releases_a_newer_one(world: LockWorld) {
    let old = acquire(&world, 0).await;
    world.lock.release(&old).await.expect("release");
    let current = world.lock.acquire(PARTITION, old.owner, Epoch(0)).await.expect("acquire").expect("free");
    assert!(!world.lock.renew(&old).await.expect("renew"));
    world.lock.release(&old).await.expect("release");
    assert!(world.lock.renew(&current).await.expect("renew"), "owner and epoch count, not the owner alone");
}

async fn marks_are_found_again_by_the_next_owner(world: LockWorld) {
    let (event, webhook) = (published(&world).await, webhook());
    let lease = acquire(&world, 0).await;
    let key = key(&event, webhook);
    world.lock.settle(&lease, &[mark(key)]).await.expect("settle");
    world.lock.settle(&lease, &[mark(key)]).await.expect("settle again");
    assert_eq!(world.lock.look_up(&lease, &[key]).await.expect("look up"), [key]);
    world.lock.release(&lease).await.expect("release");
    let next = acquire(&world, lease.epoch.0).await;
    assert_eq!(world.lock.look_up(&next, &[key]).await.expect("look up"), [key]);
}

async fn only_what_was_marked_is_found(world: LockWorld) {
    let (first, second) = (published(&world).await, published(&world).await);
    let (one, two) = (webhook(), webhook());
    let lease = acquire(&world, 0).await;
    world.lock.settle(&lease, &[mark(key(&first, one)), mark(key(&second, two))]).await.expect("settle");
    let asked = [key(&first, one), key(&first, two), key(&second, one), key(&second, two), key(&message(b""), one)];
    let found = world.lock.look_up(&lease, &asked).await.expect("look up");
    assert_eq!(found, [key(&first, one), key(&second, two)]);
    assert!(world.lock.look_up(&lease, &[]).await.expect("look up").is_empty());
}

async fn an_old_lease_marks_and_finds_nothing(world: LockWorld) {
    let key = key(&published(&world).await, webhook());
    let old = acquire(&world, 0).await;
    world.lock.release(&old).await.expect("release");
    let current = acquire(&world, 0).await;
    assert!(is_fenced(world.lock.settle(&old, &[mark(key)]).await));
    assert!(is_fenced(world.lock.look_up(&old, &[key]).await));
    assert!(world.lock.look_up(&current, &[key]).await.expect("look up").is_empty());
}

async fn a_heartbeat_counts_its_own_process(world: LockWorld) {
    let owner = owner();
    assert_eq!(world.lock.heartbeat(owner).await.expect("heartbeat"), 1);
    assert_eq!(world.lock.heartbeat(owner).await.expect("heartbeat"), 1);
    world.lock.leave(owner).await.expect("leave");
}

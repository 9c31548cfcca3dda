//! Announcements: whoever changes a webhook learns that its owner knows.

use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::ids::{Epoch, PartitionId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::Lease;

use super::samples::{PARTITION, owner, project};
use super::{AnnouncementsWorld, Fixture, checks};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);
/// Long enough to see that nothing comes.
const SHORT: Duration = Duration::from_millis(50);

/// Checks announcements.
pub async fn announcements(fixture: &dyn Fixture<AnnouncementsWorld>) {
    checks!(fixture;
        nobody_has_to_confirm_for_a_partition_without_owner,
        a_change_is_confirmed_only_after_its_owner_did,
        a_newer_version_confirms_an_older_one_and_not_the_other_way_round,
        an_owner_that_leaves_needs_not_confirm,
        what_an_owner_did_not_confirm_is_confirmed_by_the_next_one,
        news_come_once_and_with_the_newest_version,
        news_wake_the_owner_of_the_partition_alone,
        a_change_that_did_not_take_place_harms_nothing,
    );
}

async fn acquire(world: &AnnouncementsWorld) -> Lease {
    world.lock.acquire(PARTITION, owner(), Epoch(0)).await.expect("acquire").expect("free")
}

async fn change(world: &AnnouncementsWorld, project: ProjectId, version: i64) {
    world.announcements.begin_change(PARTITION, project).await.expect("begin");
    world.announcements.end_change(PARTITION, project, RegistryVersion(version)).await.expect("end");
}

async fn is_confirmed(world: &AnnouncementsWorld, project: ProjectId, version: i64, patience: Duration) -> bool {
    let confirmed = world.announcements.confirmed(PARTITION, project, RegistryVersion(version), patience).await;
    confirmed.expect("wait for the owner")
}

/// The next news of the owner.
async fn news(world: &AnnouncementsWorld, lease: &Lease) -> Vec<(ProjectId, RegistryVersion)> {
    loop {
        world.announcements.news(lease).await.expect("news");
        let changed = world.announcements.changed(lease).await.expect("changed");
        if !changed.is_empty() {
            return changed;
        }
    }
}

async fn nobody_has_to_confirm_for_a_partition_without_owner(world: AnnouncementsWorld) {
    let project = project();
    change(&world, project, 1).await;
    assert!(is_confirmed(&world, project, 1, LONG).await);
}

async fn a_change_is_confirmed_only_after_its_owner_did(world: AnnouncementsWorld) {
    let (lease, project) = (acquire(&world).await, project());
    change(&world, project, 5).await;
    assert!(!is_confirmed(&world, project, 5, SHORT).await);
    assert_eq!(news(&world, &lease).await, [(project, RegistryVersion(5))]);
    assert!(!is_confirmed(&world, project, 5, SHORT).await, "to know is not to confirm");
    let confirm = world.announcements.confirm(&lease, project, RegistryVersion(5));
    let (confirmed, done) = tokio::join!(is_confirmed(&world, project, 5, LONG), confirm);
    done.expect("confirm");
    assert!(confirmed);
    assert!(is_confirmed(&world, project, 5, SHORT).await, "also for whoever asks later");
}

async fn a_newer_version_confirms_an_older_one_and_not_the_other_way_round(world: AnnouncementsWorld) {
    let (lease, project) = (acquire(&world).await, project());
    change(&world, project, 5).await;
    change(&world, project, 6).await;
    world.announcements.confirm(&lease, project, RegistryVersion(5)).await.expect("confirm");
    assert!(!is_confirmed(&world, project, 6, SHORT).await);
    world.announcements.confirm(&lease, project, RegistryVersion(7)).await.expect("confirm");
    assert!(is_confirmed(&world, project, 6, LONG).await);
}

async fn an_owner_that_leaves_needs_not_confirm(world: AnnouncementsWorld) {
    let (lease, project) = (acquire(&world).await, project());
    change(&world, project, 1).await;
    let (confirmed, released) = tokio::join!(is_confirmed(&world, project, 1, LONG), world.lock.release(&lease));
    released.expect("release");
    assert!(confirmed);
}

async fn what_an_owner_did_not_confirm_is_confirmed_by_the_next_one(world: AnnouncementsWorld) {
    let (old, project) = (acquire(&world).await, project());
    change(&world, project, 3).await;
    assert_eq!(news(&world, &old).await, [(project, RegistryVersion(3))]);
    world.lock.release(&old).await.expect("release");
    let current = acquire(&world).await;
    assert!(world.announcements.confirm(&old, project, RegistryVersion(3)).await.is_err() || old.epoch < current.epoch);
    let owner = async {
        loop {
            for (project, version) in news(&world, &current).await {
                world.announcements.confirm(&current, project, version).await.expect("confirm");
            }
        }
    };
    tokio::select! {
        confirmed = is_confirmed(&world, project, 3, LONG) => assert!(confirmed),
        () = owner => {}
    }
}

async fn news_come_once_and_with_the_newest_version(world: AnnouncementsWorld) {
    let (lease, one, two) = (acquire(&world).await, project(), project());
    change(&world, one, 1).await;
    change(&world, two, 8).await;
    change(&world, one, 2).await;
    let mut seen = Vec::new();
    // They may come in parts, where they travel.
    while !(seen.contains(&(one, RegistryVersion(2))) && seen.contains(&(two, RegistryVersion(8)))) {
        seen.extend(news(&world, &lease).await);
    }
    assert!(world.announcements.changed(&lease).await.expect("changed").is_empty());
}

async fn news_wake_the_owner_of_the_partition_alone(world: AnnouncementsWorld) {
    let (lease, project) = (acquire(&world).await, project());
    let elsewhere = world.lock.acquire(PartitionId(9), owner(), Epoch(0)).await.expect("acquire").expect("free");
    let world = Arc::new(world);
    let (changed, ()) = tokio::join!(news(&world, &lease), change(&world, project, 1));
    assert_eq!(changed, [(project, RegistryVersion(1))]);
    assert!(world.announcements.changed(&elsewhere).await.expect("changed").is_empty());
}

async fn a_change_that_did_not_take_place_harms_nothing(world: AnnouncementsWorld) {
    let (lease, project) = (acquire(&world).await, project());
    change(&world, project, 4).await;
    news(&world, &lease).await;
    world.announcements.confirm(&lease, project, RegistryVersion(4)).await.expect("confirm");
    // The same version again: the change was not committed.
    change(&world, project, 4).await;
    assert!(is_confirmed(&world, project, 4, LONG).await);
}

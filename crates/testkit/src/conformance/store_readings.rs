//! Reading a backlog by spaces, and event by event.

use std::collections::BTreeSet;

use spectrum_webhook_core::attempt::Failure;
use spectrum_webhook_core::delivery::{HeldDelivery, LastAttempt};
use spectrum_webhook_core::ordering::{OrderKey, Ordering, Reading, Space};
use spectrum_webhook_core::ports::Change;

use super::samples::{NOW, held, key};
use super::store::Scene;
use super::{Fixture, StoreWorld};

pub(super) async fn checks(fixture: &dyn Fixture<StoreWorld>) {
    super::checks!(fixture;
        a_few_rows_of_each_space_are_read_in_the_order_of_spaces,
        a_read_by_spaces_ends_at_its_rows_and_bytes_and_says_where,
        single_events_are_read_behind_a_place_and_without_those_left_out,
        a_row_keeps_its_space_when_it_is_set_aside_and_returns,
        one_message_of_the_backlog_is_read_by_its_key,
    );
}

/// Holds a row for each, by space and number; bodies are 1,000 bytes.
async fn hold(scene: &Scene, rows: &[(i64, i64)]) {
    let webhook = scene.webhooks[0];
    let change = |(space, sequence): &(i64, i64)| {
        let delivery = HeldDelivery { space: Space(*space), ..held(*sequence, &scene.message(&[b'x'; 1_000])) };
        Change::Hold { webhook, delivery: Box::new(delivery) }
    };
    scene.commit(&rows.iter().map(change).collect::<Vec<_>>()).await;
}

/// What is read: space and number of each row, and whether there is more.
async fn read(scene: &Scene, reading: &Reading, bytes: usize) -> (Vec<(i64, i64)>, bool) {
    let read = scene.world.store.read_backlog(scene.webhooks[0], reading, bytes).await.expect("read");
    (read.deliveries.iter().map(|row| (row.space.0, row.sequence.0)).collect(), read.more)
}

fn by(ordering: Ordering, range: (Option<i64>, Option<i64>), except: &[i64], rows: u32) -> Reading {
    let except: BTreeSet<OrderKey> = except.iter().copied().map(OrderKey).collect();
    Reading { ordering, after: range.0.map(OrderKey), up_to: range.1.map(OrderKey), except, rows }
}

async fn a_few_rows_of_each_space_are_read_in_the_order_of_spaces(world: StoreWorld) {
    let scene = Scene::new(world, 2).await;
    let many: Vec<(i64, i64)> = (1..=30).map(|sequence| (i64::MAX, sequence)).collect();
    hold(&scene, &many).await;
    hold(&scene, &[(0, 40), (5, 42), (5, 41), (9, 39)]).await;
    let spaces = |range, except: &[i64]| by(Ordering::Space, range, except, 64);
    let first: Vec<(i64, i64)> = (1..=i64::from(Reading::OF_A_SPACE)).map(|sequence| (i64::MAX, sequence)).collect();
    let all: Vec<(i64, i64)> = [(0, 40), (5, 41), (5, 42), (9, 39)].into_iter().chain(first.clone()).collect();
    assert_eq!(read(&scene, &spaces((None, None), &[]), usize::MAX).await, (all, false));
    assert_eq!(read(&scene, &spaces((Some(5), Some(9)), &[]), usize::MAX).await, (vec![(9, 39)], false));
    assert_eq!(read(&scene, &spaces((Some(9), None), &[]), usize::MAX).await, (first, false));
    let left = vec![(0, 40), (9, 39)];
    assert_eq!(read(&scene, &spaces((None, None), &[5, i64::MAX]), usize::MAX).await, (left, false));
    assert_eq!(read(&scene, &spaces((None, Some(0)), &[0]), usize::MAX).await, (Vec::new(), false));
}

async fn a_read_by_spaces_ends_at_its_rows_and_bytes_and_says_where(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    hold(&scene, &[(1, 1), (1, 2), (1, 3), (2, 4), (3, 5)]).await;
    let whole = [(1, 1), (1, 2), (1, 3), (2, 4), (3, 5)];
    for (rows, bytes, expected, more) in [
        (5, usize::MAX, 5, false),
        (4, usize::MAX, 4, true),
        (3, usize::MAX, 3, true),
        (2, usize::MAX, 2, true),
        (9, 1, 1, true),
        (9, 2_500, 3, true),
        (9, 4_500, 5, false),
    ] {
        let found = read(&scene, &by(Ordering::Space, (None, None), &[], rows), bytes).await;
        assert_eq!(found, (whole[..expected].to_vec(), more), "{rows} rows, {bytes} bytes");
    }
    // Cut within the last space that there is.
    let found = read(&scene, &by(Ordering::Space, (None, Some(1)), &[], 9), 1_500).await;
    assert_eq!(found, (whole[..2].to_vec(), true));
}

async fn single_events_are_read_behind_a_place_and_without_those_left_out(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    hold(&scene, &[(7, 30), (7, 10), (8, 20), (0, 40)]).await;
    let single = |range, except: &[i64], rows| by(Ordering::None, range, except, rows);
    let all = vec![(7, 10), (8, 20), (7, 30), (0, 40)];
    assert_eq!(read(&scene, &single((None, None), &[], 9), usize::MAX).await, (all.clone(), false));
    assert_eq!(read(&scene, &single((Some(10), None), &[30, 99], 1), usize::MAX).await, (vec![(8, 20)], true));
    assert_eq!(read(&scene, &single((Some(20), None), &[30], 1), usize::MAX).await, (vec![(0, 40)], false));
    assert_eq!(read(&scene, &single((None, Some(20)), &[], 9), usize::MAX).await, (all[..2].to_vec(), false));
}

async fn a_row_keeps_its_space_when_it_is_set_aside_and_returns(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let webhook = scene.webhooks[0];
    let message = scene.message(b"{}");
    let delivery = HeldDelivery { space: Space(77), ..held(3, &message) };
    scene.commit(&[Change::Hold { webhook, delivery: Box::new(delivery) }]).await;
    let last = LastAttempt::Failed(Failure::Timeout);
    scene.commit(&[Change::SetAside { key: key(&message, webhook), attempts: 6, last, at: NOW }]).await;
    scene.commit(&[Change::Return { webhook }]).await;
    let found = read(&scene, &by(Ordering::Space, (Some(76), Some(77)), &[], 9), usize::MAX).await;
    assert_eq!(found, (vec![(77, 3)], false));
}

async fn one_message_of_the_backlog_is_read_by_its_key(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[1, 2, 3]).await;
    let of = |message| scene.world.store.read_message(key(message, scene.webhooks[0]));
    assert_eq!(of(&held[1]).await.expect("read").as_ref(), Some(&held[1]));
    scene.commit(&[Change::Remove { key: key(&held[1], scene.webhooks[0]) }]).await;
    assert_eq!(of(&held[1]).await.expect("read"), None);
}

//! Disabled, enabled again, deleted, expired.

use super::bench::{Bench, message};
use crate::delivery::{DeadReason, HeldDelivery};
use crate::ids::Sequence;
use crate::lane::{Attempted, Health, Input, LaneSettings, Status};
use crate::ordering::Space;
use crate::time::Millis;
use crate::webhook::DisabledReason;

const DAY: u64 = 24 * 3_600_000;

#[test]
fn a_disabled_webhook_holds_its_events_and_tries_none() {
    let mut bench = Bench::with(LaneSettings::default(), Status::Disabled);
    bench.deliver(3);
    bench.pass(2_000);
    bench.settle_down();
    assert_eq!((bench.backlog(), bench.settled.len()), (vec![1, 2, 3], 3));
    assert!(bench.tried.is_empty());
}

#[test]
fn enabling_it_again_delivers_in_order() {
    let mut bench = Bench::with(LaneSettings::default(), Status::Disabled);
    bench.deliver(2);
    bench.pass(2_000);
    bench.settle_down();
    bench.deliver(1);
    bench.change(Status::Enabled);
    bench.deliver(1);
    bench.flow();
    assert_eq!((bench.tried, bench.delivered), (vec![1, 2, 3, 4], 4));
    assert!(bench.lane.is_idle());
}

#[test]
fn disabling_lets_the_attempt_in_flight_end_and_starts_no_other() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.change(Status::Disabled);
    assert_eq!(bench.open().event, 1);
    bench.answers(500);
    bench.pass(100_000);
    bench.settle_down();
    assert_eq!((bench.tried.as_slice(), bench.backlog()), ([1].as_slice(), vec![1, 2]));
    bench.change(Status::Enabled);
    bench.settle_down();
    assert_eq!((bench.open().event, bench.open().number), (1, 2), "its failed attempt is remembered");
    bench.flow();
    assert_eq!(bench.tried, [1, 1, 2]);
}

#[test]
fn enabling_ends_an_outage_and_what_was_thought_of_it() {
    let mut bench = Bench::new();
    bench.deliver(1);
    bench.exhaust(500);
    assert_eq!(bench.health(), Health::Outage);
    bench.change(Status::Disabled);
    bench.change(Status::Enabled);
    bench.settle_down();
    assert_eq!((bench.health(), bench.open().event, bench.store.record), (Health::Flowing, 1, None));
    bench.flow();
    assert!(bench.lane.is_idle());
}

#[test]
fn news_from_before_a_disabling_write_does_not_undo_it() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.answers(410);
    assert!(bench.lane.is_disabling());
    bench.change(Status::Enabled);
    bench.settle_down();
    assert_eq!(bench.lane.status(), Status::Disabled);
    assert!(!bench.lane.is_disabling());
    bench.change(Status::Enabled);
    bench.flow();
    assert_eq!(bench.tried, [1, 2], "what is read after it counts");
}

#[test]
fn what_was_said_before_a_person_changed_the_webhook_does_not_disable_it() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.store.changed = bench.now.wall;
    bench.answers(410);
    bench.settle_down();
    assert_eq!((bench.store.disabled, bench.dead_letters()), (None, vec![1]));
    bench.change(Status::Enabled);
    bench.settle_down();
    assert_eq!(bench.open().event, 2, "what is read after it counts");
    bench.answers(410);
    bench.settle_down();
    assert_eq!(bench.store.disabled, Some(DisabledReason::Gone), "and so does what is said then");
}

#[test]
fn a_deleted_webhook_drops_all_it_has_in_memory() {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.change(Status::Deleted);
    assert_eq!((bench.dropped, bench.settled.as_slice()), (2, [2, 3].as_slice()));
    bench.answers(503);
    bench.settle_down();
    assert_eq!((bench.dropped, bench.delivered), (3, 0));
    assert_eq!(bench.settled, [2, 3, 1]);
    assert!(bench.lane.is_idle());
}

#[test]
fn a_webhook_deleted_while_a_write_is_in_flight_drops_the_rest_after_it() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.pass(2_000);
    bench.deliver(2);
    bench.change(Status::Deleted);
    assert_eq!(bench.dropped, 0);
    bench.commit();
    assert_eq!((bench.dropped, bench.settled.as_slice()), (2, [1, 2, 3, 4].as_slice()));
    bench.answers(500);
    bench.settle_down();
    assert_eq!((bench.dropped, bench.backlog()), (4, vec![]));
    assert!(bench.lane.is_idle());
}

#[test]
fn an_attempt_in_flight_when_its_webhook_is_deleted_may_still_deliver() {
    let mut bench = Bench::new();
    bench.deliver(1);
    bench.change(Status::Deleted);
    bench.answers(200);
    bench.settle_down();
    assert_eq!((bench.dropped, bench.delivered, bench.settled.len()), (0, 1, 1));
    assert!(bench.lane.is_idle());
}

#[test]
fn a_deleted_webhook_drops_its_rows_in_steps_and_counts_them() {
    let mut bench = Bench::new();
    bench.deliver(1_203);
    bench.step(Input::Relieve);
    bench.settle_down();
    bench.change(Status::Deleted);
    assert!(bench.writes.is_empty(), "not while an attempt is in flight");
    bench.answers(500);
    let mut steps = 0;
    while !bench.writes.is_empty() {
        bench.commit();
        steps += 1;
    }
    assert_eq!((steps, bench.dropped), (3, 1_203));
    assert!(bench.store.backlog.is_empty() && bench.lane.is_idle());
}

#[test]
fn a_deleted_webhook_drops_what_was_set_aside() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.exhaust(500);
    bench.change(Status::Deleted);
    bench.ends(Attempted::NotStarted);
    bench.settle_down();
    assert_eq!((bench.dropped, bench.set_aside(), bench.store.record), (2, vec![], None));
    assert!(bench.lane.is_idle());
}

#[test]
fn a_new_owner_drops_what_the_last_one_left_of_a_deleted_webhook() {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.step(Input::Relieve);
    bench.settle_down();
    bench.restart(Status::Deleted);
    bench.settle_down();
    assert_eq!((bench.dropped, bench.backlog()), (3, vec![]));
    assert!(bench.lane.is_idle());
}

#[test]
fn old_events_of_a_disabled_webhook_become_dead_letters() {
    let mut bench = Bench::with(LaneSettings::default(), Status::Disabled);
    bench.deliver(2);
    bench.pass(10 * DAY);
    bench.settle_down();
    bench.deliver(1);
    for _ in 0..20 {
        bench.pass(DAY);
        bench.settle_down();
    }
    assert_eq!(bench.dead_letters(), Vec::<u64>::new());
    for _ in 0..50 {
        bench.pass(3_600_000);
        bench.settle_down();
    }
    assert_eq!((bench.dead_letters(), bench.backlog(), bench.dead), (vec![1, 2], vec![3], 2));
    assert!(bench.store.dead.values().all(|(reason, _)| *reason == DeadReason::Expired));
}

#[test]
fn many_old_events_expire_in_steps() {
    let mut bench = Bench::with(LaneSettings::default(), Status::Disabled);
    for number in 1..=1_203_u64 {
        let sequence = Sequence(number.cast_signed());
        let held =
            HeldDelivery { sequence, attempts: 0, sent: false, space: Space(0), message: message(number, Millis(0)) };
        bench.store.backlog.insert(sequence, held);
    }
    bench.restart(Status::Disabled);
    let mut steps = 0;
    while !bench.writes.is_empty() {
        bench.commit();
        steps += 1;
    }
    assert_eq!((steps, bench.dead), (3, 1_203));
}

#[test]
fn what_was_set_aside_grows_old_too() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.exhaust(500);
    bench.change(Status::Disabled);
    bench.answers(404);
    bench.settle_down();
    assert_eq!((bench.set_aside(), bench.backlog()), (vec![1], vec![]));
    for _ in 0..31 {
        bench.pass(DAY);
        bench.settle_down();
    }
    assert_eq!((bench.dead_letters(), bench.set_aside()), (vec![1, 2], vec![]));
    bench.change(Status::Enabled);
    bench.settle_down();
    bench.deliver(1);
    bench.flow();
    assert_eq!((bench.delivered, bench.health()), (1, Health::Flowing));
    assert!(bench.lane.is_idle());
}

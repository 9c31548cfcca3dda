//! One at a time, in order.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, message};
use crate::attempt::{Ended, Failure};
use crate::ids::Sequence;
use crate::lane::{Arrival, AttemptId, Attempted, Class, Input, LaneSettings, Status, Ticket};
use crate::retry::{Policy, Schedule};

#[test]
fn events_are_tried_one_at_a_time_and_in_order() {
    let mut bench = Bench::new();
    bench.deliver(3);
    assert_eq!(bench.tried, [1]);
    bench.answers(200);
    assert_eq!((bench.tried.as_slice(), bench.settled.as_slice()), ([1, 2].as_slice(), [1].as_slice()));
    bench.answers(204);
    bench.answers(200);
    assert_eq!((bench.tried, bench.settled), (vec![1, 2, 3], vec![1, 2, 3]));
    assert!(bench.lane.is_idle());
    assert!(bench.writes.is_empty(), "a healthy lane needs no store");
}

#[test]
fn a_failed_attempt_is_repeated_after_the_schedules_waits() {
    let mut bench = Bench::with(LaneSettings { hold_after: u64::MAX / 2, ..LaneSettings::default() }, Status::Enabled);
    bench.deliver(2);
    let mut waits = Vec::new();
    for number in 1..=5 {
        assert_eq!((bench.open().event, bench.open().number), (1, number));
        bench.answers(500);
        assert!(bench.attempts.is_empty());
        waits.push(bench.pass_until_woken());
    }
    assert_eq!(waits, [200, 1_000, 5_000, 10_000, 10_000]);
    assert_eq!(bench.open().class, Class::Failing);
    bench.answers(200);
    assert_eq!((bench.open().event, bench.open().class), (2, Class::Healthy));
    assert_eq!(bench.settled, [1]);
}

#[test]
fn the_endpoints_wish_lengthens_the_wait_up_to_the_cap() {
    let mut bench = Bench::with(LaneSettings { hold_after: u64::MAX / 2, ..LaneSettings::default() }, Status::Enabled);
    bench.deliver(1);
    for (wish, expected) in [(3_000, 3_000), (100, 1_000), (3_600_000, 10_000)] {
        bench.ends(Attempted::Ended(Ended::Answered { status: 429, retry_after: Some(wish) }));
        assert_eq!(bench.pass_until_woken(), expected);
    }
}

#[test]
fn the_next_event_starts_only_when_the_one_before_is_settled() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.answers(400);
    assert!(bench.attempts.is_empty(), "the dead letter is not committed");
    assert!(bench.settled.is_empty());
    bench.pass(60_000);
    assert!(bench.attempts.is_empty());
    bench.commit();
    assert_eq!(bench.settled, [1]);
    assert_eq!((bench.dead_letters(), bench.dead), (vec![1], 1));
    bench.settle_down();
    assert_eq!(bench.open().event, 2);
}

#[test]
fn the_end_of_an_older_attempt_is_not_taken_for_the_open_one() {
    let mut bench = Bench::new();
    bench.deliver(1);
    let old = bench.open().attempt;
    bench.answers(500);
    bench.pass_until_woken();
    let delivered = Attempted::Ended(Ended::Answered { status: 200, retry_after: None });
    bench.step(Input::Attempted { attempt: old, result: delivered });
    bench.step(Input::Attempted { attempt: AttemptId(u64::MAX), result: delivered });
    assert!(bench.settled.is_empty());
    assert_eq!(bench.open().number, 2);
}

#[test]
fn replies_with_unknown_tickets_change_nothing() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.answers(404);
    bench.step(Input::Written { ticket: Ticket(u64::MAX), buried: 9, dropped: 9, more: true });
    bench.step(Input::Rows { ticket: Ticket(u64::MAX), rows: Vec::new(), more: false });
    assert!(bench.attempts.is_empty() && bench.settled.is_empty());
    assert_eq!((bench.dead, bench.dropped), (0, 0));
}

#[test]
fn an_attempt_that_did_not_take_place_does_not_count() {
    let mut bench = Bench::new();
    bench.deliver(1);
    for _ in 0..20 {
        bench.ends(Attempted::NotStarted);
        bench.pass(1_000);
        bench.settle_down();
        assert_eq!(bench.open().number, 1);
    }
    bench.answers(200);
    bench.settle_down();
    assert_eq!(bench.settled, [1]);
    assert!(bench.lane.is_idle());
}

#[test]
fn a_single_attempt_can_be_all_that_an_event_has() {
    let retry = Schedule::new(&Policy { attempts: 1, initial: Duration::from_secs(1), ..Policy::default() });
    let mut bench = Bench::with(LaneSettings { attempts: 1, retry, ..LaneSettings::default() }, Status::Enabled);
    bench.deliver(2);
    bench.answers(500);
    bench.settle_down();
    assert_eq!((bench.set_aside(), bench.open().event), (vec![1], 2));
    bench.answers(200);
    bench.settle_down();
    assert_eq!(bench.dead_letters(), [1]);
}

#[test]
fn only_a_lane_with_nothing_to_remember_is_idle() {
    let mut bench = Bench::new();
    assert!(bench.lane.is_idle());
    bench.deliver(1);
    assert!(!bench.lane.is_idle(), "an attempt is open");
    bench.fails(Failure::Connect);
    assert!(!bench.lane.is_idle(), "it waits for its next attempt");
    bench.pass(2_000);
    assert!(!bench.lane.is_idle(), "a hold is in flight");
    bench.settle_down();
    bench.answers(200);
    assert!(!bench.lane.is_idle(), "its row is being removed");
    bench.settle_down();
    assert!(bench.lane.is_idle());
    bench.step(Input::Deliver(Arrival { sequence: Sequence(99), message: Arc::new(message(99, bench.now.wall)) }));
    assert_eq!(bench.lane.unsettled(), 1);
}

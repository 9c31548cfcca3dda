//! The backlog: when it is written, and when it is read.

use std::sync::Arc;

use super::bench::{Bench, message};
use crate::attempt::Failure;
use crate::ids::Sequence;
use crate::lane::{Arrival, Input, LaneSettings, Status};
use crate::ports::Change;

fn holds(changes: &[Change]) -> usize {
    changes.iter().filter(|change| matches!(change, Change::Hold { .. })).count()
}

#[test]
fn all_in_memory_is_held_when_the_oldest_has_waited_two_seconds() {
    let mut bench = Bench::new();
    bench.deliver(1);
    bench.answers(500);
    bench.pass(1_000);
    bench.deliver(2);
    assert_eq!(bench.open().number, 2);
    bench.answers(500);
    bench.pass(999);
    assert!(bench.writes.is_empty());
    bench.pass(1);
    assert_eq!(holds(&bench.writes[0].1), 3, "the waiting one and the tail");
    assert!(bench.settled.is_empty());
    bench.commit();
    assert_eq!(bench.settled, [1, 2, 3]);
    assert_eq!((bench.backlog(), bench.lane.unsettled()), (vec![1, 2, 3], 0));
}

#[test]
fn what_is_in_an_attempt_is_held_too() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.pass(2_000);
    bench.commit();
    assert_eq!((bench.settled.as_slice(), bench.backlog()), ([1, 2].as_slice(), vec![1, 2]));
    assert_eq!(bench.open().event, 1, "its attempt goes on");
    bench.flow();
    assert_eq!((bench.tried.as_slice(), bench.backlog()), ([1, 2].as_slice(), vec![]));
    assert_eq!(bench.delivered, 2);
}

#[test]
fn an_end_that_comes_while_a_hold_is_in_flight_waits_for_it() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.pass(2_000);
    bench.answers(200);
    assert_eq!(bench.delivered, 0, "its row may be committed after its removal");
    bench.commit();
    assert_eq!(bench.delivered, 1);
    assert!(matches!(bench.writes[0].1[..], [Change::Remove { .. }]));
    bench.flow();
    assert_eq!((bench.tried.as_slice(), bench.backlog()), ([1, 2].as_slice(), vec![]));
}

#[test]
fn newer_events_wait_in_memory_behind_the_backlog() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.answers(500);
    bench.pass(2_000);
    bench.settle_down();
    bench.deliver(2);
    assert_eq!((bench.backlog(), bench.lane.unsettled()), (vec![1, 2], 2));
    bench.flow();
    assert_eq!(bench.settled, [1, 2, 3, 4]);
    assert_eq!(bench.tried, [1, 1, 2, 3, 4]);
    assert!(bench.lane.is_idle());
}

#[test]
fn a_later_hold_takes_what_came_since() {
    let mut bench = Bench::new();
    bench.deliver(1);
    bench.pass(2_000);
    bench.settle_down();
    bench.deliver(2);
    bench.pass(2_000);
    assert_eq!(holds(&bench.writes[0].1), 2);
    bench.settle_down();
    assert_eq!(bench.backlog(), [1, 2, 3]);
    bench.flow();
    assert_eq!(bench.tried, [1, 2, 3]);
}

#[test]
fn scarce_memory_holds_at_once() {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.step(Input::Relieve);
    assert_eq!(holds(&bench.writes[0].1), 3);
    bench.settle_down();
    assert_eq!(bench.lane.unsettled(), 0);
    bench.step(Input::Relieve);
    assert!(bench.writes.is_empty(), "nothing is left to hold");
    bench.flow();
    assert_eq!(bench.tried, [1, 2, 3]);
}

/// A lane that reads its backlog while events wait in its tail.
fn reading() -> Bench {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.step(Input::Relieve);
    bench.settle_down();
    bench.deliver(1);
    bench.answers(200);
    bench.commit();
    assert!(bench.fetch.is_some());
    bench
}

#[test]
fn a_read_counts_for_nothing_when_a_hold_was_sent_since() {
    let mut bench = reading();
    let (ticket, rows, more) = bench.found();
    bench.fetch = None;
    bench.pass(2_000);
    assert_eq!(holds(&bench.writes[0].1), 1);
    // The row of 3 is not in it: believed, 3 would be passed over or come after what follows.
    bench.step(Input::Rows { ticket, rows, more });
    assert!(bench.attempts.is_empty());
    bench.deliver(1);
    bench.flow();
    assert_eq!(bench.tried, [1, 2, 3, 4]);
}

#[test]
fn a_read_that_ends_after_the_hold_is_committed_counts_for_nothing_either() {
    let mut bench = reading();
    let (ticket, rows, more) = bench.found();
    bench.fetch = None;
    bench.pass(2_000);
    bench.commit();
    bench.step(Input::Rows { ticket, rows, more });
    assert!(bench.attempts.is_empty(), "it is read anew");
    bench.flow();
    assert_eq!(bench.tried, [1, 2, 3]);
}

#[test]
fn no_read_begins_while_a_removal_is_in_flight() {
    let mut bench = Bench::with(LaneSettings { batch: 1, ..LaneSettings::default() }, Status::Enabled);
    bench.deliver(3);
    bench.step(Input::Relieve);
    bench.settle_down();
    bench.answers(200);
    assert_eq!(bench.writes.len(), 1);
    assert!(bench.fetch.is_none(), "it would bring back what was delivered");
    bench.pass(60_000);
    assert!(bench.fetch.is_none() && bench.attempts.is_empty());
    bench.commit();
    assert!(bench.fetch.is_some());
    bench.flow();
    assert_eq!(bench.tried, [1, 2, 3]);
}

#[test]
fn rows_that_were_read_are_delivered_while_removals_are_in_flight() {
    let mut bench = Bench::new();
    bench.deliver(4);
    bench.step(Input::Relieve);
    bench.settle_down();
    bench.answers(200);
    bench.settle_down();
    assert_eq!(bench.open().event, 2);
    bench.answers(200);
    bench.answers(200);
    assert_eq!((bench.open().event, bench.writes.len()), (4, 2), "nothing waits for a removal but a read");
    bench.answers(200);
    bench.settle_down();
    assert!(bench.lane.is_idle());
}

#[test]
fn a_new_owner_delivers_the_backlog_first() {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.fails(Failure::Timeout);
    bench.pass(2_000);
    bench.settle_down();
    bench.restart(Status::Enabled);
    let sequence = Sequence(1_000_000_004);
    bench.step(Input::Deliver(Arrival { sequence, message: Arc::new(message(4, bench.now.wall)) }));
    bench.tried.clear();
    bench.flow();
    assert_eq!(bench.tried, [1, 2, 3, 4]);
}

#[test]
fn a_lane_that_waits_keeps_no_body_of_what_has_a_row() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.answers(500);
    bench.pass(2_000);
    bench.settle_down();
    bench.answers(500);
    assert!(bench.lane.current.values().all(|current| current.item.message.is_none()));
    assert!(bench.lane.head.is_empty() && bench.lane.tail.is_empty());
}

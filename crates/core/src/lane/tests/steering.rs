//! What people want of a lane is done in its turn, by the lane itself.

use std::sync::Arc;

use super::bench::{Bench, START, WEBHOOK, event, message};
use crate::attempt::{Ended, Failure, Next};
use crate::delivery::{Command, DeadReason, Message, Purpose, Steering};
use crate::lane::{Health, Input, LaneSettings, Status};
use crate::ports::Change;
use crate::time::Millis;

fn order(number: u64, command: Command) -> Input {
    let purpose = Purpose::Steering(Box::new(Steering { webhook: WEBHOOK, command, reason: "a test".to_owned() }));
    Input::Steer(Arc::new(Message { purpose, ..message(number, Millis(START)) }))
}

/// A lane that is in an outage, with events 1 to 3 in its backlog.
fn down() -> Bench {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.fails(Failure::Connect);
    while bench.health() != Health::Outage {
        bench.settle_down();
        if !bench.attempts.is_empty() {
            bench.fails(Failure::Connect);
        } else {
            bench.pass_until_woken();
        }
    }
    bench.settle_down();
    bench
}

#[test]
fn a_skipped_head_is_a_dead_letter_and_the_next_one_is_tried() {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.answers(503);
    bench.step(order(100, Command::Skip(event(1))));
    let changes = bench.commit();
    assert!(matches!(changes.last(), Some(Change::Steer { .. })), "what is in memory is held first: {changes:?}");
    assert_eq!(bench.settled, [1, 2, 3, 100]);
    bench.flow();
    assert_eq!(bench.tried, [1, 2, 3]);
    assert_eq!(bench.store.dead.get(&event(1)), Some(&(DeadReason::Skipped, 1)));
    assert_eq!((bench.dead, bench.delivered), (1, 2));
}

#[test]
fn what_is_skipped_and_not_there_any_more_changes_nothing() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.answers(200);
    bench.step(order(100, Command::Skip(event(1))));
    bench.answers(200);
    bench.flow();
    assert_eq!((bench.dead, bench.delivered, bench.backlog().len()), (0, 2, 0));
    assert!(bench.settled.contains(&100));
}

#[test]
fn an_order_waits_for_the_attempt_in_flight_and_nothing_else_starts_before_it_is_done() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.step(order(100, Command::Drop(Millis(START))));
    assert_eq!(bench.open_write(), 0, "the attempt goes on");
    bench.answers(200);
    assert!(bench.attempts.is_empty(), "the second is not tried");
    bench.commit();
    assert_eq!((bench.delivered, bench.dropped), (1, 1));
    bench.flow();
    assert_eq!(bench.tried, [1]);
}

#[test]
fn a_drop_takes_what_was_there_and_nothing_that_came_later() {
    let mut bench = down();
    let until = bench.now.wall;
    bench.pass(1_000);
    bench.deliver(2);
    bench.step(order(100, Command::Drop(until)));
    bench.settle_down();
    assert_eq!((bench.dropped, bench.health()), (3, Health::Flowing));
    assert_eq!(bench.store.record, None, "nothing is known of the URL any more");
    bench.flow();
    assert_eq!(bench.delivered, 2);
    assert_eq!(bench.tried[bench.tried.len() - 2..], [4, 5]);
}

#[test]
fn a_drop_takes_what_is_set_aside_too() {
    let settings = LaneSettings { attempts: 1, ..LaneSettings::default() };
    let mut bench = Bench::with(settings, Status::Enabled);
    bench.deliver(3);
    bench.answers(503);
    bench.commit();
    assert_eq!(bench.set_aside(), [1]);
    bench.step(order(100, Command::Drop(Millis(START))));
    bench.answers(503);
    bench.settle_down();
    assert_eq!((bench.set_aside(), bench.backlog(), bench.dropped), (vec![], vec![], 3));
    assert!(bench.lane.is_idle());
}

#[test]
fn a_large_drop_goes_in_steps_and_is_settled_once() {
    let mut bench = Bench::with(LaneSettings::default(), Status::Disabled);
    bench.deliver(1_200);
    bench.step(order(5_000, Command::Drop(Millis(START))));
    for dropped in [500, 1_000, 1_200] {
        assert!(!bench.settled.contains(&5_000), "not before the last step");
        bench.commit();
        assert_eq!(bench.dropped, dropped);
    }
    assert_eq!(bench.settled.iter().filter(|settled| **settled == 5_000).count(), 1);
}

#[test]
fn resuming_ends_an_outage_and_the_lane_flows_on_in_order() {
    let mut bench = down();
    let tried = bench.tried.len();
    bench.step(order(100, Command::Resume));
    bench.settle_down();
    assert_eq!(bench.health(), Health::Flowing);
    bench.flow();
    assert_eq!(bench.tried[tried..], [1, 2, 3]);
    assert_eq!((bench.delivered, bench.store.record), (3, None));
}

#[test]
fn resuming_tries_at_once_what_waits_for_its_next_attempt() {
    let mut bench = Bench::new();
    bench.deliver(1);
    for _ in 0..2 {
        bench.answers(503);
        bench.pass_until_woken();
        bench.settle_down();
    }
    bench.answers(503);
    assert!(bench.attempts.is_empty());
    bench.step(order(100, Command::Resume));
    bench.settle_down();
    assert_eq!(bench.open().number, 4, "it goes on counting");
}

#[test]
fn an_order_for_a_deleted_webhook_is_settled_and_does_nothing() {
    let mut bench = Bench::new();
    bench.change(Status::Deleted);
    bench.settle_down();
    bench.step(order(100, Command::Drop(Millis(START))));
    assert_eq!((bench.settled.as_slice(), bench.open_write()), ([100].as_slice(), 0));
    assert!(bench.lane.is_idle());
}

#[test]
fn after_each_attempt_it_can_be_said_what_comes_next() {
    let busy = Ended::Answered { status: 503, retry_after: None };
    let settings = LaneSettings { attempts: 2, ..LaneSettings::default() };
    let mut bench = Bench::with(settings, Status::Enabled);
    bench.deliver(2);
    let outlook = |bench: &Bench, number, ended| bench.lane.outlook(bench.now, event(number), ended);
    bench.answers(503);
    assert_eq!(outlook(&bench, 1, busy), Next::Retry(Millis(START + 200)));
    bench.pass_until_woken();
    bench.answers(503);
    assert_eq!(outlook(&bench, 1, busy), Next::SetAside);
    bench.settle_down();
    bench.answers(400);
    assert_eq!(outlook(&bench, 2, Ended::Answered { status: 400, retry_after: None }), Next::DeadLetter);
    bench.settle_down();
    let next = outlook(&bench, 1, busy);
    assert!(matches!(next, Next::Outage(at) if at.0 > bench.now.wall.0), "nothing else is left to try: {next:?}");
    bench.change(Status::Disabled);
    assert_eq!(outlook(&bench, 1, busy), Next::Disabled);
    bench.change(Status::Deleted);
    assert_eq!(outlook(&bench, 1, busy), Next::Dropped);
    assert_eq!(outlook(&bench, 1, Ended::Answered { status: 204, retry_after: None }), Next::Delivered);
}

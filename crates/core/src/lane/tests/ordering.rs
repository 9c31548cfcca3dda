//! Webhooks whose events do not all wait for one another.

use std::sync::Arc;

use bytes::Bytes;

use super::bench::{Bench, message};
use crate::attempt::Failure;
use crate::delivery::Message;
use crate::ids::Sequence;
use crate::lane::{Arrival, Class, Health, Input, LaneSettings, Status};
use crate::ordering::Ordering;

fn bench(ordering: Ordering) -> Bench {
    Bench::ordered(LaneSettings::default(), Status::Enabled, ordering)
}

/// Events come, each of a space: its number is its place.
fn comes(bench: &mut Bench, spaces: &[&str]) {
    for space in spaces {
        bench.events += 1;
        let body = Bytes::from(format!(r#"{{"space":{{"id":"{space}"}}}}"#));
        let message = Arc::new(Message { body, ..message(bench.events, bench.now.wall) });
        let sequence = Sequence(bench.events.cast_signed());
        bench.step(Input::Deliver(Arrival { sequence, message }));
    }
}

/// So many events are delivered, each of a space of its own: from then on as many may be under way.
fn warm_up(bench: &mut Bench, events: u64) {
    for event in 0..events {
        comes(bench, &[&format!("warm {event}")]);
        bench.answers(200);
    }
    bench.settled.clear();
    bench.tried.clear();
}

/// The open attempt of this event ends with a status.
fn answers(bench: &mut Bench, event: u64, status: u16) {
    let place = bench.attempts.iter().position(|asked| asked.event == event).expect("it is open");
    bench.attempts.rotate_left(place);
    bench.answers(status);
}

fn open(bench: &Bench) -> Vec<u64> {
    let mut open: Vec<u64> = bench.attempts.iter().map(|asked| asked.event).collect();
    open.sort_unstable();
    open
}

#[test]
fn spaces_are_delivered_beside_one_another_and_each_in_its_order() {
    let mut bench = bench(Ordering::Space);
    warm_up(&mut bench, 3);
    comes(&mut bench, &["a", "a", "b", "a", "b", "c"]);
    assert_eq!(open(&bench), [4, 6, 9]);
    answers(&mut bench, 6, 200);
    assert_eq!(open(&bench), [4, 8, 9]);
    answers(&mut bench, 4, 200);
    assert_eq!(open(&bench), [5, 8, 9]);
    answers(&mut bench, 9, 200);
    answers(&mut bench, 8, 200);
    answers(&mut bench, 5, 200);
    assert_eq!(open(&bench), [7]);
}

#[test]
fn without_order_no_event_waits_for_another() {
    let mut bench = bench(Ordering::None);
    warm_up(&mut bench, 20);
    comes(&mut bench, &["a"; 20]);
    assert_eq!(bench.attempts.len(), LaneSettings::default().parallel, "so many at a time");
    let first = open(&bench)[0];
    while bench.attempts.len() > 1 {
        let other = open(&bench)[1];
        answers(&mut bench, other, 200);
    }
    assert_eq!((open(&bench), bench.settled.len()), (vec![first], 19));
}

#[test]
fn what_is_put_back_while_a_read_is_under_way_that_left_it_out_is_read_later() {
    let mut bench = bench(Ordering::None);
    comes(&mut bench, &["a"; 5]);
    bench.pass(LaneSettings::default().hold_after);
    bench.commit();
    answers(&mut bench, 2, 503);
    answers(&mut bench, 1, 200);
    assert!(bench.fetch.is_some(), "for the fifth: {:?}", bench.lane);
    bench.change(Status::Disabled);
    bench.change(Status::Enabled);
    bench.read();
    bench.flow();
    assert_eq!((bench.backlog(), bench.lane.is_idle()), (vec![], true), "{:?}", bench.lane);
}

#[test]
fn a_failing_space_holds_up_no_other_also_when_its_events_are_in_the_backlog() {
    let mut bench = bench(Ordering::Space);
    comes(&mut bench, &["bad", "bad", "good"]);
    bench.answers(503);
    assert_eq!(open(&bench), [3], "the first is retried later");
    bench.answers(200);
    // A retry is on the way when the oldest is two seconds old: both of the space are held.
    bench.pass(1_000);
    bench.answers(503);
    bench.pass(1_500);
    bench.settle_down();
    assert_eq!(bench.backlog(), [1, 2]);
    bench.settled.clear();
    for event in 4..50 {
        comes(&mut bench, &["good"]);
        bench.settle_down();
        assert!(open(&bench).contains(&event), "{event}: {:?}", bench.lane);
        answers(&mut bench, event, 200);
    }
    assert_eq!(bench.settled.len(), 46, "none of them was written first");
    while bench.attempts.is_empty() {
        bench.pass_until_woken();
        bench.settle_down();
    }
    bench.flow();
    assert!(bench.backlog().is_empty() && bench.lane.is_idle(), "{:?}", bench.lane);
    assert_eq!(bench.tried.iter().filter(|event| **event <= 2).collect::<Vec<_>>(), [&1, &1, &1, &2]);
}

#[test]
fn spaces_that_hang_with_long_backlogs_leave_room_for_the_rows_of_others() {
    let mut bench = bench(Ordering::Space);
    warm_up(&mut bench, 16);
    for _ in 0..20 {
        for space in 0..15 {
            comes(&mut bench, &[&format!("hangs {space}")]);
        }
    }
    assert_eq!(bench.attempts.len(), 15, "one of each");
    comes(&mut bench, &["good"; 3]);
    let good = bench.events - 2;
    answers(&mut bench, good, 200);
    // All are held, and of fifteen spaces nothing ends from here on but once, for each to have rows in memory.
    bench.pass(2_000);
    bench.settle_down();
    for event in open(&bench) {
        if event < good {
            answers(&mut bench, event, 200);
            bench.settle_down();
        }
    }
    for event in [good + 1, good + 2] {
        assert!(open(&bench).contains(&event), "{event}: {:?}", open(&bench));
        answers(&mut bench, event, 200);
        bench.settle_down();
    }
}

#[test]
fn a_url_gets_more_first_attempts_at_a_time_as_it_delivers_and_few_after_a_failure() {
    let mut bench = bench(Ordering::None);
    comes(&mut bench, &["a"; 20]);
    assert_eq!(open(&bench), [1, 2, 3, 4]);
    answers(&mut bench, 1, 200);
    answers(&mut bench, 2, 200);
    assert_eq!(open(&bench), [3, 4, 5, 6, 7, 8]);
    answers(&mut bench, 3, 503);
    assert_eq!(open(&bench), [4, 5, 6, 7, 8], "what is under way goes on");
    answers(&mut bench, 4, 503);
    answers(&mut bench, 5, 503);
    assert_eq!(open(&bench), [6, 7, 8, 9]);
    assert_eq!(bench.attempts.back().map(|asked| asked.class), Some(Class::Failing));
}

#[test]
fn an_outage_is_the_webhooks_and_its_probes_are_one_at_a_time() {
    let mut bench = bench(Ordering::Space);
    warm_up(&mut bench, 3);
    comes(&mut bench, &["a", "b", "c", "d", "e"]);
    for _ in 0..200 {
        if bench.health() == Health::Outage && bench.attempts.is_empty() && bench.open_write() == 0 {
            break;
        }
        bench.settle_down();
        match bench.attempts.is_empty() {
            true => drop(bench.pass_until_woken()),
            false => bench.fails(Failure::Timeout),
        }
    }
    assert_eq!(bench.health(), Health::Outage);
    assert_eq!((bench.backlog(), bench.set_aside()), (vec![4, 5, 6, 7, 8], vec![]), "nothing is given up");
    for _ in 0..3 {
        while bench.attempts.is_empty() {
            bench.pass_until_woken();
            bench.settle_down();
        }
        assert_eq!((open(&bench), bench.open().class), (vec![4], Class::Outage));
        bench.fails(Failure::Timeout);
        bench.settle_down();
    }
    while bench.attempts.is_empty() {
        bench.pass_until_woken();
        bench.settle_down();
    }
    bench.flow();
    assert_eq!((bench.health(), bench.backlog()), (Health::Flowing, vec![]));
    assert!(bench.lane.is_idle(), "{:?}", bench.lane);
}

#[test]
fn poison_in_one_space_is_a_dead_letter_once_another_space_delivers() {
    let mut bench = bench(Ordering::Space);
    comes(&mut bench, &["bad", "bad"]);
    bench.exhaust(500);
    assert_eq!(bench.set_aside(), [1]);
    comes(&mut bench, &["good"]);
    bench.settle_down();
    while !open(&bench).contains(&3) {
        answers(&mut bench, 2, 500);
        bench.settle_down();
    }
    answers(&mut bench, 3, 200);
    bench.settle_down();
    assert_eq!((bench.dead_letters(), bench.set_aside()), (vec![1], vec![]));
}

#[test]
fn another_order_takes_effect_when_what_is_under_way_has_ended_and_the_rest_is_held() {
    let mut bench = bench(Ordering::Project);
    comes(&mut bench, &["a", "b", "a"]);
    bench.ordering = Ordering::Space;
    bench.change(Status::Enabled);
    comes(&mut bench, &["c"]);
    assert_eq!((open(&bench), bench.open_write()), (vec![1], 0));
    bench.answers(200);
    assert_eq!((open(&bench), bench.open_write()), (vec![], 1), "nothing starts before the rest is held");
    bench.settle_down();
    bench.answers(200);
    bench.settle_down();
    assert!(open(&bench).len() > 1, "spaces run beside one another");
    bench.ordering = Ordering::Project;
    bench.change(Status::Enabled);
    while bench.attempts.len() > 1 {
        bench.answers(200);
        bench.settle_down();
    }
    bench.flow();
    comes(&mut bench, &["x", "y", "z"]);
    assert_eq!(open(&bench).len(), 1);
    bench.flow();
    assert_eq!((bench.delivered, bench.lane.is_idle()), (7, true));
}

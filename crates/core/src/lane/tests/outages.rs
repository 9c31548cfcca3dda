//! Poison or down.

use super::bench::Bench;
use crate::attempt::{Ended, Failure};
use crate::delivery::DeadReason;
use crate::lane::{Attempted, Class, Health, LaneSettings, Status};
use crate::ports::{Change, LaneMode, LaneRecord};
use crate::webhook::DisabledReason;

fn position(changes: &[Change], what: impl Fn(&Change) -> bool) -> usize {
    changes.iter().position(what).expect("it is among the changes")
}

/// Brings the next probe on and answers it.
fn probe(bench: &mut Bench, status: u16) -> u64 {
    let mut waited = 0;
    while bench.attempts.is_empty() {
        waited += bench.pass_until_woken();
        bench.settle_down();
    }
    assert_eq!(bench.open().class, Class::Outage);
    bench.answers(status);
    bench.settle_down();
    waited
}

/// Three events exhausted in a row, the third of them the last there is.
fn outage_of_three() -> Bench {
    let mut bench = Bench::new();
    bench.deliver(3);
    for _ in 0..3 {
        bench.exhaust(500);
    }
    assert_eq!(bench.health(), Health::Outage);
    bench
}

#[test]
fn an_exhausted_event_is_set_aside_and_the_next_is_tried() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.exhaust(500);
    assert_eq!((bench.set_aside(), bench.open().event), (vec![1], 2));
    assert_eq!((bench.health(), bench.dead), (Health::Suspect, 0));
    assert_eq!(bench.store.record, Some(LaneRecord { mode: LaneMode::Suspect, exhausted: 1 }));
}

#[test]
fn those_set_aside_become_dead_letters_before_a_later_delivery_is_settled() {
    let mut bench = Bench::new();
    bench.deliver(1);
    bench.answers(500);
    bench.pass(1_000);
    bench.deliver(1);
    bench.exhaust_rest(500);
    bench.deliver(1);
    bench.answers(200);
    assert_eq!(bench.open_write(), 1);
    let settled = bench.settled.clone();
    let changes = bench.commit();
    let bury = position(&changes, |change| matches!(change, Change::BurySetAside { .. }));
    let remove = position(&changes, |change| matches!(change, Change::Remove { .. }));
    assert!(bury < remove, "in one transaction");
    assert_eq!(settled, [1, 2], "both had been held");
    bench.flow();
    assert_eq!((bench.dead_letters(), bench.dead, bench.delivered), (vec![1], 1, 2));
    assert_eq!(bench.store.dead.values().next(), Some(&(DeadReason::Poison, 6)));
    assert_eq!((bench.health(), bench.store.record), (Health::Flowing, None));
    assert!(bench.lane.is_idle());
}

#[test]
fn a_later_delivery_from_memory_is_settled_only_after_the_burial() {
    let mut bench = Bench::with(LaneSettings { hold_after: u64::MAX / 2, ..LaneSettings::default() }, Status::Enabled);
    bench.deliver(2);
    bench.exhaust(500);
    assert_eq!(bench.settled, [1]);
    bench.answers(200);
    assert_eq!(bench.settled, [1]);
    let changes = bench.commit();
    position(&changes, |change| matches!(change, Change::BurySetAside { .. }));
    assert_eq!((bench.settled.as_slice(), bench.dead), ([1, 2].as_slice(), 1));
}

#[test]
fn three_in_a_row_are_an_outage_and_go_back_to_the_front() {
    let mut bench = Bench::new();
    bench.deliver(4);
    for _ in 0..3 {
        bench.exhaust(503);
    }
    assert_eq!(bench.health(), Health::Outage);
    assert_eq!((bench.set_aside(), bench.backlog()), (vec![], vec![1, 2, 3, 4]));
    assert_eq!((bench.dead, bench.settled.len(), bench.lane.unsettled()), (0, 4, 0));
    assert!(bench.attempts.is_empty());
    assert!(matches!(
        bench.store.record,
        Some(LaneRecord { mode: LaneMode::Outage { proven: true, .. }, exhausted: 3 })
    ));
}

#[test]
fn when_nothing_was_sent_it_is_an_outage_at_once() {
    let mut bench = Bench::new();
    bench.deliver(2);
    for number in 1..=6 {
        assert_eq!(bench.open().number, number);
        bench.fails(Failure::Connect);
        if number < 6 {
            while bench.attempts.is_empty() {
                bench.pass_until_woken();
                bench.settle_down();
            }
        }
    }
    bench.settle_down();
    assert_eq!((bench.health(), bench.backlog(), bench.set_aside()), (Health::Outage, vec![1, 2], vec![]));
}

#[test]
fn one_attempt_that_was_sent_makes_an_event_a_suspect() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.fails(Failure::Timeout);
    for _ in 2..=6 {
        while bench.attempts.is_empty() {
            bench.pass_until_woken();
            bench.settle_down();
        }
        bench.fails(Failure::Connect);
    }
    bench.settle_down();
    assert_eq!((bench.health(), bench.set_aside()), (Health::Suspect, vec![1]));
}

#[test]
fn an_exhausted_event_that_is_alone_is_an_outage() {
    let mut bench = Bench::new();
    bench.deliver(1);
    bench.exhaust(500);
    assert_eq!((bench.health(), bench.backlog(), bench.dead), (Health::Outage, vec![1], 0));
}

#[test]
fn an_outage_begins_when_nothing_else_is_left_to_try() {
    let mut bench = Bench::new();
    bench.deliver(2);
    bench.exhaust(500);
    assert_eq!(bench.set_aside(), [1]);
    bench.answers(404);
    bench.settle_down();
    assert_eq!(bench.dead_letters(), [2]);
    assert_eq!((bench.health(), bench.backlog(), bench.set_aside()), (Health::Outage, vec![1], vec![]));
}

#[test]
fn probes_follow_the_slow_schedule() {
    let mut bench = outage_of_three();
    let waits: Vec<u64> = (0..7).map(|_| probe(&mut bench, 500)).collect();
    assert_eq!(waits, [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
    assert_eq!(bench.tried[bench.tried.len() - 7..], [1; 7], "the head alone is tried");
    assert_eq!(bench.backlog(), [1, 2, 3]);
}

#[test]
fn an_outage_ends_with_a_delivery_and_the_lane_flows_on_in_order() {
    let mut bench = outage_of_three();
    bench.deliver(2);
    bench.pass(2_000);
    bench.settle_down();
    bench.tried.clear();
    probe(&mut bench, 200);
    bench.flow();
    assert_eq!(bench.tried, [1, 2, 3, 4, 5]);
    assert_eq!((bench.dead, bench.delivered), (0, 5));
    assert_eq!((bench.store.record, bench.health()), (None, Health::Flowing));
    assert!(bench.lane.is_idle());
}

#[test]
fn a_fatal_answer_in_an_outage_gives_up_the_head_only() {
    let mut bench = outage_of_three();
    probe(&mut bench, 400);
    assert_eq!((bench.dead_letters(), bench.backlog()), (vec![1], vec![2, 3]));
    assert_eq!(bench.health(), Health::Outage);
    probe(&mut bench, 200);
    bench.flow();
    assert_eq!((bench.delivered, bench.dead), (2, 1));
}

#[test]
fn a_lone_poison_event_blocks_later_ones_no_longer_than_its_own_attempts() {
    let mut bench = Bench::new();
    bench.deliver(1);
    bench.exhaust(500);
    assert_eq!(bench.health(), Health::Outage);
    bench.deliver(1);
    bench.settle_down();
    assert_eq!((bench.open().event, bench.set_aside()), (2, vec![1]), "at once, not at the next probe");
    bench.answers(200);
    bench.flow();
    assert_eq!((bench.dead_letters(), bench.delivered), (vec![1], 1));
    assert!(bench.lane.is_idle());
}

#[test]
fn an_outage_that_is_proven_is_not_interrupted() {
    let mut bench = outage_of_three();
    bench.deliver(1);
    bench.settle_down();
    assert!(bench.attempts.is_empty());
    bench.pass(2_000);
    bench.settle_down();
    assert_eq!((bench.backlog(), bench.health()), (vec![1, 2, 3, 4], Health::Outage));
}

#[test]
fn events_that_waited_when_an_outage_began_are_tried_when_a_probe_shows_that_the_head_is_at_fault() {
    let mut bench = Bench::new();
    bench.deliver(3);
    // The URL is down, and nothing is sent.
    while bench.health() != Health::Outage {
        if !bench.attempts.is_empty() {
            bench.fails(Failure::Connect);
        } else {
            bench.pass_until_woken();
        }
        bench.settle_down();
    }
    // It comes back, and cannot take the first event. No other event comes from the queue.
    probe(&mut bench, 500);
    assert_eq!((bench.open().event, bench.set_aside()), (2, vec![1]));
    bench.flow();
    assert_eq!((bench.dead_letters(), bench.delivered), (vec![1], 2));
}

#[test]
fn what_was_never_sent_is_no_suspect() {
    // Held only when the outage begins, so that their rows tell of all their attempts.
    let mut bench = Bench::with(LaneSettings { hold_after: u64::MAX / 2, ..LaneSettings::default() }, Status::Enabled);
    bench.deliver(3);
    bench.exhaust(500);
    assert_eq!(bench.open().event, 2);
    while bench.health() != Health::Outage {
        if !bench.attempts.is_empty() {
            bench.fails(Failure::Connect);
        } else {
            bench.pass_until_woken();
        }
        bench.settle_down();
    }
    probe(&mut bench, 500);
    // The first is passed over. The second used up its attempts, but never arrived: it comes before the third.
    assert_eq!(bench.open().event, 2);
    bench.flow();
    assert_eq!((bench.dead_letters(), bench.delivered), (vec![1], 2));
}

#[test]
fn what_an_outage_exhausted_has_all_its_attempts_again_when_it_is_over() {
    let mut bench = outage_of_three();
    bench.deliver(1);
    probe(&mut bench, 200);
    assert_eq!((bench.open().event, bench.health()), (2, Health::Flowing));
    bench.answers(503);
    bench.settle_down();
    assert!(bench.attempts.is_empty() && bench.set_aside().is_empty(), "one more failure is no proof");
    bench.pass_until_woken();
    bench.settle_down();
    bench.flow();
    assert_eq!((bench.dead, bench.delivered), (0, 4));
}

#[test]
fn every_event_of_an_outage_goes_on_counting_its_attempts() {
    let mut bench = outage_of_three();
    let attempts: Vec<u32> = bench.store.backlog.values().map(|row| row.attempts).collect();
    assert_eq!(attempts, [6, 6, 6]);
    bench.restart(Status::Enabled);
    probe(&mut bench, 200);
    assert_eq!((bench.open().event, bench.open().number), (2, 7));
    bench.answers(200);
    bench.settle_down();
    assert_eq!((bench.open().event, bench.open().number), (3, 7));
}

#[test]
fn an_outage_outlives_its_owner() {
    let mut bench = outage_of_three();
    probe(&mut bench, 500);
    let record = bench.store.record;
    bench.pass(10_000);
    bench.restart(Status::Enabled);
    assert_eq!((bench.health(), bench.store.record), (Health::Outage, record));
    assert!(bench.attempts.is_empty());
    assert_eq!(bench.pass_until_woken(), 50_000, "when the last owner would have probed");
    bench.settle_down();
    assert_eq!((bench.open().event, bench.open().class), (1, Class::Outage));
}

#[test]
fn a_suspicion_outlives_its_owner() {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.exhaust(500);
    bench.pass(2_000);
    bench.settle_down();
    bench.restart(Status::Enabled);
    assert_eq!(bench.health(), Health::Suspect);
    bench.settle_down();
    assert_eq!(bench.open().event, 2);
    bench.exhaust(500);
    assert_eq!(bench.set_aside(), [1, 2]);
    bench.answers(200);
    bench.settle_down();
    assert_eq!(bench.dead_letters(), [1, 2]);
}

#[test]
fn after_the_outage_budget_the_webhook_is_disabled() {
    let mut bench = Bench::with(LaneSettings { outage_budget: 3_600_000, ..LaneSettings::default() }, Status::Enabled);
    bench.deliver(3);
    for _ in 0..3 {
        bench.exhaust(500);
    }
    let mut probes = 0;
    while bench.store.disabled.is_none() {
        bench.pass_until_woken();
        bench.settle_down();
        assert!(!bench.attempts.is_empty(), "it is not disabled without another probe");
        bench.answers(500);
        bench.settle_down();
        probes += 1;
    }
    assert_eq!(bench.store.disabled, Some(DisabledReason::Outage));
    assert_eq!((bench.lane.status(), bench.store.record), (Status::Disabled, None));
    assert!((8..=11).contains(&probes), "{probes}");
    assert_eq!((bench.backlog(), bench.dead), (vec![1, 2, 3], 0));
    bench.pass(1_000_000);
    assert!(bench.attempts.is_empty());
}

#[test]
fn an_outage_whose_probes_are_refused_for_good_ends_with_the_budget_as_well() {
    let mut bench = Bench::with(LaneSettings { outage_budget: 600_000, ..LaneSettings::default() }, Status::Enabled);
    bench.deliver(40);
    for _ in 0..3 {
        bench.exhaust(500);
    }
    while bench.store.disabled.is_none() {
        bench.pass_until_woken();
        bench.settle_down();
        if !bench.attempts.is_empty() {
            bench.answers(404);
            bench.settle_down();
        }
    }
    assert_eq!((bench.store.disabled, bench.lane.status()), (Some(DisabledReason::Outage), Status::Disabled));
    assert_eq!(bench.backlog().len() + bench.dead_letters().len(), 40);
    assert!(bench.attempts.is_empty());
}

#[test]
fn gone_disables_the_webhook_and_gives_up_the_event_only() {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.answers(410);
    let changes = bench.commit();
    position(&changes, |change| matches!(change, Change::Disable { reason: DisabledReason::Gone, .. }));
    bench.pass(2_000);
    bench.settle_down();
    assert_eq!((bench.dead_letters(), bench.backlog()), (vec![1], vec![2, 3]));
    assert_eq!((bench.lane.status(), bench.settled.len()), (Status::Disabled, 3));
    assert!(bench.attempts.is_empty());
}

#[test]
fn gone_returns_those_set_aside() {
    let mut bench = Bench::new();
    bench.deliver(3);
    bench.exhaust(500);
    bench.ends(Attempted::Ended(Ended::Answered { status: 410, retry_after: None }));
    bench.pass(2_000);
    bench.settle_down();
    assert_eq!((bench.set_aside(), bench.backlog(), bench.dead_letters()), (vec![], vec![1, 3], vec![2]));
}

use proptest::prelude::*;
use uuid::Uuid;

use super::share::LANES_REMEMBERED;
use super::*;

const CLASSES: [Class; 3] = [Class::Healthy, Class::Failing, Class::Outage];

fn lane(number: u64) -> WebhookId {
    WebhookId(Uuid::from_u128(u128::from(number)))
}

fn settings() -> SlotSettings {
    SlotSettings { healthy: 4, failing: 2, outage: 1 }
}

fn let_in(slots: &mut Slots) -> Vec<u64> {
    std::iter::from_fn(|| slots.start_next()).map(|ticket| ticket.0).collect()
}

#[test]
fn the_healthy_start_in_the_order_in_which_they_came() {
    let mut slots = Slots::new(settings());
    for ticket in 0..6 {
        slots.request(SlotTicket(ticket), lane(ticket), Class::Healthy);
    }
    assert_eq!(let_in(&mut slots), [0, 1, 2, 3]);
    slots.cancel(SlotTicket(4));
    slots.finished(SlotTicket(2), 10);
    assert_eq!(let_in(&mut slots), [5]);
}

#[test]
fn any_number_of_hanging_urls_leaves_the_healthy_their_part() {
    let mut slots = Slots::new(settings());
    for number in 0..10_000 {
        slots.request(SlotTicket(number), lane(number), CLASSES[(number % 3) as usize]);
        for started in let_in(&mut slots) {
            // None of them ever ends; after a second each that was healthy is demoted.
            slots.demote(SlotTicket(started));
        }
    }
    let fresh = SlotTicket(1_000_000);
    slots.request(fresh, lane(1_000_000), Class::Healthy);
    assert_eq!(let_in(&mut slots), [fresh.0]);
}

#[test]
fn a_demoted_attempt_counts_in_the_failing_part_until_it_ends() {
    let mut slots = Slots::new(settings());
    for ticket in 0..3 {
        slots.request(SlotTicket(ticket), lane(ticket), Class::Healthy);
    }
    let_in(&mut slots);
    for ticket in 0..3 {
        assert!(slots.demote(SlotTicket(ticket)));
        assert!(!slots.demote(SlotTicket(ticket)));
    }
    assert_eq!((slots.running(Class::Healthy), slots.running(Class::Failing)), (0, 3));
    slots.request(SlotTicket(9), lane(9), Class::Failing);
    assert_eq!(let_in(&mut slots), [] as [u64; 0]);
    slots.finished(SlotTicket(0), 30_000);
    assert_eq!(let_in(&mut slots), [] as [u64; 0], "still at the cap");
    slots.finished(SlotTicket(1), 30_000);
    assert_eq!(let_in(&mut slots), [9]);
}

#[test]
fn the_lane_that_used_least_goes_first() {
    let mut slots = Slots::new(SlotSettings { healthy: 1, failing: 1, outage: 1 });
    let mut turns = [0_u32; 2];
    let mut used = [0_u64; 2];
    let cost = [30_000_u64, 1_000];
    for which in 0..2 {
        slots.request(SlotTicket(which), lane(which), Class::Failing);
    }
    for round in 2_u64..302 {
        let ticket = slots.start_next().expect("one may start");
        let which = usize::try_from(ticket.0 % 2).expect("0 or 1");
        turns[which] += 1;
        used[which] += cost[which];
        slots.finished(ticket, cost[which]);
        // The parity of a ticket says whose it is.
        slots.request(SlotTicket(round * 2 + ticket.0 % 2), lane(ticket.0 % 2), Class::Failing);
    }
    assert!(turns[1] > turns[0] * 10, "the quick one had {} turns, the slow one {}", turns[1], turns[0]);
    assert!(turns[0] > 1);
}

#[test]
fn a_lane_that_used_much_is_served_although_newcomers_keep_coming() {
    let mut slots = Slots::new(SlotSettings { healthy: 1, failing: 1, outage: 1 });
    slots.request(SlotTicket(0), lane(0), Class::Failing);
    let_in(&mut slots);
    for number in 1..=3 {
        slots.request(SlotTicket(number), lane(number), Class::Failing);
    }
    slots.finished(SlotTicket(0), 30_000);
    slots.request(SlotTicket(1_000_000), lane(0), Class::Failing);
    let mut rounds = 0;
    loop {
        let ticket = slots.start_next().expect("one may start");
        if ticket == SlotTicket(1_000_000) {
            break;
        }
        rounds += 1;
        assert!(rounds < 100, "starved");
        slots.request(SlotTicket(100 + rounds), lane(100 + rounds), Class::Failing);
        slots.finished(ticket, 10_000);
    }
}

#[test]
fn lanes_long_gone_are_forgotten() {
    let mut slots = Slots::new(settings());
    for number in 0..LANES_REMEMBERED as u64 + 10 {
        slots.request(SlotTicket(number), lane(number), Class::Outage);
        let_in(&mut slots);
        slots.finished(SlotTicket(number), 1_000);
        assert!(slots.outage.remembered() <= 1, "alone in its class, a lane raises the level by all that it used");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Request(u64, Class),
    Demote(prop::sample::Index),
    Finish(prop::sample::Index, u64),
    Cancel(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(CLASSES.to_vec());
    prop_oneof![
        4 => (0..20_u64, class).prop_map(|(lane, class)| Step::Request(lane, class)),
        1 => any::<prop::sample::Index>().prop_map(Step::Demote),
        3 => (any::<prop::sample::Index>(), 0..40_000_u64).prop_map(|(index, used)| Step::Finish(index, used)),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
    ]
}

proptest! {
    #[test]
    fn caps_hold_nothing_is_lost_and_no_free_slot_is_withheld(steps in prop::collection::vec(step(), 1..200)) {
        let mut slots = Slots::new(settings());
        let mut waiting: Vec<u64> = Vec::new();
        let mut running: Vec<u64> = Vec::new();
        let mut demoted = 0_usize;
        let mut demoted_tickets = std::collections::HashSet::new();
        for (number, step) in (0_u64..).zip(steps) {
            match step {
                Step::Request(which, class) => {
                    slots.request(SlotTicket(number), lane(which), class);
                    waiting.push(number);
                }
                Step::Demote(index) if !running.is_empty() => {
                    let ticket = *index.get(&running);
                    if slots.demote(SlotTicket(ticket)) {
                        demoted += 1;
                        demoted_tickets.insert(ticket);
                    }
                }
                Step::Finish(index, used) if !running.is_empty() => {
                    let ticket = running.swap_remove(index.index(running.len()));
                    demoted -= usize::from(demoted_tickets.remove(&ticket));
                    slots.finished(SlotTicket(ticket), used);
                }
                Step::Cancel(index) if !waiting.is_empty() => {
                    let ticket = waiting.swap_remove(index.index(waiting.len()));
                    slots.cancel(SlotTicket(ticket));
                }
                _ => {}
            }
            for started in let_in(&mut slots) {
                let at = waiting.iter().position(|ticket| *ticket == started);
                prop_assert!(at.is_some(), "{} was not waiting", started);
                waiting.swap_remove(at.expect("checked"));
                running.push(started);
            }
            let caps = settings();
            prop_assert!(slots.running(Class::Healthy) <= caps.healthy);
            prop_assert!(slots.running(Class::Failing) <= caps.failing + demoted);
            prop_assert!(slots.running(Class::Outage) <= caps.outage);
            prop_assert!(slots.waiting(Class::Healthy) == 0 || slots.running(Class::Healthy) == caps.healthy);
            prop_assert!(slots.waiting(Class::Failing) == 0 || slots.running(Class::Failing) >= caps.failing);
            prop_assert!(slots.waiting(Class::Outage) == 0 || slots.running(Class::Outage) == caps.outage);
            let total = |count: fn(&Slots, Class) -> usize| CLASSES.iter().map(|class| count(&slots, *class)).sum::<usize>();
            prop_assert_eq!(total(Slots::running), running.len());
            prop_assert_eq!(total(Slots::waiting), waiting.len());
            prop_assert_eq!(slots.requests.len(), running.len() + waiting.len());
        }
        for ticket in running.into_iter().chain(waiting) {
            slots.finished(SlotTicket(ticket), 1);
        }
        prop_assert!(slots.requests.is_empty());
    }

    #[test]
    fn everyone_who_waits_is_served_in_the_end(
        costs in prop::collection::vec(0..60_000_u64, 2..12),
    ) {
        // Every lane asks again at once, for ever, at its own cost: each must be served again and again.
        let mut slots = Slots::new(SlotSettings { healthy: 1, failing: 2, outage: 1 });
        let mut owner = HashMap::new();
        let mut served = vec![0_u32; costs.len()];
        let mut ticket = 0;
        for which in 0..costs.len() {
            slots.request(SlotTicket(ticket), lane(which as u64), Class::Failing);
            owner.insert(ticket, which);
            ticket += 1;
        }
        // The dearest lane may wait until the others have used as much as it did: bounded by the largest debt.
        let mut used = 0_u64;
        while used < 200_000 * costs.len() as u64 {
            for started in let_in(&mut slots) {
                let which = owner.remove(&started).expect("an owner");
                served[which] += 1;
                used += costs[which].max(1);
                slots.finished(SlotTicket(started), costs[which]);
                slots.request(SlotTicket(ticket), lane(which as u64), Class::Failing);
                owner.insert(ticket, which);
                ticket += 1;
            }
            if costs.iter().all(|cost| *cost < 100) {
                break;
            }
        }
        prop_assert!(served.iter().all(|turns| *turns > 0), "{:?}", served);
    }
}

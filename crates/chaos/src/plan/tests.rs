use std::collections::HashSet;

use super::*;

fn setup(seed: u64) -> Setup {
    Setup { seed, seconds: 600, projects: 300, rate: 60, kinds: Kind::all() }
}

#[test]
fn a_seed_replays_the_same_plan_and_another_another() {
    let json = |seed| serde_json::to_string(&Plan::of(setup(seed))).expect("JSON");
    assert_eq!(json(7), json(7));
    assert_ne!(json(7), json(8));
    let (one, again) = (Plan::of(setup(7)), Plan::of(setup(7)));
    for tick in 0..1_000 {
        let project = one.poster(tick);
        assert_eq!(project, again.poster(tick));
        assert_eq!(one.body(project, 3), again.body(project, 3));
    }
}

#[test]
fn there_are_all_tempers_and_all_kinds_of_fault_alone_and_in_pairs() {
    let plan = Plan::of(setup(1));
    let tempers: HashSet<Temper> = plan.urls.iter().flatten().copied().collect();
    assert_eq!(tempers.len(), Temper::ALL.len());
    assert!(plan.urls.iter().all(|urls| (1..=4).contains(&urls.len())));
    let kinds: HashSet<Kind> = plan.turns.iter().flat_map(|turn| &turn.strikes).map(|strike| strike.kind).collect();
    assert_eq!(kinds.len(), Kind::all().len());
    assert!(plan.turns.iter().any(|turn| turn.strikes.len() == 1));
    assert!(plan.turns.iter().any(|turn| turn.strikes.len() == 2));
}

#[test]
fn bodies_are_json_and_no_two_are_the_same() {
    let plan = Plan::of(setup(3));
    let mut seen = HashSet::new();
    for project in 0..20 {
        for number in 0..50 {
            let body = plan.body(ProjectNo(project), number);
            serde_json::from_slice::<serde_json::Value>(&body).expect("JSON");
            assert!(seen.insert(body));
        }
    }
}

#[test]
fn a_kind_is_found_by_its_name() {
    for kind in Kind::all() {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert!("flood".parse::<Kind>().is_err());
}

#[test]
fn a_run_without_kinds_has_no_faults() {
    assert_eq!(Plan::of(Setup { kinds: Vec::new(), ..setup(1) }).turns, []);
}

//! The same seed is the same history.

use spectrum_webhook_sim::{Options, run};

#[test]
fn a_seed_replays_to_the_last_line_of_its_trace() {
    for seed in 1..=40 {
        let (one, two) = (run(seed, Options::default()), run(seed, Options::default()));
        let (one, two) = (one.expect("it runs"), two.expect("it runs"));
        assert_eq!((one.trace_hash, one.steps), (two.trace_hash, two.steps), "seed {seed}");
    }
}

#[test]
fn histories_are_not_empty() {
    let reports: Vec<_> = (1..=40).map(|seed| run(seed, Options::default()).expect("it runs")).collect();
    let total = |of: fn(&spectrum_webhook_sim::Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(total(|report| report.delivered) > 2_000);
    assert!(total(|report| report.crashes) > 20);
    assert!(total(|report| report.dead) > 20);
}

//! The same seed is the same history.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use spectrum_webhook_sim::{Options, Report, Stage, run};

fn runs(stage: Stage) -> impl Iterator<Item = Report> {
    let options = Options { stage: Some(stage), ..Options::default() };
    (1..=40).map(move |seed| run(seed, options).expect("it runs"))
}

#[test]
fn a_seed_replays_to_the_last_line_of_its_trace() {
    for stage in [Stage::Embedded, Stage::Cluster] {
        for (one, two) in runs(stage).zip(runs(stage)) {
            assert_eq!((one.trace_hash, one.steps), (two.trace_hash, two.steps), "{stage:?} {}", one.seed);
        }
    }
}

#[test]
fn histories_are_not_empty() {
    for (stage, delivered, crashes, dead) in [(Stage::Embedded, 2_000, 20, 20), (Stage::Cluster, 1_000, 10, 10)] {
        let reports: Vec<Report> = runs(stage).collect();
        let total = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
        assert!(total(|report| report.delivered) > delivered, "{stage:?}");
        assert!(total(|report| report.crashes) > crashes, "{stage:?}");
        assert!(total(|report| report.dead) > dead, "{stage:?}");
    }
}

//! The same seed is the same history.

mod common;

use spectrum_webhook_sim::{Options, Report, Stage};

fn runs(stage: Stage) -> Vec<Report> {
    common::all(40, Options { stage: Some(stage), ..Options::default() })
}

#[test]
fn a_seed_replays_to_the_last_line_of_its_trace() {
    for stage in [Stage::Embedded, Stage::Cluster] {
        for (one, two) in runs(stage).into_iter().zip(runs(stage)) {
            assert_eq!(one.seed, two.seed);
            assert_eq!((one.trace_hash, one.steps), (two.trace_hash, two.steps), "{stage:?} {}", one.seed);
        }
    }
}

#[test]
fn histories_are_not_empty() {
    for (stage, delivered, crashes, dead) in [(Stage::Embedded, 2_000, 20, 20), (Stage::Cluster, 1_000, 10, 10)] {
        let reports = runs(stage);
        let total = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
        assert!(total(|report| report.delivered) > delivered, "{stage:?}");
        assert!(total(|report| report.crashes) > crashes, "{stage:?}");
        assert!(total(|report| report.dead) > dead, "{stage:?}");
    }
}

//! Ten thousand histories, each to its end: two thousand of one process, the others of clusters. A failing seed is printed,
//! with how to replay it.

mod common;

use common::first_violation;
use spectrum_webhook_sim::{Options, Stage};

const SEEDS: u64 = 10_000;

#[test]
fn nothing_is_lost_or_swapped_in_ten_thousand_histories() {
    if let Some(report) = first_violation(SEEDS, Options::default()) {
        let violation = report.violation.unwrap_or_default();
        panic!(
            "{}\nseed {}: {violation}\nreplay it with: make sim SEED={}",
            report.tail.join("\n"),
            report.seed,
            report.seed
        );
    }
}

#[test]
fn one_seed_in_five_is_embedded() {
    let embedded = (1..=SEEDS).filter(|seed| Stage::of(*seed) == Stage::Embedded).count();
    assert_eq!(embedded, 2_000);
}

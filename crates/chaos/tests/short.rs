//! A short seeded run on the real services: part of all tests. `make chaos` makes longer ones.

#![expect(clippy::print_stdout, reason = "what a run said is shown when it fails")]

use std::path::Path;

use spectrum_webhook_chaos::plan::{Kind, Setup};
use spectrum_webhook_chaos::{report, run};

/// So that a failure is the same one tomorrow.
const SEED: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_broken_in_many_ways_loses_swaps_and_changes_nothing() {
    let setup = Setup { seed: SEED, seconds: 100, projects: 300, rate: 30, kinds: Kind::all() };
    let outcome = run::run(setup, |said| println!("{said}")).await;
    let summary = report::summary(&outcome);
    println!("{summary}");
    if !outcome.is_clean() {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos");
        report::write(&outcome, &folder).expect("a report");
        panic!("{}\n{summary}", folder.join("report.md").display());
    }
    let counts = outcome.judgement.counts;
    assert!(counts.events > 1_000 && outcome.history.faults.len() >= 5, "it was no run to speak of:\n{summary}");
}

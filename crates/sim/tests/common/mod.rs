//! Seeds on many threads.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of it")]

use std::sync::atomic::{AtomicU64, Ordering};

use spectrum_webhook_sim::{Options, Report, run, threads};

/// Runs seeds from 1 on until one of them is the last; the reports that were kept, by seed.
fn reports(seeds: u64, options: Options, keep: fn(&Report) -> bool, is_last: fn(&Report) -> bool) -> Vec<Report> {
    let next = AtomicU64::new(1);
    let work = || {
        let mut kept = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return kept;
            }
            let report = run(seed, options).expect("the simulation runs");
            if is_last(&report) {
                next.store(seeds + 1, Ordering::Relaxed);
            }
            if keep(&report) {
                kept.push(report);
            }
        }
    };
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("no panic")).collect()
    });
    reports.sort_by_key(|report| report.seed);
    reports
}

/// The lowest seed with a violation among those that were run until one was found.
pub(crate) fn first_violation(seeds: u64, options: Options) -> Option<Report> {
    let is_violated = |report: &Report| report.violation.is_some();
    reports(seeds, options, is_violated, is_violated).into_iter().next()
}

/// What came of each of these seeds.
pub(crate) fn all(seeds: u64, options: Options) -> Vec<Report> {
    reports(seeds, options, |_| true, |_| false)
}

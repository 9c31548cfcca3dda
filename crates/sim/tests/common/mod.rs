//! Seeds on all processors.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};

use spectrum_webhook_sim::{Options, Report, run};

/// The lowest seed with a violation among those that were run until one was found.
pub(crate) fn first_violation(seeds: u64, options: Options) -> Option<Report> {
    let next = AtomicU64::new(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return None;
            }
            let report = run(seed, options).expect("the simulation runs");
            if report.violation.is_some() {
                next.store(seeds + 1, Ordering::Relaxed);
                return Some(report);
            }
        }
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = handles.into_iter().map(|handle| handle.join().expect("no panic"));
        results.flatten().min_by_key(|report| report.seed)
    })
}

//! Two thousand histories, each to its end. A failing seed is printed, with how to replay it.

use std::sync::atomic::{AtomicU64, Ordering};

use spectrum_webhook_sim::{Options, run};

const SEEDS: u64 = 2_000;

#[test]
fn nothing_is_lost_or_swapped_in_two_thousand_histories() {
    let next = AtomicU64::new(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > SEEDS {
                return None;
            }
            let report = run(seed, Options::default()).expect("the simulation runs");
            if report.violation.is_some() {
                next.store(SEEDS + 1, Ordering::Relaxed);
                return Some(report);
            }
        }
    };
    let failed = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = handles.into_iter().map(|handle| handle.join().expect("no panic"));
        results.flatten().min_by_key(|report| report.seed)
    });
    if let Some(report) = failed {
        let violation = report.violation.unwrap_or_default();
        panic!(
            "{}\nseed {}: {violation}\nreplay it with: make sim SEED={}",
            report.tail.join("\n"),
            report.seed,
            report.seed
        );
    }
}

//! What is told of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::run::Outcome;

/// A run in a few lines.
pub fn summary(outcome: &Outcome) -> String {
    let counts = &outcome.judgement.counts;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "seed {}: {} events, {} deliveries due: {} taken, {} dead letters; {} requests, {} verified, {} duplicates, {} \
         copies, {} resends; {} faults; quiet after {}",
        outcome.plan.setup.seed,
        counts.events,
        counts.due,
        counts.taken,
        counts.letters,
        counts.requests,
        counts.verified,
        counts.duplicates,
        counts.copies,
        counts.resends,
        outcome.history.faults.len(),
        outcome.quiet.map_or_else(|| "never".to_owned(), |micros| format!("{:.1} s", micros as f64 / 1e6)),
    );
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for violation in &outcome.judgement.violations {
        *kinds.entry(violation.kind()).or_default() += 1;
    }
    let _ = writeln!(text, "violations: {kinds:?}; troubles: {}", outcome.troubles.len());
    for violation in outcome.judgement.violations.iter().take(20) {
        let _ = writeln!(text, "  {violation}");
    }
    for trouble in outcome.troubles.iter().take(20) {
        let _ = writeln!(text, "  {trouble}");
    }
    text
}

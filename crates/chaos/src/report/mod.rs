//! What is told of a run: a page to read, the same as data, a picture, the plan, and of a run that failed the logs.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `measures` | load and latency over time, what each kind of fault cost |
//! | `svg` | the timeline |
//! | `evidence` | what a violation rests on |

mod evidence;
mod measures;
mod svg;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::run::Outcome;
use evidence::evidence;
use measures::{Measures, Worst};

/// Violations and troubles that are shown one by one.
const SHOWN: usize = 50;

/// A run as text, for the terminal and as the page's beginning.
pub fn summary(outcome: &Outcome) -> String {
    let (counts, setup) = (&outcome.judgement.counts, &outcome.plan.setup);
    let mut text = String::new();
    let lines = [
        ("seed", setup.seed.to_string()),
        ("load and faults", format!("{} s planned, {:.0} s taken", setup.seconds, length(outcome))),
        ("projects", format!("{} with {} URLs at first", setup.projects, outcome.plan.urls.iter().flatten().count())),
        ("faults", format!("{} of {} kinds", outcome.history.faults.len(), kinds(outcome))),
        ("events answered with 202", counts.events.to_string()),
        ("deliveries due", counts.due.to_string()),
        ("of these taken", counts.taken.to_string()),
        ("of these dead letters", counts.letters.to_string()),
        ("requests", counts.requests.to_string()),
        ("signatures verified", counts.verified.to_string()),
        ("first arrivals ordered", counts.ordered.to_string()),
        ("duplicates", counts.duplicates.to_string()),
        ("resends", counts.resends.to_string()),
        ("requests of unanswered copies", counts.copies.to_string()),
        ("posts left out", outcome.skipped.to_string()),
        ("quiet after", outcome.quiet.map_or("never".to_owned(), |micros| format!("{:.1} s", micros as f64 / 1e6))),
        ("violations", format!("{} {:?}", outcome.judgement.violations.len(), by_kind(outcome))),
        ("other troubles", outcome.troubles.len().to_string()),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "{name:32}{value}");
    }
    for violation in outcome.judgement.violations.iter().take(SHOWN) {
        let _ = writeln!(text, "  {violation}");
        for line in evidence(&outcome.history, violation) {
            let _ = writeln!(text, "    {line}");
        }
    }
    for trouble in outcome.troubles.iter().take(SHOWN) {
        let _ = writeln!(text, "  {trouble}");
    }
    text
}

fn length(outcome: &Outcome) -> f64 {
    outcome.load.1.minus(outcome.load.0.0).seconds()
}

fn kinds(outcome: &Outcome) -> usize {
    let mut kinds: Vec<&str> = outcome.history.faults.iter().map(|fault| fault.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len()
}

fn by_kind(outcome: &Outcome) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for violation in &outcome.judgement.violations {
        *kinds.entry(violation.kind()).or_default() += 1;
    }
    kinds
}

/// Writes `report.md`, `report.json`, `timeline.svg` and `plan.json` to a folder, and `PROCESS.log` of a run that failed.
///
/// # Errors
/// When they cannot be written.
pub fn write(outcome: &Outcome, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let measures = Measures::of(&outcome.history);
    std::fs::write(folder.join("timeline.svg"), svg::timeline(&measures.seconds, &outcome.history.faults))?;
    std::fs::write(folder.join("plan.json"), serde_json::to_vec(&*outcome.plan)?)?;
    std::fs::write(folder.join("report.json"), serde_json::to_vec_pretty(&data(outcome, &measures))?)?;
    std::fs::write(folder.join("report.md"), page(outcome, &measures))?;
    for (name, lines) in &outcome.logs {
        std::fs::write(folder.join(format!("{name}.log")), lines.join("\n"))?;
    }
    Ok(())
}

fn data(outcome: &Outcome, measures: &Measures) -> serde_json::Value {
    let said: Vec<String> = outcome.judgement.violations.iter().map(ToString::to_string).collect();
    json!({
        "setup": outcome.plan.setup,
        "clean": outcome.is_clean(),
        "counts": outcome.judgement.counts,
        "violations": said,
        "violationsByKind": by_kind(outcome),
        "troubles": outcome.troubles,
        "faults": outcome.history.faults,
        "faultsByKind": measures.costs,
        "books": outcome.history.books,
        "latencyMs": { "p50": measures.latency[0], "p99": measures.latency[1], "max": measures.latency[2] },
        "quietAfterMicros": outcome.quiet,
        "skipped": outcome.skipped,
        "seconds": measures.seconds,
    })
}

fn cells(worst: Worst) -> String {
    match worst.times {
        0 => "0 | – | –".to_owned(),
        times => {
            format!("{times} | {:.1} s | {:.1} s", worst.latency as f64 / 1e3, worst.accept as f64 / 1e3)
        }
    }
}

fn page(outcome: &Outcome, measures: &Measures) -> String {
    let verdict = if outcome.is_clean() { "nothing is wrong" } else { "something is wrong" };
    let mut page = format!("# Chaos, seed {}: {verdict}\n\n```\n{}```\n\n", outcome.plan.setup.seed, summary(outcome));
    let [middle, most, longest] = measures.latency;
    let _ = writeln!(
        page,
        "From a post to its first arrival at a healthy URL: {middle} ms (median), {most} ms (p99), {longest} ms (longest).\n"
    );
    page.push_str("![Load, faults, latency](timeline.svg)\n\n## Faults by kind\n\n");
    page.push_str("How long a healthy URL waited for an event, and a post for its `202`, at the longest, from a fault's beginning ");
    page.push_str("until 10 s after it was mended, or until the next began.\n\n");
    page.push_str("| kind | alone | to a URL | to a `202` | with another | to a URL | to a `202` |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for (kind, cost) in &measures.costs {
        let _ = writeln!(page, "| {kind} | {} | {} |", cells(cost.alone), cells(cost.paired));
    }
    page.push_str("\n## Faults\n\n| from | until | kind | target |\n| --- | --- | --- | --- |\n");
    for fault in &outcome.history.faults {
        let _ = writeln!(page, "| {} | {} | {} | {} |", fault.begun, fault.ended, fault.kind, fault.target);
    }
    page.push_str("\n## Books at the end\n\n");
    page.push_str("| process | recovered | fanned out | delivered | dead | dropped | released | pending |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for books in &outcome.history.books {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            books.process,
            books.recovered,
            books.fanned_out,
            books.delivered,
            books.dead,
            books.dropped,
            books.released,
            books.pending
        );
    }
    page
}

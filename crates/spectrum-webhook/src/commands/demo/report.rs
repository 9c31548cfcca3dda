//! The demo's table, and whether all is well.

use std::time::Duration;

use comfy_table::{CellAlignment, Table};
use spectrum_webhook_receiver::{Report, check};

use super::Project;
use super::endpoints::PATH;
use crate::commands::output::STYLE;
use crate::commands::say;

/// Problems of a kind that are shown one by one.
const SHOWN: usize = 3;

/// Prints the table; `true` when nothing was lost, swapped or changed and every signature verified.
pub(super) fn report(projects: &[Project]) -> bool {
    let mut table = Table::new();
    table.load_style(STYLE).set_header([
        "project",
        "URL",
        "accepted",
        "delivered",
        "attempts",
        "verified",
        "duplicates",
        "order\nviolations",
        "p50",
        "p99",
    ]);
    let mut troubles = Vec::new();
    for (number, project) in (1..).zip(projects) {
        for endpoint in &project.endpoints {
            let accepted = project.accepted.lock();
            let report = endpoint.receiver.look(|memory| check(&accepted, memory.at(PATH), &endpoint.key));
            table.add_row([
                number.to_string(),
                endpoint.trouble.name().to_owned(),
                report.accepted.to_string(),
                report.delivered.to_string(),
                report.attempts.to_string(),
                report.verified.to_string(),
                report.duplicates.to_string(),
                report.swapped.len().to_string(),
                shown(report.latency(0.5)),
                shown(report.latency(0.99)),
            ]);
            if !report.is_clean() {
                troubles.push(format!("project {number}, {}: {}", endpoint.trouble.name(), what_is_wrong(&report)));
            }
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    say(table);
    say("accepted: events that got their 202. attempts: requests. verified: requests that an independent verifier");
    say("found genuine. p50, p99: from the first post to the first arrival, waiting behind a failing URL included.");
    for trouble in &troubles {
        say(format_args!("WRONG: {trouble}"));
    }
    troubles.is_empty()
}

fn what_is_wrong(report: &Report) -> String {
    let mut said = Vec::new();
    let mut say = |what: &str, found: Vec<String>| {
        if !found.is_empty() {
            let some = found.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            said.push(format!("{} {what} ({some}, …)", found.len()));
        }
    };
    say("lost", report.missing.clone());
    say("swapped", report.swapped.iter().map(|(late, before)| format!("{late} after {before}")).collect());
    say("without a rising sequence", report.unnumbered.clone());
    say("changed", report.changed.clone());
    say("unknown", report.unknown.clone());
    say(
        "not genuine",
        report
            .refused
            .iter()
            .map(|(id, problems)| format!("{id}: {}", problems.first().map_or_else(String::new, ToString::to_string)))
            .collect(),
    );
    said.join("; ")
}

fn shown(latency: Duration) -> String {
    let millis = latency.as_secs_f64() * 1_000.0;
    if millis < 1_000.0 { format!("{millis:.1} ms") } else { format!("{:.1} s", millis / 1_000.0) }
}

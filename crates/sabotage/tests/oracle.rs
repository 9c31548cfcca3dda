//! The oracle is tried on a program with defects: it must cry at each, and at nothing else.

#![expect(clippy::print_stdout, reason = "what a run said is shown when it fails")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use spectrum_webhook_chaos::history::{At, ProjectNo};
use spectrum_webhook_chaos::plan::{Change, Deed, Plan, Setup, Temper};
use spectrum_webhook_chaos::run::Outcome;
use spectrum_webhook_chaos::trial::{Crash, Trial};
use spectrum_webhook_chaos::{report, trial};

/// Which projects have which defect, their URLs, and what the oracle must say. Those at the end are sound.
const PROJECTS: [(&str, &[Temper], &str); 18] = [
    ("swap", &[Temper::Healthy, Temper::Slow], "swapped"),
    ("rebuild", &[Temper::Healthy, Temper::Lies], "rebuilt"),
    ("stale", &[Temper::Healthy], "signature"),
    ("late", &[Temper::Healthy], "after-stop"),
    // Slower than its events come, so that many are on their way when the dispatcher is killed.
    ("drop", &[Temper::Drips], "lost"),
    ("drop", &[Temper::Drips], "lost"),
    // Down for 6 s of each 12: then its events are set aside, which takes a row.
    ("early", &[Temper::Flaps], "lost"),
    ("early", &[Temper::Flaps], "lost"),
    ("early", &[Temper::Flaps], "lost"),
    ("early", &[Temper::Flaps], "lost"),
    ("early", &[Temper::Flaps], "lost"),
    ("early", &[Temper::Flaps], "lost"),
    ("", &[Temper::Healthy, Temper::Healthy], ""),
    ("", &[Temper::Slow, Temper::Drips], ""),
    ("", &[Temper::Flaps], ""),
    ("", &[Temper::Fails, Temper::Resets], ""),
    ("", &[Temper::Closes], ""),
    ("", &[Temper::Hangs], ""),
];
/// The projects of which a secret is rotated, and a webhook deleted: one that is harmed by it, and one that is not.
const ROTATED: [ProjectNo; 2] = [ProjectNo(2), ProjectNo(12)];
const DELETED: [ProjectNo; 2] = [ProjectNo(3), ProjectNo(12)];
/// So many of each defect the oracle must see at least.
const SEEN: usize = 3;

fn plan() -> Plan {
    // The crash may have to wait for the next time at which what flaps is down.
    let setup = Setup { seed: 5, seconds: 20, projects: 18, rate: 54, kinds: Vec::new() };
    let change = |at, deed| move |project: &ProjectNo| Change { at, project: *project, pick: 0, deed };
    // The old key is given some seconds; what is deleted must have been known.
    let rotations = ROTATED.iter().map(change(At::millis(200), Deed::Rotate(1)));
    let deletions = DELETED.iter().map(change(At::millis(2_000), Deed::Delete));
    Plan {
        setup,
        urls: PROJECTS.iter().map(|(_, urls, _)| urls.to_vec()).collect(),
        changes: rotations.chain(deletions).collect(),
        turns: Vec::new(),
    }
}

/// `drop=PROJECT,swap=PROJECT,…`
fn victims(ids: &[&str]) -> (&'static str, String) {
    let victims = PROJECTS.iter().zip(ids).filter(|((defect, ..), _)| !defect.is_empty());
    let victims: Vec<String> = victims.map(|((defect, ..), id)| format!("{defect}={id}")).collect();
    ("SABOTAGE", victims.join(","))
}

fn is_early(line: &str) -> bool {
    line.contains("\"acknowledged early\"")
}

/// The part of a line behind a name, up to the next quotation mark.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.split_once(&format!("\"{name}\":\""))?.1.split('"').next()
}

/// The defect of each event that the saboteurs say they harmed.
fn harmed(outcome: &Outcome) -> HashMap<&str, &str> {
    let lines = outcome.logs.iter().flat_map(|(_, lines)| lines).filter(|line| line.contains("\"harmed\""));
    lines.filter_map(|line| Some((field(line, "event")?, field(line, "defect")?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oracle_cries_at_each_of_six_defects_and_at_nothing_that_is_sound() {
    let trial = Trial {
        plan: plan(),
        program: PathBuf::from(env!("CARGO_BIN_EXE_sabotaged")),
        // What waits stays in the queue, and is not held.
        settings: &[("SPECTRUM_HOLD_AFTER", "60s")],
        environment: victims,
        // It hits the gap between acknowledgements and their rows.
        crash: Crash { after: Duration::from_secs(5), said: is_early, times: (SEEN + 1, Duration::from_secs(3)) },
    };
    let outcome = trial::run(trial, |said| println!("{said}")).await;
    let summary = report::summary(&outcome);
    println!("{summary}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sabotage");
    report::write(&outcome, &folder).expect("a report");

    let harmed = harmed(&outcome);
    let webhooks = &outcome.history.webhooks;
    let owner: HashMap<_, _> = webhooks.iter().map(|webhook| (&webhook.id, webhook.project.0 as usize)).collect();
    let mut seen: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for violation in &outcome.judgement.violations {
        let (webhook, event) = violation.about().unwrap_or_else(|| panic!("of no event: {violation}"));
        let (defect, _, kind) = PROJECTS[owner[webhook]];
        assert_eq!(violation.kind(), kind, "`{defect}` shows otherwise: {violation}");
        assert_eq!(harmed.get(&*event.0), Some(&defect), "nobody harmed it: {violation}");
        seen.entry(defect).or_default().insert(&event.0);
    }
    let defects: BTreeSet<&str> = PROJECTS.iter().map(|(defect, ..)| *defect).filter(|name| !name.is_empty()).collect();
    for defect in &defects {
        let of = harmed.values().filter(|harm| *harm == defect).count();
        let cried = seen.get(defect).map_or(0, HashSet::len);
        println!("{defect}: {cried} of {of} events that were harmed");
        assert!(cried >= SEEN, "`{defect}` was seen at {cried} of {of} events: {}", folder.display());
    }
    assert!(outcome.troubles.is_empty(), "{:?}", outcome.troubles);
}

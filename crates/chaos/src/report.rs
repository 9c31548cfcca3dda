//! What is told of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::history::History;
use crate::oracle::Violation;
use crate::run::Outcome;

/// What a violation rests on: the requests of the event at the webhook, its dead letters, what was done to the webhook.
fn evidence(history: &History, violation: &Violation) -> Vec<String> {
    let Some((webhook, event)) = violation.about() else { return Vec::new() };
    let mut lines = Vec::new();
    for hook in history.webhooks.iter().filter(|hook| hook.id == *webhook) {
        lines.push(format!("{} registered {:?} deleted {:?}", hook.path, hook.registered, hook.deleted));
        lines.extend(hook.pauses.iter().map(|pause| format!("paused {pause:?}")));
        lines.extend(hook.secrets.iter().skip(1).map(|secret| format!("rotated {:?} {}", secret.made, secret.overlap)));
    }
    for arrival in history.arrivals.iter().filter(|had| had.webhook == *webhook && had.event == *event) {
        let (resend, sequence) = (if arrival.resend { "resent" } else { "sent" }, arrival.sequence.unwrap_or(0));
        lines.push(format!("{resend} at {} as {sequence}: {:?} {:?}", arrival.begun, arrival.reply, arrival.replied));
    }
    let letters = history.letters.iter().filter(|had| had.webhook == *webhook && had.event == *event);
    lines.extend(
        letters.map(|letter| format!("dead letter {} {} resend {}", letter.reason, letter.last, letter.resend)),
    );
    lines
}

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
        for line in evidence(&outcome.history, violation) {
            let _ = writeln!(text, "    {line}");
        }
    }
    for trouble in outcome.troubles.iter().take(20) {
        let _ = writeln!(text, "  {trouble}");
    }
    text
}

//! No request begins after a deletion or a disabling was answered. One that was on its way may end.

use super::index::Index;
use super::{Bounds, Judgement, Violation};
use crate::history::{Arrival, At, History, Webhook};

/// A time in which no request may begin, and what began it.
struct Still {
    from: At,
    until: At,
    why: &'static str,
}

fn stills(webhook: &Webhook) -> Vec<Still> {
    let mut stills = Vec::new();
    if let Some(answered) = webhook.deleted.and_then(|call| call.answered) {
        stills.push(Still { from: answered, until: At(u64::MAX), why: "deleted" });
    }
    for pause in &webhook.pauses {
        let Some(from) = pause.disabled.answered else { continue };
        let until = pause.enabled.map_or(At(u64::MAX), |call| call.begun);
        stills.push(Still { from, until, why: "disabled" });
    }
    stills
}

pub(super) fn judge(history: &History, index: &Index<'_>, bounds: &Bounds, judgement: &mut Judgement) {
    for webhook in &history.webhooks {
        for still in stills(webhook) {
            for arrival in index.requests(&webhook.id) {
                let late = arrival.begun > still.from.plus(bounds.flight) && arrival.begun < still.until;
                if late && !thawed(history, arrival, still.from) {
                    judgement.violations.push(Violation::AfterStop {
                        webhook: webhook.id.clone(),
                        event: arrival.event.clone(),
                        stop: still.why,
                        answered: still.from,
                        at: arrival.begun,
                    });
                }
            }
        }
    }
}

/// Whether it was signed before, by a process that was frozen while the request was on its way.
fn thawed(history: &History, arrival: &Arrival, answered: At) -> bool {
    let before = arrival.signed.is_some_and(|signed| signed <= (history.origin + answered.0) / 1_000_000);
    let frozen = |fault: &&crate::history::Fault| {
        fault.freezes && fault.begun <= answered && fault.ended.plus(1_000_000) >= arrival.begun
    };
    before && history.faults.iter().any(|fault| frozen(&fault))
}

//! No request begins after a deletion, a disabling or a move was answered, or after the receiver said that it is gone for
//! good. One that was on its way may end.

use std::sync::Arc;

use super::index::Index;
use super::reach::blows_over;
use super::{Bounds, Judgement, Violation};
use crate::history::{Arrival, At, Call, Fault, History, Reply, Webhook};

/// A time in which no request may begin, and what began it.
struct Still {
    from: At,
    until: At,
    why: &'static str,
    /// Where none may begin; at all its URLs when there is none.
    path: Option<Arc<str>>,
}

impl Still {
    fn everywhere(from: At, until: At, why: &'static str) -> Self {
        Self { from, until, why, path: None }
    }
}

fn stills(webhook: &Webhook) -> Vec<Still> {
    let mut stills = Vec::new();
    if let Some(answered) = webhook.deleted.and_then(|call| call.answered) {
        stills.push(Still::everywhere(answered, At(u64::MAX), "deleted"));
    }
    for pause in &webhook.pauses {
        let Some(from) = pause.disabled.answered else { continue };
        let until = pause.enabled.map_or(At(u64::MAX), |call| call.begun);
        stills.push(Still::everywhere(from, until, "disabled"));
    }
    for (change, old) in webhook.moves.iter().zip(webhook.paths()) {
        let Some(from) = change.made.answered else { continue };
        stills.push(Still { from, until: At(u64::MAX), why: "moved", path: Some(Arc::clone(old)) });
    }
    stills
}

/// From each `410` that its sender must have heard until someone enables the webhook.
fn gone(history: &History, bounds: &Bounds, webhook: &Webhook, requests: &[&Arrival]) -> Vec<Still> {
    let enabling = || webhook.revived.iter().copied().chain(webhook.pauses.iter().filter_map(|pause| pause.enabled));
    let said = requests.iter().filter(|arrival| arrival.reply == Reply::Status(410));
    let said = said.filter_map(|arrival| arrival.replied);
    let heard = said.filter(|at| blows_over(history, bounds, *at, *at) == 0);
    let stills = heard.map(|from| {
        let later = |call: &Call| call.answered.is_none_or(|answered| answered >= from);
        let until = enabling().filter(later).map(|call| call.begun).min().unwrap_or(At(u64::MAX));
        Still::everywhere(from, until, "gone")
    });
    stills.collect()
}

pub(super) fn judge(history: &History, index: &Index<'_>, bounds: &Bounds, judgement: &mut Judgement) {
    for webhook in &history.webhooks {
        let requests = index.requests(&webhook.id);
        for still in stills(webhook).into_iter().chain(gone(history, bounds, webhook, requests)) {
            let there = |arrival: &&&Arrival| still.path.as_ref().is_none_or(|path| *path == arrival.path);
            for arrival in requests.iter().filter(there) {
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
    let frozen =
        |fault: &&Fault| fault.freezes && fault.begun <= answered && fault.ended.plus(1_000_000) >= arrival.begun;
    before && history.faults.iter().any(|fault| frozen(&fault))
}

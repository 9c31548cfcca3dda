//! Repeats of what was taken, against what was in flight at a fault.

use std::collections::HashMap;

use super::delivery::slow;
use super::index::{Index, Known};
use super::{Bounds, Judgement, Violation};
use crate::history::{Arrival, At, EventId, History};

/// How many faults may have something to do with what happened between two moments.
pub(super) fn windows_over(history: &History, bounds: &Bounds, from: At, until: At) -> usize {
    let over = history
        .faults
        .iter()
        .filter(|fault| !fault.clean)
        .filter(|fault| fault.begun.minus(bounds.before) <= until && fault.ended.plus(bounds.after) >= from);
    over.count()
}

/// The requests of one delivery.
#[derive(Default)]
struct Life<'h> {
    /// When it was taken first, and whether the sender may not have heard that.
    taken: Option<(At, bool)>,
    again: Vec<&'h Arrival>,
}

pub(super) fn judge(history: &History, index: &Index<'_>, bounds: &Bounds, judgement: &mut Judgement) {
    for webhook in &history.webhooks {
        let mut lives: HashMap<&EventId, Life<'_>> = HashMap::new();
        for arrival in index.requests(&webhook.id).iter().filter(|arrival| !arrival.resend) {
            if !matches!(index.known(arrival), Known::Event(_)) {
                continue;
            }
            let life = lives.entry(&arrival.event).or_default();
            if life.taken.is_some() {
                life.again.push(arrival);
            } else if arrival.reply.took() && arrival.body.is_some() {
                life.taken = Some((arrival.begun, slow(bounds, arrival)));
            }
        }
        for (event, life) in lives {
            let Some((first, slow)) = life.taken.filter(|_| !life.again.is_empty()) else { continue };
            judgement.counts.duplicates += life.again.len();
            // What failed once it was sent again is tried as often as any other: only what begins anew counts.
            let times = 1 + life.again.windows(2).filter(|pair| pair[0].reply.took() && pair[1].reply.took()).count();
            // Each fault may send once more what was in flight at it: the delivery was taken within its reach.
            let explained = windows_over(history, bounds, first, first) + usize::from(slow);
            let later = if explained == 0 {
                0
            } else {
                // A repeat is in flight itself, and may meet the next fault.
                let last = life.again.last().map_or(first, |arrival| arrival.begun);
                windows_over(history, bounds, first, last).saturating_sub(explained)
            };
            if times > explained + later {
                judgement.violations.push(Violation::Repeated {
                    webhook: webhook.id.clone(),
                    event: event.clone(),
                    times,
                    explained: explained + later,
                    first,
                });
            }
        }
    }
}

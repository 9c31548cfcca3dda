//! Repeats of what was taken, against what was in flight at a fault.

use std::collections::HashMap;

use super::delivery::slow;
use super::index::{Index, Known};
use super::reach::{blows_over, forgot};
use super::{Bounds, Judgement, Violation};
use crate::history::{Arrival, At, EventId, History, Post};

/// The requests of one delivery.
#[derive(Default)]
struct Life<'h> {
    /// When it was taken first, and whether the sender may not have heard that.
    taken: Option<(At, bool)>,
    again: Vec<&'h Arrival>,
    post: Option<&'h Post>,
}

pub(super) fn judge(history: &History, index: &Index<'_>, bounds: &Bounds, judgement: &mut Judgement) {
    for webhook in &history.webhooks {
        let mut lives: HashMap<&EventId, Life<'_>> = HashMap::new();
        for arrival in index.requests(&webhook.id).iter().filter(|arrival| !arrival.resend) {
            let Known::Event(post) = index.known(arrival) else { continue };
            let life = lives.entry(&arrival.event).or_default();
            life.post = Some(post);
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
            // A repeat is in flight itself, and may meet the next fault.
            let last = life.again.last().map_or(first, |arrival| arrival.begun);
            // A post that was repeated is in the queue again, and Redis alone knows that it is.
            let copies = life.post.filter(|post| forgot(history, post.begun, last)).map_or(0, |post| post.repeats);
            // Whenever a fault ends its owner, what was in flight may be sent once more: it was taken within its reach.
            let explained =
                blows_over(history, bounds, first, first) + usize::from(slow) + usize::try_from(copies).unwrap_or(0);
            let later =
                if explained == 0 { 0 } else { blows_over(history, bounds, first, last).saturating_sub(explained) };
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

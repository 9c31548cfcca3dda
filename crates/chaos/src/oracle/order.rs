//! First arrivals come in the order of the posts, and their numbers grow.

use std::collections::HashSet;

use super::delivery::first_letters;
use super::index::{Index, Known};
use super::{Judgement, Violation};
use crate::history::{EventId, History, Post, WebhookId};

pub(super) fn judge(history: &History, index: &Index<'_>, judgement: &mut Judgement) {
    let given_up: HashSet<(&WebhookId, &EventId)> =
        first_letters(history).map(|letter| (&letter.webhook, &letter.event)).collect();
    for webhook in &history.webhooks {
        let mut seen: HashSet<&EventId> = HashSet::new();
        let mut furthest: Option<&Post> = None;
        let mut highest: Option<u64> = None;
        for arrival in index.requests(&webhook.id).iter().filter(|arrival| !arrival.resend) {
            let Known::Event(post) = index.known(arrival) else { continue };
            // What is given up lets others pass; it has no place.
            if given_up.contains(&(&webhook.id, &arrival.event)) || !seen.insert(&arrival.event) {
                continue;
            }
            judgement.counts.ordered += 1;
            match (furthest, furthest.and_then(|before| before.id.as_ref())) {
                (Some(before), Some(id)) if before.number > post.number => {
                    judgement.violations.push(Violation::Swapped {
                        webhook: webhook.id.clone(),
                        late: arrival.event.clone(),
                        late_number: post.number,
                        before: id.clone(),
                        before_number: before.number,
                        at: arrival.begun,
                    });
                }
                _ => furthest = Some(post),
            }
            match arrival.sequence {
                Some(sequence) if highest.is_none_or(|highest| sequence > highest) => highest = Some(sequence),
                _ => judgement.violations.push(Violation::Unnumbered {
                    webhook: webhook.id.clone(),
                    event: arrival.event.clone(),
                    at: arrival.begun,
                }),
            }
        }
    }
}

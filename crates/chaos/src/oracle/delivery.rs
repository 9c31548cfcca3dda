//! Every event with a `202` at every webhook that was there before it: taken, or a dead letter with a true reason.

use std::collections::{HashMap, HashSet};

use super::index::{Index, Known};
use super::reach::blows_over;
use super::{Bounds, Judgement, Violation};
use crate::history::{Arrival, EventId, History, Letter, Post, Reply, Webhook, WebhookId};

pub(super) fn judge(history: &History, index: &Index<'_>, bounds: &Bounds, judgement: &mut Judgement) {
    let letters: HashMap<(&WebhookId, &EventId), &Letter> =
        first_letters(history).map(|letter| ((&letter.webhook, &letter.event), letter)).collect();
    judgement.counts.events = index.events.len();
    for arrival in &history.arrivals {
        came(index, arrival, judgement);
    }
    for webhook in &history.webhooks {
        let requests = index.requests(&webhook.id);
        let mut by_event: HashMap<&EventId, Vec<&Arrival>> = HashMap::new();
        for request in requests {
            by_event.entry(&request.event).or_default().push(request);
        }
        for letter in history.letters.iter().filter(|letter| letter.webhook == webhook.id) {
            let attempts: Vec<&Arrival> = by_event.get(&letter.event).into_iter().flatten().copied().collect();
            if let Err(why) = is_true(history, bounds, letter, &attempts, requests) {
                let (webhook, event) = (letter.webhook.clone(), letter.event.clone());
                judgement.violations.push(Violation::Untrue { webhook, event, reason: letter.reason.clone(), why });
            }
        }
        for post in due(index, webhook) {
            let (Some(event), Some(answered)) = (&post.id, post.answered) else { continue };
            judgement.counts.due += 1;
            let attempts = by_event.get(event).map_or(&[][..], Vec::as_slice);
            if attempts.iter().any(|attempt| taken(attempt)) {
                judgement.counts.taken += 1;
            } else if letters.contains_key(&(&webhook.id, event)) {
                judgement.counts.letters += 1;
            } else {
                judgement.violations.push(Violation::Lost {
                    project: post.project,
                    number: post.number,
                    event: event.clone(),
                    webhook: webhook.id.clone(),
                    answered,
                    requests: attempts.len(),
                });
            }
        }
    }
}

/// Posts that must reach a webhook: those begun after its registration was answered, unless it is deleted at some time.
fn due<'i>(index: &'i Index<'_>, webhook: &'i Webhook) -> impl Iterator<Item = &'i Post> {
    let posts = index.posts.get(&webhook.project).map_or(&[][..], Vec::as_slice);
    let there = webhook.registered.answered.filter(|_| webhook.deleted.is_none());
    posts.iter().copied().filter(move |post| there.is_some_and(|there| post.begun > there))
}

fn taken(arrival: &Arrival) -> bool {
    arrival.reply.took() && arrival.body.is_some()
}

/// Whether a request is one that there may be, and carries the bytes that were posted.
fn came(index: &Index<'_>, arrival: &Arrival, judgement: &mut Judgement) {
    if index.uncertain.contains(&*arrival.path) {
        return;
    }
    let (id, event, at) = (arrival.webhook.clone(), arrival.event.clone(), arrival.begun);
    let Some(webhook) = index.webhooks.get(&arrival.webhook) else {
        let path = arrival.path.to_string();
        judgement.violations.push(Violation::Stranger { webhook: id, path, at });
        return;
    };
    match index.known(arrival) {
        Known::Unknown => judgement.violations.push(Violation::Unknown { webhook: id, event, at }),
        Known::Copy => judgement.counts.copies += 1,
        Known::Event(post) => {
            if arrival.body.as_ref().is_some_and(|body| *body != post.body) {
                judgement.violations.push(Violation::Rebuilt { webhook: id.clone(), event: event.clone(), at });
            }
            // A replay sends what is in the archive, which may be older than the webhook.
            let before = post.answered.is_some_and(|answered| answered < webhook.registered.begun) && !arrival.resend;
            if before || post.project != webhook.project || !webhook.paths().any(|path| *path == arrival.path) {
                judgement.violations.push(Violation::NotDue { webhook: id, event, at });
            }
        }
    }
}

/// Dead letters of events; a resend's own letter is another delivery's.
pub(super) fn first_letters(history: &History) -> impl Iterator<Item = &Letter> {
    history.letters.iter().filter(|letter| !letter.resend)
}

fn is_true(
    history: &History,
    bounds: &Bounds,
    letter: &Letter,
    attempts: &[&Arrival],
    requests: &[&Arrival],
) -> Result<(), &'static str> {
    let attempts: Vec<&Arrival> = attempts.iter().copied().filter(|attempt| attempt.resend == letter.resend).collect();
    match letter.reason.as_str() {
        "fatal" => {
            let status = letter.last.strip_prefix("status_").and_then(|status| status.parse().ok());
            let Some(status) = status else { return Err("its last attempt had no answer, which is not fatal") };
            if !Reply::Status(status).is_fatal() {
                return Err("its last attempt had an answer that is not fatal");
            }
            let said = attempts.iter().any(|attempt| attempt.reply == Reply::Status(status));
            if said { Ok(()) } else { Err("the receiver never answered so") }
        }
        "poison" => {
            if attempts.is_empty() {
                return Err("it was never sent");
            }
            // An answer that came at a fault, or late, may have been lost.
            let heard: HashSet<bool> = attempts
                .iter()
                .filter(|attempt| !may_be_lost(history, bounds, attempt))
                .map(|attempt| taken(attempt))
                .collect();
            // Of several resends of an event, which one died is not told.
            if heard.contains(&true) && !letter.resend {
                return Err("the receiver took it");
            }
            // What a resend sends again is behind it, though it is older.
            let sent = attempts.iter().map(|attempt| attempt.begun).min();
            let passed = requests.iter().any(|request| {
                taken(request) && sent < Some(request.begun) && (request.event != letter.event || request.resend)
            });
            if passed { Ok(()) } else { Err("nothing behind it was taken") }
        }
        _ => Err("nothing of that kind was done in this run"),
    }
}

/// Whether the sender may not have heard what the receiver answered.
fn may_be_lost(history: &History, bounds: &Bounds, attempt: &Arrival) -> bool {
    blows_over(history, bounds, attempt.begun, attempt.begun) > 0 || slow(bounds, attempt)
}

/// Whether an answer took so long that its attempt may have ended before.
pub(super) fn slow(bounds: &Bounds, attempt: &Arrival) -> bool {
    attempt.replied.is_none_or(|replied| replied.0.saturating_sub(attempt.begun.0) >= bounds.late_answer)
}

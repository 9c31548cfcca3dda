//! Nothing lost, nothing left over, every dead letter true.

use std::collections::BTreeMap;

use spectrum_webhook_core::attempt::{Ended, Failure};
use spectrum_webhook_core::ids::{EventId, WebhookId};
use spectrum_webhook_core::time::Millis;

use super::facts::{Tried, WebhookFact};
use super::{Calm, Checker, PROMPT};

/// A dead letter, as the store holds it.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The event.
    pub event: EventId,
    /// The webhook.
    pub webhook: WebhookId,
    /// Why.
    pub reason: String,
    /// Attempts that were made, as it says.
    pub attempts: u64,
    /// How the last one ended, as it says.
    pub last: Option<String>,
    /// When the event was accepted.
    pub accepted: Millis,
    /// How old the event was when it died, in milliseconds.
    pub age: i64,
    /// Its body.
    pub body: Vec<u8>,
    /// Nobody sent it again or dropped it.
    pub open: bool,
}

/// Rows that the store holds at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leftovers {
    /// Messages in queues.
    pub queue: u64,
    /// Marks of settled deliveries.
    pub marks: u64,
    /// Rows of backlogs.
    pub backlog: u64,
    /// Rows set aside.
    pub set_aside: u64,
    /// Lane records.
    pub lanes: u64,
    /// Bodies that no dead letter needs.
    pub bodies: u64,
}

/// The answers that no repetition mends, by the contract.
fn is_fatal(ended: Ended) -> bool {
    match ended {
        Ended::Answered { status, .. } => !matches!(status, 200..=299 | 408 | 429 | 500..=599),
        Ended::Failed(failure) => matches!(
            failure,
            Failure::UrlRefused | Failure::AddressRefused | Failure::NameNotFound | Failure::NoAddress
        ),
    }
}

impl Checker {
    /// The faults are over, time has passed, and all is quiet: `webhooks` are those that are not deleted.
    pub fn end(&mut self, webhooks: &[WebhookId], dead: &[DeadLetter], left: Leftovers) {
        self.must(left == Leftovers::default(), || format!("left over in the store: {left:?}"));
        let by_key: BTreeMap<(WebhookId, EventId), &DeadLetter> =
            dead.iter().map(|letter| ((letter.webhook, letter.event), letter)).collect();
        for letter in dead {
            let broken = self.untrue(letter);
            self.must(broken.is_none(), || {
                format!("an untrue dead letter: {} in {letter:?}", broken.unwrap_or_default())
            });
        }
        let mut lost = None;
        for webhook in webhooks {
            let Some(fact) = self.webhooks.get(webhook).filter(|fact| !fact.deleting) else { continue };
            let Some(registered) = fact.registered else { continue };
            let owed = |event: &super::facts::EventFact| {
                event.project == fact.project
                    && event.begun >= registered
                    && event.only.is_none_or(|only| only == *webhook)
            };
            for (event, known) in self.events.iter().filter(|(_, event)| owed(event)) {
                let taken = fact.tried.get(event).and_then(|tried| tried.first_taken);
                if taken.is_none() && !by_key.contains_key(&(*webhook, *event)) {
                    lost = Some(format!("{event} (place {}) never came to webhook {webhook}", known.position));
                }
                let late = taken.is_some_and(|taken| taken > known.published + PROMPT);
                if self.calm == Calm::Still && fact.healthy && late {
                    lost = Some(format!("{event} came late to the healthy webhook {webhook}"));
                }
            }
        }
        self.must(lost.is_none(), || lost.unwrap_or_default());
    }

    /// What is wrong with a dead letter.
    fn untrue(&self, letter: &DeadLetter) -> Option<String> {
        let fact = self.webhooks.get(&letter.webhook)?;
        let nothing = Tried::default();
        let tried = fact.tried.get(&letter.event).unwrap_or(&nothing);
        let known = self.events.get(&letter.event)?;
        if known.body != letter.body {
            return Some("another body".to_owned());
        }
        match letter.reason.as_str() {
            "fatal" => {
                let last = tried.failed.iter().rev().find(|ended| is_fatal(**ended));
                let same = last.is_some_and(|ended| Some(ended.last().code()) == letter.last);
                (!same).then(|| "no attempt ended like that".to_owned())
            }
            "poison" => self.unproven_poison(fact, tried, letter, known.position),
            "expired" => {
                // Wall clocks of two processes may differ.
                let old = letter.age + 2 * 1_500 >= self.keep;
                (!fact.was_disabled || !old).then(|| "not old, or never disabled".to_owned())
            }
            "skipped" => (!fact.skips.contains(&letter.event)).then(|| "nobody skipped it".to_owned()),
            "dropped" => {
                let asked = fact.drops.iter().any(|until| letter.accepted <= *until);
                (!asked || letter.open).then(|| "nobody dropped it, or it is open".to_owned())
            }
            other => Some(format!("the reason {other}")),
        }
    }

    fn unproven_poison(&self, fact: &WebhookFact, tried: &Tried, letter: &DeadLetter, position: u64) -> Option<String> {
        if (tried.failed.len() as u64) < self.attempts || letter.attempts < self.attempts {
            return Some(format!("{} attempts failed", tried.failed.len()));
        }
        if !tried.failed.iter().any(|ended| ended.sent()) {
            return Some("it was never sent".to_owned());
        }
        // Where not all events wait for one another, one that was posted before it can be taken after it failed.
        let any = !fact.is_in_one_order();
        let later = fact.tried.iter().any(|(event, tried)| {
            let later = self.events.get(event).is_some_and(|known| known.position > position);
            tried.taken > 0 && *event != letter.event && (any || later)
        });
        (!later).then(|| "no later event was taken".to_owned())
    }
}

impl Checker {
    /// Deliveries that endpoints took, repeats included.
    pub fn deliveries(&self) -> u64 {
        self.webhooks.values().flat_map(|fact| fact.tried.values()).map(|tried| tried.taken).sum()
    }
}

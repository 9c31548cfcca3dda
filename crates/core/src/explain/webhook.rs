//! How a webhook is: does it take its events, and what waits for it.

use super::words::{At, cause, count, when, why_disabled};
use crate::attempt::Next;
use crate::ports::{LaneMode, WebhookFacts};
use crate::time::Millis;

/// How a webhook is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateCode {
    /// Nothing is known against it.
    Healthy,
    /// Events are set aside: the next ones tell whether those are poison or the URL is down.
    Suspect,
    /// The URL is down.
    Outage,
    /// It takes no deliveries at present.
    Disabled,
    /// Nothing waits for it, and the delivery log has no attempt.
    Idle,
}

impl StateCode {
    /// The stable word for it, in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Outage => "outage",
            Self::Disabled => "disabled",
            Self::Idle => "idle",
        }
    }
}

/// How a webhook is, for programs and for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// For programs.
    pub code: StateCode,
    /// For people: what happens next, when, and what to do.
    pub sentence: String,
    /// Since when it is so, where that is known.
    pub since: Option<Millis>,
    /// When the oldest event that waits for it was accepted.
    pub oldest: Option<Millis>,
    /// When the URL is tried again, while it is down.
    pub next_probe: Option<Millis>,
}

/// How a webhook is.
pub fn webhook(facts: &WebhookFacts, now: Millis) -> State {
    let waiting = facts.backlog.first.as_ref().map(|first| first.accepted_at);
    let aside = facts.oldest_aside.map(|(_, accepted_at)| accepted_at);
    let (code, since, sentence) = decide(facts, now);
    let next_probe = match facts.lane.map(|lane| lane.mode) {
        Some(LaneMode::Outage { next_probe, .. }) if code == StateCode::Outage => Some(next_probe),
        _ => None,
    };
    State { code, sentence, since, oldest: waiting.into_iter().chain(aside).min(), next_probe }
}

fn decide(facts: &WebhookFacts, now: Millis) -> (StateCode, Option<Millis>, String) {
    let events = |number| count(number, "event", "events");
    let waiting = match facts.backlog.ahead {
        0 => "nothing waits for it".to_owned(),
        1 => "1 event waits for it".to_owned(),
        number => format!("{} wait for it", events(number)),
    };
    if let Some((at, reason)) = facts.webhook.disabled {
        let sentence = format!(
            "It is disabled since {} because {}; {waiting}. Enable it to get them in order.",
            At(at),
            why_disabled(reason)
        );
        return (StateCode::Disabled, Some(at), sentence);
    }
    let why = facts.last_failure.map(|(_, last)| cause(last));
    if let Some(LaneMode::Outage { since, next_probe, .. }) = facts.lane.map(|lane| lane.mode) {
        let because = why.map_or_else(String::new, |why| format!(" because {why}"));
        let sentence = format!(
            "The URL is down since {}{because}; {waiting}, in order, and nothing is given up. The first is tried again \
             {}: resume the webhook to try at once.",
            At(since),
            when(next_probe, now)
        );
        return (StateCode::Outage, Some(since), sentence);
    }
    if facts.lane.is_some() || facts.set_aside > 0 {
        let because = why.map_or_else(String::new, |why| format!(", the last because {why}"));
        let sentence = format!(
            "All attempts of {} failed{because}. The next ones tell: if one of them is delivered, those become dead \
             letters; if they fail too, the URL is down, and all are tried again. {}.",
            events(facts.set_aside),
            capital(&waiting)
        );
        return (StateCode::Suspect, facts.oldest_aside.map(|(at, _)| at), sentence);
    }
    let Some(newest) = &facts.newest else {
        if facts.backlog.ahead == 0 {
            let sentence = "Nothing waits for it, and the delivery log has no attempt: it gets the next event that it \
                            takes.";
            return (StateCode::Idle, None, sentence.to_owned());
        }
        return (StateCode::Healthy, None, format!("{}, and is sent in order.", capital(&waiting)));
    };
    let sentence = match newest.next {
        Next::Delivered => format!("The URL took what was sent to it last, at {}; {waiting}.", At(newest.started_at)),
        Next::Retry(at) => format!(
            "Its last attempt failed because {}: it is retried {}; {waiting}.",
            cause(newest.ended.last()),
            when(at, now)
        ),
        Next::DeadLetter => format!(
            "The URL refused what was sent to it last, at {}: {}. {} open; {waiting}.",
            At(newest.started_at),
            cause(newest.ended.last()),
            match facts.dead_letters {
                1 => "1 dead letter is".to_owned(),
                number => format!("{} are", count(number, "dead letter", "dead letters")),
            }
        ),
        _ => format!(
            "Its last attempt, at {}, failed because {}; {waiting}.",
            At(newest.started_at),
            cause(newest.ended.last())
        ),
    };
    (StateCode::Healthy, None, sentence)
}

/// The same at the beginning of a sentence.
fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

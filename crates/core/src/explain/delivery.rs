//! Where a delivery stands: one answer for each, from where its row is and what the delivery log has of it.

use super::FRESH;
use super::words::{At, cause, count, when, why_disabled};
use crate::attempt::{AttemptRecord, Next};
use crate::delivery::{Closing, DeadReason, LastAttempt};
use crate::ids::{EventId, RegistryVersion};
use crate::ports::{Dead, EventFacts, LaneMode, Line, Place, Recipient, Track};
use crate::time::Millis;

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// The URL took it.
    Delivered,
    /// It is on its way, or waits for its turn.
    Waiting,
    /// It failed, and is tried again.
    Retrying,
    /// The URL is down: it waits until that answers again.
    Outage,
    /// All its attempts failed: the next events tell whether it is poison.
    SetAside,
    /// It was given up.
    DeadLetter,
    /// It was given up, and sent again.
    Resent,
    /// It was given up, and a person discarded it.
    Discarded,
    /// A person dropped it while it waited.
    Dropped,
    /// The webhook does not take its type.
    Filtered,
    /// The webhook was registered after the event was accepted.
    RegisteredLater,
    /// It waits until the webhook is enabled.
    Disabled,
    /// The webhook is deleted, and the delivery with it.
    Deleted,
    /// Nothing is known of it.
    Unknown,
}

impl Code {
    /// The stable word for it, in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Outage => "outage",
            Self::SetAside => "set_aside",
            Self::DeadLetter => "dead_letter",
            Self::Resent => "resent",
            Self::Discarded => "discarded",
            Self::Dropped => "dropped",
            Self::Filtered => "filtered",
            Self::RegisteredLater => "registered_later",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a delivery stands, for programs and for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// For programs.
    pub code: Code,
    /// For people: what happens next, when, and what to do.
    pub sentence: String,
    /// Since when it is so.
    pub since: Option<Millis>,
    /// Attempts that were made.
    pub attempts: u32,
    /// When the newest of them started.
    pub last_attempt_at: Option<Millis>,
    /// When it is tried next, where that is known.
    pub next_at: Option<Millis>,
    /// Deliveries that must end before it is tried, counted up to [`Line::MOST`].
    pub ahead: Option<u64>,
    /// The message of the first of them.
    pub blocked_by: Option<EventId>,
}

/// What became of an event at a webhook, and of its resends to it, in their order.
pub fn event(facts: &EventFacts, recipient: &Recipient, now: Millis) -> (Standing, Vec<(EventId, Standing)>) {
    let own = Delivery { recipient, track: &recipient.own, accepted_at: facts.accepted_at, now };
    let own = own.ended().unwrap_or_else(|| match not_for_it(facts, recipient) {
        Some((code, sentence, since)) if own.is_unseen() => own.standing(code, since, sentence),
        _ => own.on_its_way(),
    });
    let resends = recipient.resends.iter().map(|(id, track)| {
        let resend = Delivery { recipient, track, accepted_at: id.given_at().unwrap_or(facts.accepted_at), now };
        (*id, resend.ended().unwrap_or_else(|| resend.on_its_way()))
    });
    (own, resends.collect())
}

/// Why an event was never meant for a webhook.
fn not_for_it(facts: &EventFacts, recipient: &Recipient) -> Option<(Code, String, Option<Millis>)> {
    let webhook = &recipient.webhook;
    let later = facts.registry.map_or(webhook.created_at > facts.accepted_at, |version| webhook.added > version);
    if later && !facts.directed {
        let sentence = format!(
            "The webhook was registered at {}, after the event was accepted: it gets only later ones.",
            At(webhook.created_at)
        );
        return Some((Code::RegisteredLater, sentence, Some(webhook.created_at)));
    }
    let newest = RegistryVersion(i64::MAX);
    let types =
        webhook.event_types.as_ref().filter(|_| !facts.directed && !webhook.takes(&facts.event_type, newest))?;
    let sentence = format!(
        "The webhook takes {} only, and this event is of the type {}: to get such events, add that to its eventTypes.",
        types.join(", "),
        facts.event_type
    );
    Some((Code::Filtered, sentence, None))
}

/// One delivery, and what is known beside it.
struct Delivery<'a> {
    recipient: &'a Recipient,
    track: &'a Track,
    accepted_at: Millis,
    now: Millis,
}

impl Delivery<'_> {
    /// Its end, if it has come.
    fn ended(&self) -> Option<Standing> {
        if let Place::Dead(dead) = &self.track.place {
            return Some(self.dead(dead));
        }
        if let Some(at) = self.track.tried.as_ref().and_then(|tried| tried.delivered_at) {
            return Some(self.standing(Code::Delivered, Some(at), format!("The URL took it at {}.", At(at))));
        }
        let at = self.recipient.deleted_at?;
        let sentence =
            format!("The webhook was deleted at {}, and what it had not got by then was dropped with it.", At(at));
        Some(self.standing(Code::Deleted, Some(at), sentence))
    }

    /// Neither a row nor an attempt is known of it.
    fn is_unseen(&self) -> bool {
        self.track.place == Place::Nowhere && self.track.tried.is_none()
    }

    fn dead(&self, dead: &Dead) -> Standing {
        let said = dead.closed_reason.as_ref().map_or_else(String::new, |said| format!(" ({said})"));
        match dead.closed {
            Some((at, Closing::Resent)) => {
                let resend = dead.resent_as.map_or_else(String::new, |id| format!(" as {id}: see its resends"));
                let sentence =
                    format!("It was given up at {}, and sent again at {}{resend}.", At(dead.died_at), At(at));
                self.standing(Code::Resent, Some(at), sentence)
            }
            Some((at, Closing::Discarded)) => {
                let sentence = format!("It was given up at {}, and discarded at {}{said}.", At(dead.died_at), At(at));
                self.standing(Code::Discarded, Some(at), sentence)
            }
            Some((at, Closing::Dropped)) => {
                let sentence = format!("It was dropped at {} with all that waited{said}.", At(at));
                self.standing(Code::Dropped, Some(at), sentence)
            }
            None => {
                let because = dead.last.map_or_else(String::new, |last| format!(" because {}", cause(last)));
                let why = match dead.reason {
                    DeadReason::Fatal => format!("{because}, which no repetition mends"),
                    DeadReason::Poison => format!(
                        ": all {} failed while a later event was delivered (in the end{because})",
                        count(dead.attempts.into(), "attempt", "attempts")
                    ),
                    DeadReason::Expired => ": it waited longer than backlogs are kept".to_owned(),
                    DeadReason::Skipped => ": someone took it out of the way of those behind it".to_owned(),
                    DeadReason::Dropped => ": someone dropped it with all that waited".to_owned(),
                };
                let what_to_do = if self.recipient.deleted_at.is_some() {
                    "The webhook is deleted since: post the event again for a new one, if it is still wanted."
                } else {
                    "It is a dead letter: resend it when the cause is mended, or discard it."
                };
                let sentence = format!("It was given up at {}{why}. {what_to_do}", At(dead.died_at));
                self.standing(Code::DeadLetter, Some(dead.died_at), sentence)
            }
        }
    }

    fn on_its_way(&self) -> Standing {
        match &self.track.place {
            Place::SetAside { attempts, last, at } => self.set_aside(*attempts, *last, *at),
            Place::Backlog { .. } => self.waiting(),
            Place::Nowhere | Place::Dead(_) => self.without_a_row(),
        }
    }

    fn set_aside(&self, attempts: u32, last: LastAttempt, at: Millis) -> Standing {
        let sentence = format!(
            "All {} failed, the last because {}: it waits aside until the next events tell. If one of them is \
             delivered, this one becomes a dead letter; if they fail too, the URL is down, and it is tried again.",
            count(attempts.into(), "attempt", "attempts"),
            cause(last)
        );
        self.standing(Code::SetAside, Some(at), sentence)
    }

    /// It is in memory or in the queue, or its end left no trace.
    fn without_a_row(&self) -> Standing {
        let newest = self.newest();
        let seen = newest.map_or(self.accepted_at, |newest| newest.next.at().unwrap_or(newest.started_at));
        if seen.0 <= self.now.0.saturating_sub(FRESH) {
            let sentence = "Nothing rests of it, and the delivery log has no delivery of it: it was delivered and its \
                            line is lost, is not kept any more or is being written just now, or it was dropped. Look \
                            for it at the receiver, and post the event again if it is not there.";
            return self.standing(Code::Unknown, None, sentence.to_owned());
        }
        match newest.map(|newest| (newest, newest.next)) {
            None if self.line_is_empty() && self.recipient.webhook.disabled.is_none() => {
                let sentence = "It was accepted moments ago and is on its way: ask again in a few seconds.";
                self.standing(Code::Waiting, Some(self.accepted_at), sentence.to_owned())
            }
            Some((newest, Next::SetAside)) => self.set_aside(newest.number, newest.ended.last(), newest.started_at),
            Some((newest, Next::DeadLetter)) => {
                let sentence = format!(
                    "It is given up because {}, which no repetition mends: it becomes a dead letter.",
                    cause(newest.ended.last())
                );
                self.standing(Code::DeadLetter, Some(newest.started_at), sentence)
            }
            _ => self.waiting(),
        }
    }

    /// It waits: for its next attempt, for those before it, or for its webhook.
    fn waiting(&self) -> Standing {
        if let Some((at, reason)) = self.recipient.webhook.disabled {
            let sentence = format!(
                "The webhook is disabled since {} because {}: the event waits in its backlog{}, and is delivered in \
                 order when the webhook is enabled again.",
                At(at),
                why_disabled(reason),
                self.behind()
            );
            return self.standing(Code::Disabled, Some(at), sentence);
        }
        let outage = match (self.recipient.lane.map(|lane| lane.mode), self.newest().map(|newest| newest.next)) {
            (Some(LaneMode::Outage { since, next_probe, .. }), _) => Some((since, next_probe)),
            // Its record is being written.
            (_, Some(Next::Outage(at))) if self.track.place == Place::Nowhere => {
                Some((self.newest().map_or(at, |newest| newest.started_at), at))
            }
            _ => None,
        };
        match outage {
            Some((since, probe)) => self.in_outage(since, probe),
            None if self.line_is_empty() => self.next_in_line(),
            None => {
                let sentence = format!("Waits for its turn{}{}.", self.behind(), self.what_the_first_does());
                self.standing(Code::Waiting, Some(self.accepted_at), sentence)
            }
        }
    }

    fn in_outage(&self, since: Millis, probe: Millis) -> Standing {
        let down = format!("The URL is down since {}", At(since));
        let what_to_do = "Nothing is given up meanwhile; resume the webhook to try at once.";
        if !self.line_is_empty() {
            let because = self.first_failure().map_or_else(String::new, |why| format!(" because {why}"));
            let sentence = format!(
                "{down}: waits for its turn{}; the first of them is tried again {}{because}. {what_to_do}",
                self.behind(),
                when(probe, self.now)
            );
            return self.standing(Code::Outage, Some(since), sentence);
        }
        let because =
            self.newest().map_or_else(String::new, |newest| format!(" because {}", cause(newest.ended.last())));
        let sentence = format!(
            "{down}: this event is the first to be tried again, {}{because}. {what_to_do}",
            when(probe, self.now)
        );
        Standing { next_at: Some(probe), ..self.standing(Code::Outage, Some(since), sentence) }
    }

    /// Nothing is before it.
    fn next_in_line(&self) -> Standing {
        let Some(newest) = self.newest() else {
            let sentence = "It is the first in line: it is being sent, or is about to be.".to_owned();
            return self.standing(Code::Waiting, Some(self.accepted_at), sentence);
        };
        let next = newest.next.at().map_or_else(|| "soon".to_owned(), |at| when(at, self.now));
        let sentence = format!(
            "Attempt {} failed because {}: it is retried {next}; those behind it wait.",
            newest.number,
            cause(newest.ended.last())
        );
        Standing { next_at: newest.next.at(), ..self.standing(Code::Retrying, Some(newest.started_at), sentence) }
    }

    fn line_is_empty(&self) -> bool {
        self.track.line.as_ref().is_some_and(|line| line.ahead == 0)
    }

    /// ` behind 12 others`, where that is known.
    fn behind(&self) -> String {
        let ahead = self.track.line.as_ref().map_or(0, |line| line.ahead);
        if ahead == 0 { String::new() } else { format!(" behind {}", count(ahead, "other", "others")) }
    }

    fn what_the_first_does(&self) -> String {
        let Some(first) = self.track.line.as_ref().and_then(|line| line.first.as_ref()) else { return String::new() };
        match first.newest.as_ref().map(|newest| (newest.next, cause(newest.ended.last()))) {
            Some((Next::Retry(at), why)) => {
                format!("; the first of them, event {}, is retried {} because {why}", first.message, when(at, self.now))
            }
            Some((Next::Delivered, _)) | None => {
                format!("; the first of them, event {}, is being sent", first.message)
            }
            Some((_, why)) => format!("; the first of them, event {}, is tried again because {why}", first.message),
        }
    }

    fn first_failure(&self) -> Option<String> {
        let newest = self.track.line.as_ref()?.first.as_ref()?.newest.as_ref()?;
        (newest.next != Next::Delivered).then(|| cause(newest.ended.last()))
    }

    fn newest(&self) -> Option<&AttemptRecord> {
        self.track.tried.as_ref().map(|tried| &tried.newest)
    }

    fn standing(&self, code: Code, since: Option<Millis>, sentence: String) -> Standing {
        let row = match &self.track.place {
            Place::Backlog { attempts, .. } | Place::SetAside { attempts, .. } => *attempts,
            Place::Dead(dead) => dead.attempts,
            Place::Nowhere => 0,
        };
        let logged = self.track.tried.as_ref().map_or(0, |tried| tried.attempts);
        let waits = matches!(code, Code::Waiting | Code::Retrying | Code::Outage | Code::Disabled);
        let line = self.track.line.as_ref().filter(|_| waits);
        Standing {
            code,
            sentence,
            since,
            attempts: row.max(logged),
            last_attempt_at: self.newest().map(|newest| newest.started_at),
            next_at: None,
            ahead: line.map(|line: &Line| line.ahead),
            blocked_by: line
                .filter(|line| line.ahead > 0)
                .and_then(|line| line.first.as_ref())
                .map(|first| first.message),
        }
    }
}

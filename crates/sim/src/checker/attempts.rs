//! One at a time, in order, to the byte, and only where it may go.

use bytes::Bytes;
use spectrum_webhook_core::attempt::Ended;
use spectrum_webhook_core::ids::{EventId, Sequence, WebhookId};
use spectrum_webhook_core::ports::Lease;

use super::facts::{Open, Target};
use super::{Calm, Checker};

/// An attempt that starts.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its name in this run.
    pub id: u64,
    /// The webhook.
    pub webhook: WebhookId,
    /// The event.
    pub event: EventId,
    /// Where it goes.
    pub target: Target,
    /// The ownership that starts it.
    pub ownership: u64,
    /// When that ownership began.
    pub since: u64,
    /// `X-Spectrum-Attempt`.
    pub number: u32,
    /// The lease that it is started under, where several processes have some.
    pub lease: Option<Lease>,
}

impl Checker {
    /// An attempt starts: the connection is made from here on.
    pub fn started(&mut self, now: u64, started: &Started) {
        let Started { id, webhook, event, target, ownership, since, number, lease } = started;
        let paused = self.starts_under(now, *lease, *since, (*webhook, *event));
        let calm = self.calm;
        let beside = self.webhooks.get(webhook).map(|fact| &fact.open[..]).unwrap_or_default();
        let beside = beside.iter().filter(|open| !self.is_excused(open, *lease));
        let open: Vec<EventId> = beside.map(|open| open.event).collect();
        let Some(fact) = self.webhooks.get_mut(webhook) else {
            return self.cry(|| format!("an attempt for webhook {webhook}, which nobody registered"));
        };
        fact.open.push(Open { id: *id, event: *event, lease: *lease });
        let one = fact.is_in_one_order();
        let body = |event: &EventId| self.events.get(event).map(|known| &known.body[..]).unwrap_or_default();
        let key = fact.key(body(event));
        let beside = open.iter().any(|other| other == event || (key.is_some() && fact.key(body(other)) == key));
        let off = fact.off;
        let known = fact.urls.allows(&target.url) && fact.secrets.allows(&target.secret);
        let tried = fact.tried.entry(*event).or_default();
        let heard = tried.heard_by == Some(*ownership);
        let repeated = calm >= Calm::Orderly && tried.taken > 0 && tried.unheard == 0;
        let numbered = calm < Calm::Still || u64::from(*number) == tried.failed.len() as u64 + 1;
        let known_event = self.events.get(event);
        let (copies, project) = known_event.map_or((0, None), |event| (event.copies, Some(event.project)));
        // An event that an earlier owner had may be sent again when that one's marks were lost.
        let own = known_event.is_some_and(|event| event.published >= *since);
        let same_project = self.webhooks.get(webhook).map(|fact| fact.project) == project;
        self.must(copies > 0, || format!("an attempt of event {event}, which the queue never took"));
        self.must(copies == 0 || same_project, || format!("event {event} goes to another project's webhook {webhook}"));
        self.must(!beside, || format!("{event} starts at webhook {webhook} beside one that it waits for: {open:?}"));
        let most = if one { 1 } else { self.parallel };
        self.must(open.len() < most, || format!("{most} attempts are open at webhook {webhook}, and {event} starts"));
        self.must(!off || paused, || {
            format!("an attempt of {event} for webhook {webhook} after it was confirmed to be off")
        });
        self.must(known || paused, || {
            format!("an attempt of {event} for webhook {webhook} as it was before a confirmed change")
        });
        let again = ((heard && own) || repeated) && copies == 1;
        self.must(!again, || format!("{event} is sent again to webhook {webhook}, which has taken it"));
        self.must(numbered || copies > 1, || format!("attempt {number} of {event} at {webhook} has a wrong number"));
    }

    /// A request arrives at an endpoint.
    pub fn arrived(&mut self, webhook: WebhookId, event: EventId, sequence: Sequence, body: &Bytes) {
        let Some(known) = self.events.get(&event) else { return };
        let (position, begun, last_published, copies) =
            (known.position, known.begun, known.last_published, known.copies);
        let exact = known.body == body;
        self.must(exact, || format!("the body of {event} at webhook {webhook} is not the one that was posted"));
        let Some(fact) = self.webhooks.get_mut(&webhook) else { return };
        let late = fact.begun > last_published;
        // A later copy may be for a webhook that the first one was not for, and then it comes in that copy's place.
        let by_a_copy = copies > 1 && fact.registered.is_none_or(|at| at > begun);
        fact.tried.entry(event).or_default().arrived += 1;
        let first = fact.arrived.insert(event) && !by_a_copy;
        let key = fact.key(body);
        // What arrived in one order before was in the order of its space too.
        let latest = key.as_ref().and_then(|key| fact.latest.get(key).copied());
        if first && let Some(key) = key {
            fact.latest.insert(key, (position, sequence.0));
        }
        self.must(!late, || format!("{event} arrives at webhook {webhook}, which was registered later"));
        if let Some((place, number)) = latest.filter(|_| first) {
            self.must(place < position, || {
                format!("{event} (place {position}) arrives first at {webhook} after place {place}")
            });
            let late = self.may_be_late(&(webhook, event));
            self.must(number < sequence.0 || late, || {
                format!("{event} arrives first at {webhook} with number {sequence} after {number}")
            });
        }
    }

    /// The endpoint took an event.
    pub fn taken(&mut self, now: u64, webhook: WebhookId, event: EventId) {
        let Some(fact) = self.webhooks.get_mut(&webhook) else { return };
        let tried = fact.tried.entry(event).or_default();
        tried.taken += 1;
        tried.first_taken.get_or_insert(now);
    }

    /// An attempt ended, and its sender heard how.
    pub fn ended(&mut self, id: u64, webhook: WebhookId, event: EventId, ended: Ended, ownership: u64) {
        let Some(fact) = self.webhooks.get_mut(&webhook) else { return };
        fact.open.retain(|open| open.id != id);
        if matches!(ended, Ended::Answered { status: 410, .. }) {
            fact.was_disabled = true;
        }
        let tried = fact.tried.entry(event).or_default();
        match ended {
            Ended::Answered { status: 200..=299, .. } => tried.heard_by = Some(ownership),
            failed => {
                tried.failed.push(failed);
                if tried.taken > 0 {
                    tried.unheard += 1;
                }
            }
        }
    }

    /// An attempt goes on beyond the reach of its process, which stands still: nobody can abort it.
    pub fn out_of_reach(&mut self, id: u64, webhook: WebhookId) {
        if let Some(fact) = self.webhooks.get_mut(&webhook) {
            fact.open.retain(|open| open.id != id);
        }
    }

    /// An attempt ended with its process, or its ownership: nobody heard how.
    pub fn cut(&mut self, id: u64, webhook: WebhookId, event: EventId) {
        let Some(fact) = self.webhooks.get_mut(&webhook) else { return };
        fact.open.retain(|open| open.id != id);
        fact.tried.entry(event).or_default().unheard += 1;
    }
}

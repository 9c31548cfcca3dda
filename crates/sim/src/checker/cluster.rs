//! One owner, no repeat of what was marked, one id for a key: judged by what the services were asked for and when they
//! forgot it.

use std::collections::{BTreeMap, BTreeSet};

use spectrum_webhook_core::ids::{EventId, PartitionId, WebhookId};
use spectrum_webhook_core::ports::Lease;

use super::Checker;
use super::facts::Open;

/// A lease that was granted, and when it was renewed last.
#[derive(Debug)]
struct Grant {
    lease: Lease,
    granted: u64,
    renewed: u64,
    /// When its holder's machine went on after a pause.
    paused: Option<u64>,
}

/// What is known of leases, marks and keys.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The leases of each partition, in the order in which they were granted.
    leases: BTreeMap<PartitionId, Vec<Grant>>,
    /// When leases, marks and records were forgotten.
    forgotten: Vec<u64>,
    /// Deliveries that were marked after they were heard to be taken.
    marked: BTreeMap<(WebhookId, EventId), u64>,
    /// Deliveries that were attempted by one who was paused.
    late: BTreeSet<(WebhookId, EventId)>,
    /// The id under which a client's event is known.
    ids: BTreeMap<usize, EventId>,
}

/// How long a mark is kept at least, in milliseconds.
const MARK: u64 = 120_000;

impl Known {
    fn place(&self, lease: &Lease) -> Option<usize> {
        self.leases.get(&lease.partition)?.iter().rposition(|grant| grant.lease == *lease)
    }

    /// Whether a younger lease of the partition was granted, nothing was forgotten between that and the last renewal of the
    /// older one, whichever came first, and its holder's machine was not paused since.
    fn is_superseded(&self, lease: &Lease) -> bool {
        let (Some(place), Some(grants)) = (self.place(lease), self.leases.get(&lease.partition)) else { return false };
        let Some(next) = grants.get(place + 1) else { return false };
        let (granted, renewed) = (next.granted, grants[place].renewed);
        if grants[place].paused.is_some_and(|at| at >= renewed) {
            return false;
        }
        let between = granted.min(renewed)..=granted.max(renewed);
        !self.forgotten.iter().any(|at| between.contains(at))
    }

    /// Whether the holder of a lease was paused with its machine, and has not heard of Redis since.
    fn is_paused(&self, lease: &Lease) -> bool {
        let (Some(place), Some(grants)) = (self.place(lease), self.leases.get(&lease.partition)) else { return false };
        grants.len() > place + 1 && grants[place].paused.is_some_and(|at| at >= grants[place].renewed)
    }

    /// Whether two leases may overlap: something was forgotten in between.
    fn may_overlap(&self, one: Option<Lease>, other: Option<Lease>) -> bool {
        let (Some(one), Some(other)) = (one, other) else { return false };
        let older = if self.place(&one) < self.place(&other) { one } else { other };
        one != other && !self.is_superseded(&older)
    }
}

impl Checker {
    /// A lease was granted.
    pub fn granted(&mut self, now: u64, lease: Lease) {
        let grants = self.known.leases.entry(lease.partition).or_default();
        grants.push(Grant { lease, granted: now, renewed: now, paused: None });
    }

    /// A lease was renewed.
    pub fn renewed(&mut self, now: u64, lease: &Lease) {
        let Some(place) = self.known.place(lease) else { return };
        if let Some(grants) = self.known.leases.get_mut(&lease.partition) {
            grants[place].renewed = now;
        }
    }

    /// The machine of a lease's holder was paused, with its clock.
    pub fn was_paused(&mut self, now: u64, lease: &Lease) {
        let Some(place) = self.known.place(lease) else { return };
        if let Some(grants) = self.known.leases.get_mut(&lease.partition) {
            grants[place].paused = Some(now);
        }
    }

    /// Leases, marks and records may be forgotten.
    pub fn forgot(&mut self, now: u64) {
        self.known.forgotten.push(now);
        self.known.marked.clear();
        self.known.ids.clear();
    }

    /// A delivery that has no row is marked as settled by an ownership.
    pub fn marked(&mut self, now: u64, ownership: u64, webhook: WebhookId, event: EventId) {
        let tried = self.webhooks.get(&webhook).and_then(|fact| fact.tried.get(&event));
        if tried.is_some_and(|tried| tried.heard_by == Some(ownership)) {
            self.known.marked.entry((webhook, event)).or_insert(now);
        }
    }

    /// A delivery has a row: whatever is marked, it will be sent.
    pub fn rests(&mut self, webhook: WebhookId, event: EventId) {
        self.known.marked.remove(&(webhook, event));
    }

    /// The queue took a client's event under an id, which admission gave at `begun`, or later.
    pub fn posted(&mut self, post: usize, id: EventId, begun: u64) {
        if self.known.forgotten.last().is_some_and(|at| *at >= begun) {
            return;
        }
        let first = *self.known.ids.entry(post).or_insert(id);
        self.must(first == id, || format!("one event of a client is {first} and {id}"));
    }

    /// An attempt starts under a lease; returns whether its holder was paused with its machine: what it starts is then at
    /// worst late.
    pub(super) fn starts_under(
        &mut self,
        now: u64,
        lease: Option<Lease>,
        since: u64,
        delivery: (WebhookId, EventId),
    ) -> bool {
        let paused = lease.is_some_and(|lease| self.known.is_paused(&lease));
        if paused {
            self.known.late.insert(delivery);
        }
        let superseded = lease.is_some_and(|lease| self.known.is_superseded(&lease));
        self.must(!superseded, || format!("an attempt starts under {lease:?}, which is not the newest"));
        let marked = self.known.marked.get(&delivery).copied();
        // What it had in memory before the mark it may send once more; and what was published once more is looked up.
        let published = self.events.get(&delivery.1).map_or(0, |event| event.last_published);
        let known = marked.is_some_and(|marked| marked < since.max(published) && now < marked + MARK);
        self.must(!known, || format!("{} is sent again to {}, though it was marked as taken", delivery.1, delivery.0));
        paused
    }

    /// Whether one who was paused has sent it.
    pub(super) fn may_be_late(&self, delivery: &(WebhookId, EventId)) -> bool {
        self.known.late.contains(delivery)
    }

    /// Whether an attempt that is open may go on beside one that starts.
    pub(super) fn is_excused(&self, open: &Open, lease: Option<Lease>) -> bool {
        self.known.may_overlap(open.lease, lease)
    }
}

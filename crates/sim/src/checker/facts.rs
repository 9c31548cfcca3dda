//! What is known of events and webhooks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use spectrum_webhook_core::attempt::Ended;
use spectrum_webhook_core::ids::{EventId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::Lease;
use spectrum_webhook_core::time::Millis;

/// An event that the queue took.
#[derive(Debug)]
pub(super) struct EventFact {
    pub(super) project: ProjectId,
    /// Its place among all events, by when the queue took its first copy.
    pub(super) position: u64,
    pub(super) body: Bytes,
    /// When the post began that the queue took it from.
    pub(super) begun: u64,
    pub(super) published: u64,
    pub(super) last_published: u64,
    pub(super) copies: u64,
    /// A resend is for one webhook alone.
    pub(super) only: Option<WebhookId>,
}

/// Where an attempt goes and what it is signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The URL.
    pub url: String,
    /// The key.
    pub secret: String,
}

/// One attempt that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: u64,
    pub(super) event: EventId,
    pub(super) lease: Option<Lease>,
}

/// What was tried of a delivery.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// How attempts ended, of those that did not bring it there.
    pub(super) failed: Vec<Ended>,
    /// Arrived, whatever was answered.
    pub(super) arrived: u64,
    /// Times that the endpoint took it, and when first.
    pub(super) taken: u64,
    pub(super) first_taken: Option<u64>,
    /// The ownership that last heard that it was taken.
    pub(super) heard_by: Option<u64>,
    /// Attempts whose end nobody heard, or that the endpoint took and seemed to fail.
    pub(super) unheard: u64,
}

/// A webhook.
#[derive(Debug)]
pub(super) struct WebhookFact {
    pub(super) project: ProjectId,
    /// When its registration was begun, and when it was answered.
    pub(super) begun: u64,
    pub(super) registered: Option<u64>,
    /// Someone began to delete it.
    pub(super) deleting: bool,
    /// It is told that it is off: no attempt may start.
    pub(super) off: bool,
    /// It was disabled at some time, by whomever.
    pub(super) was_disabled: bool,
    /// It had nothing but a healthy endpoint, and nobody changed it.
    pub(super) healthy: bool,
    /// Its URLs and its keys.
    pub(super) urls: Versions,
    pub(super) secrets: Versions,
    /// Every order that was ever asked for: what is promised by the weakest of them holds.
    pub(super) orders: BTreeSet<&'static str>,
    pub(super) open: Vec<Open>,
    /// The latest first arrival of each key: place and sequence number.
    pub(super) latest: BTreeMap<Vec<u8>, (u64, i64)>,
    pub(super) arrived: BTreeSet<EventId>,
    pub(super) tried: BTreeMap<EventId, Tried>,
    /// What people wanted to be skipped, and up to when they dropped what waits.
    pub(super) skips: BTreeSet<EventId>,
    pub(super) drops: Vec<Millis>,
}

impl WebhookFact {
    /// What an event is in order within, by all the orders that were asked for; `None` is nothing.
    pub(super) fn key(&self, body: &[u8]) -> Option<Vec<u8>> {
        if self.orders.contains("none") {
            return None;
        }
        if !self.orders.contains("space") {
            return Some(Vec::new());
        }
        // As this simulation writes it.
        let mark = b"\"space\":{\"id\":\"";
        let at = body.windows(mark.len()).position(|window| window == mark);
        Some(at.map_or_else(Vec::new, |at| body.iter().skip(at + mark.len()).take(2).copied().collect()))
    }

    /// Whether all its events wait for one another.
    pub(super) fn is_in_one_order(&self) -> bool {
        self.orders.iter().all(|order| *order == "project")
    }
}

/// What something is or was, oldest first.
#[derive(Debug)]
pub(super) struct Versions {
    all: Vec<String>,
    /// Those before are gone for good: a change was confirmed.
    floor: usize,
}

impl Versions {
    pub(super) fn new(first: String) -> Self {
        Self { all: vec![first], floor: 0 }
    }

    /// It may be this from here on.
    pub(super) fn begin(&mut self, next: &str) {
        if self.all.last().is_none_or(|last| last != next) {
            self.all.push(next.to_owned());
        }
    }

    /// It is this from here on, or something newer.
    pub(super) fn confirm(&mut self, version: &str) {
        if let Some(at) = self.all.iter().rposition(|one| one == version) {
            self.floor = self.floor.max(at);
        }
    }

    pub(super) fn allows(&self, version: &str) -> bool {
        self.all.iter().skip(self.floor).any(|one| one == version)
    }
}

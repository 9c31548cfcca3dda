//! One class's part of the slots, shared by least slot-time used.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use spectrum_webhook_core::ids::WebhookId;

use super::SlotTicket;

/// How far a lane can fall behind the others, in milliseconds of slot time: four whole attempts. More is forgiven.
const LARGEST_DEBT: u64 = 120_000;

/// Lanes whose use is remembered; those that used least are forgotten first.
pub(super) const LANES_REMEMBERED: usize = 100_000;

/// A request's turn: the slot time its lane had used, then the order in which it came.
pub(super) type Turn = (u64, u64);

#[derive(Debug)]
pub(super) struct Share {
    cap: usize,
    running: usize,
    waiting: BTreeMap<Turn, SlotTicket>,
    /// The slot time that a lane which used its fair part has used by now.
    level: u64,
    /// Lanes that have used more than that, twice: by lane and by use.
    used: HashMap<WebhookId, u64>,
    by_use: BTreeSet<(u64, WebhookId)>,
}

impl Share {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, running: 0, waiting: BTreeMap::new(), level: 0, used: HashMap::new(), by_use: BTreeSet::new() }
    }

    pub(super) fn cap(&self) -> usize {
        self.cap
    }

    pub(super) fn wait(&mut self, ticket: SlotTicket, lane: WebhookId, order: u64) -> Turn {
        let turn = (self.used_by(lane), order);
        self.waiting.insert(turn, ticket);
        turn
    }

    pub(super) fn cancel(&mut self, turn: Turn) {
        self.waiting.remove(&turn);
    }

    pub(super) fn next(&mut self) -> Option<SlotTicket> {
        if self.running >= self.cap {
            return None;
        }
        let ((used, _), ticket) = self.waiting.pop_first()?;
        self.raise(used);
        self.running += 1;
        Some(ticket)
    }

    /// One more runs, whatever the cap says.
    pub(super) fn join(&mut self) {
        self.running += 1;
    }

    pub(super) fn finished(&mut self, lane: WebhookId, used_ms: u64) {
        // Whoever runs or waits shares the progress; an attempt of no time counts too, or it could go on for ever.
        let sharers = (self.running + self.waiting.len()).max(1) as u64;
        self.running -= 1;
        let used_ms = used_ms.clamp(1, LARGEST_DEBT);
        let used = self.used_by(lane).saturating_add(used_ms).min(self.level.saturating_add(LARGEST_DEBT));
        if let Some(before) = self.used.insert(lane, used) {
            self.by_use.remove(&(before, lane));
        }
        self.by_use.insert((used, lane));
        self.raise(self.level.saturating_add(used_ms.div_ceil(sharers)));
        while self.by_use.len() > LANES_REMEMBERED {
            self.forget_least();
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.used.len()
    }

    fn used_by(&self, lane: WebhookId) -> u64 {
        self.used.get(&lane).copied().unwrap_or(0).max(self.level)
    }

    /// Raises the level; lanes below it are like those that never asked.
    fn raise(&mut self, level: u64) {
        self.level = self.level.max(level);
        while self.by_use.first().is_some_and(|(used, _)| *used <= self.level) {
            self.forget_least();
        }
    }

    fn forget_least(&mut self) {
        if let Some((_, lane)) = self.by_use.pop_first() {
            self.used.remove(&lane);
        }
    }
}

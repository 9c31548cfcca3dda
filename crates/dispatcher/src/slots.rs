//! Who may make an attempt next, so that any number of hanging or failing URLs leaves its part to the healthy ones.
//! Pure: requests go in, tickets come out; [`SlotGate`] is the shell around it.
//!
//! An attempt of a healthy lane has its slot for a second. A slow one, when others wait, gives it back sooner: a URL
//! that begins to hang is healthy until its attempt ends, and hundreds of them would take all slots at once.
//!
//! Each [`Class`] has slots of its own. The healthy wait in the order in which they came. In the other two classes
//! the lane that has used the least time of its slots goes first; this is start-time fair queueing: a request carries
//! the time that its lane had used when it came, or the class's virtual time if that is more, so that a newcomer
//! starts level with the rest instead of ahead of it, and nobody starves.

mod gate;
mod share;

use std::collections::{BTreeMap, HashMap};

use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::lane::Class;

pub use self::gate::{Permit, SlotGate};
use self::share::{Share, Turn};

/// How many attempts may be under way at once, by class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotSettings {
    /// Of lanes whose last attempt succeeded.
    pub healthy: usize,
    /// Of lanes whose last attempt failed. Attempts that lost a healthy slot count here, over the cap if need be.
    pub failing: usize,
    /// Of lanes in an outage.
    pub outage: usize,
}

impl Default for SlotSettings {
    fn default() -> Self {
        Self { healthy: 256, failing: 128, outage: 64 }
    }
}

/// Slow attempts that go on beside the healthy slots, in multiples of these: so many connections more.
const SLOW: usize = 4;

/// Names one request for a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotTicket(pub u64);

#[derive(Clone, Copy, Debug)]
enum Place {
    WaitsHealthy {
        order: u64,
    },
    Waits {
        class: Class,
        turn: Turn,
    },
    Runs {
        class: Class,
    },
    /// In a healthy lane, beside the slots.
    RunsSlowly,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    lane: WebhookId,
    place: Place,
}

/// The slots.
#[derive(Debug)]
pub struct Slots {
    healthy_cap: usize,
    healthy_running: usize,
    slow_running: usize,
    healthy: BTreeMap<u64, SlotTicket>,
    failing: Share,
    outage: Share,
    requests: HashMap<SlotTicket, Request>,
    order: u64,
}

impl Slots {
    /// All free. A class without a slot would starve: each has one at least.
    pub fn new(settings: SlotSettings) -> Self {
        Self {
            healthy_cap: settings.healthy.max(1),
            healthy_running: 0,
            slow_running: 0,
            healthy: BTreeMap::new(),
            failing: Share::new(settings.failing.max(1)),
            outage: Share::new(settings.outage.max(1)),
            requests: HashMap::new(),
            order: 0,
        }
    }

    /// A lane asks for a slot. A ticket is used once.
    pub fn request(&mut self, ticket: SlotTicket, lane: WebhookId, class: Class) {
        let order = self.order;
        self.order += 1;
        let place = match self.share(class) {
            Some(share) => Place::Waits { class, turn: share.wait(ticket, lane, order) },
            None => {
                self.healthy.insert(order, ticket);
                Place::WaitsHealthy { order }
            }
        };
        self.requests.insert(ticket, Request { lane, place });
    }

    /// The next that may start, which then counts as running; `None` when nobody may.
    pub fn start_next(&mut self) -> Option<SlotTicket> {
        let (ticket, class) = if self.healthy_running < self.healthy_cap
            && let Some((_, ticket)) = self.healthy.pop_first()
        {
            self.healthy_running += 1;
            (ticket, Class::Healthy)
        } else if let Some(ticket) = self.failing.next() {
            (ticket, Class::Failing)
        } else {
            (self.outage.next()?, Class::Outage)
        };
        if let Some(request) = self.requests.get_mut(&ticket) {
            request.place = Place::Runs { class };
        }
        Some(ticket)
    }

    /// An attempt is slow: when others wait for its healthy slot, it gives that back and goes on beside the slots, as
    /// long as not many do. `true` when a healthy slot became free.
    pub fn step_aside(&mut self, ticket: SlotTicket) -> bool {
        if self.healthy.is_empty() || self.slow_running >= self.healthy_cap * SLOW {
            return false;
        }
        match self.requests.get_mut(&ticket) {
            Some(request) if matches!(request.place, Place::Runs { class: Class::Healthy }) => {
                request.place = Place::RunsSlowly;
                self.healthy_running -= 1;
                self.slow_running += 1;
                true
            }
            _ => false,
        }
    }

    /// An attempt runs for long: a healthy slot is given back, and the attempt counts in the failing part. `true` when
    /// a healthy slot became free.
    pub fn demote(&mut self, ticket: SlotTicket) -> bool {
        match self.requests.get_mut(&ticket) {
            Some(request) if matches!(request.place, Place::Runs { class: Class::Healthy }) => {
                request.place = Place::Runs { class: Class::Failing };
                self.healthy_running -= 1;
                self.failing.join();
                true
            }
            Some(request) if matches!(request.place, Place::RunsSlowly) => {
                request.place = Place::Runs { class: Class::Failing };
                self.slow_running -= 1;
                self.failing.join();
                false
            }
            _ => false,
        }
    }

    /// An attempt ended; it had its slot for so many milliseconds. One that has not started is cancelled.
    pub fn finished(&mut self, ticket: SlotTicket, used_ms: u64) {
        let Some(request) = self.requests.remove(&ticket) else { return };
        match request.place {
            Place::WaitsHealthy { order } => {
                self.healthy.remove(&order);
            }
            Place::Waits { class, turn } => {
                if let Some(share) = self.share(class) {
                    share.cancel(turn);
                }
            }
            Place::Runs { class } => match self.share(class) {
                Some(share) => share.finished(request.lane, used_ms),
                None => self.healthy_running -= 1,
            },
            Place::RunsSlowly => self.slow_running -= 1,
        }
    }

    /// A request is not needed any more.
    pub fn cancel(&mut self, ticket: SlotTicket) {
        self.finished(ticket, 0);
    }

    /// Attempts of a class under way.
    pub fn running(&self, class: Class) -> usize {
        match class {
            Class::Healthy => self.healthy_running + self.slow_running,
            Class::Failing => self.failing.running(),
            Class::Outage => self.outage.running(),
        }
    }

    /// Slots of a class.
    pub fn cap(&self, class: Class) -> usize {
        match class {
            Class::Healthy => self.healthy_cap,
            Class::Failing => self.failing.cap(),
            Class::Outage => self.outage.cap(),
        }
    }

    /// Requests of a class that wait.
    pub fn waiting(&self, class: Class) -> usize {
        match class {
            Class::Healthy => self.healthy.len(),
            Class::Failing => self.failing.waiting(),
            Class::Outage => self.outage.waiting(),
        }
    }

    fn share(&mut self, class: Class) -> Option<&mut Share> {
        match class {
            Class::Healthy => None,
            Class::Failing => Some(&mut self.failing),
            Class::Outage => Some(&mut self.outage),
        }
    }
}

#[cfg(test)]
mod tests;

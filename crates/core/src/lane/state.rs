//! What a lane knows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::beyond::Beyond;
use super::{AttemptId, LaneSettings, Status, Terms, Ticket};
use crate::attempt::Ended;
use crate::delivery::{HeldDelivery, LastAttempt, Message};
use crate::ids::{EventId, Sequence, WebhookId};
use crate::ordering::{OrderKey, Ordering, Reading, Space};
use crate::ports::{LaneMode, LaneRecord, RestingLane};
use crate::time::{Millis, Mono};

/// One delivery in memory.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) event: EventId,
    pub(super) sequence: Sequence,
    /// What its place is counted within.
    pub(super) key: OrderKey,
    /// `None` as long as nobody asked for it.
    pub(super) space: Option<Space>,
    /// Attempts that failed.
    pub(super) attempts: u32,
    /// Those of them that an outage used up: once it is over, the event has all its attempts again.
    pub(super) before: u32,
    /// One of them was sent.
    pub(super) sent: bool,
    /// It has a row in the store, so it is settled.
    pub(super) held: bool,
    /// When it came into memory.
    pub(super) arrived: Mono,
    /// `None` only when it is held.
    pub(super) message: Option<Arc<Message>>,
}

impl Item {
    /// Attempts that failed and count against it.
    pub(super) fn tried(&self) -> u32 {
        self.attempts.saturating_sub(self.before)
    }

    /// The row that holds it; `None` when it has one.
    pub(super) fn row(&self) -> Option<HeldDelivery> {
        self.message.as_ref().filter(|_| !self.held).map(|message| HeldDelivery {
            sequence: self.sequence,
            attempts: self.attempts,
            sent: self.sent,
            space: self.space.unwrap_or_else(|| Space::of(&message.body)),
            message: Message::clone(message),
        })
    }
}

/// What is being done about a current delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// An attempt was asked for and has not ended.
    Attempting(AttemptId),
    /// The next attempt is due then.
    Waiting(Mono),
}

/// First attempts that may be under way at once when nothing speaks for the URL: few, but one key that hangs must not
/// hold up the others.
pub(super) const ALLOWANCE: usize = 4;

/// A delivery being tried.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) item: Item,
    pub(super) phase: Phase,
    /// It was taken in an outage, to see whether that is over.
    pub(super) probe: bool,
    /// When the webhook had been changed last, as far as was known when its last attempt was asked for.
    pub(super) seen: Millis,
}

impl Current {
    /// Whether its first attempt is under way.
    pub(super) fn is_first(&self) -> bool {
        self.is_attempting() && self.item.attempts == 0
    }

    /// Whether an attempt of it is under way.
    pub(super) fn is_attempting(&self) -> bool {
        matches!(self.phase, Phase::Attempting(_))
    }
}

/// A write that the lane waits for before it does anything else.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) ticket: Ticket,
    /// Settled by it.
    pub(super) settles: Vec<EventId>,
    /// Deliveries that become dead letters by name.
    pub(super) buries: u64,
    /// It disables the webhook.
    pub(super) disables: bool,
    /// It does what the first order asks for, or a step of it.
    pub(super) obeys: bool,
}

/// A read in flight. It counts for nothing once a hold or a return was sent after it.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) ticket: Ticket,
    pub(super) reading: Reading,
    pub(super) void: bool,
}

/// An outage, also while later events are tried during one whose evidence is not full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outage {
    pub(super) since: Millis,
    pub(super) probes: u32,
    pub(super) next_wall: Millis,
    pub(super) next: Mono,
    pub(super) proven: bool,
    /// An event that was never tried may be waiting behind the head.
    pub(super) fresh: bool,
}

/// What is thought of the URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// Nothing is known against it.
    Flowing,
    /// Events are exhausted; the next ones tell whether those were poison.
    Suspect,
    /// It is down.
    Outage,
}

/// What a lane does, for whoever counts lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It delivers.
    Flowing,
    /// Events are exhausted, and it is not known yet whether the URL is down.
    Suspect,
    /// Its URL is down: it is probed.
    Outage,
    /// Its webhook is disabled.
    Disabled,
    /// Its webhook is deleted: what waits is being dropped.
    Deleted,
}

impl Standing {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Flowing, Self::Suspect, Self::Outage, Self::Disabled, Self::Deleted];

    /// The stable word for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Flowing => "flowing",
            Self::Suspect => "suspect",
            Self::Outage => "outage",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }
}

/// The attempts of a delivery that was put back, kept while it waits in the backlog.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resume {
    pub(super) attempts: u32,
    pub(super) sent: bool,
}

/// The lane of one webhook.
#[derive(Debug)]
pub struct Lane {
    pub(super) webhook: WebhookId,
    pub(super) settings: Arc<LaneSettings>,
    pub(super) status: Status,
    pub(super) ordering: Ordering,
    /// The ordering that is asked for; it takes effect when all that is in memory is held.
    pub(super) wanted: Ordering,
    /// When the webhook was changed last, as far as the lane was told.
    pub(super) changed: Millis,
    /// How many first attempts may be under way at once, of different keys: one more with each delivery, and
    /// [`ALLOWANCE`] after a failure, so that a URL that hangs does not hang many of them.
    pub(super) allowance: usize,
    pub(super) health: Health,
    pub(super) outage: Option<Outage>,
    /// Events exhausted in a row.
    pub(super) exhausted: u32,
    /// Rows set aside.
    pub(super) set_aside: u64,
    /// The record as last written.
    pub(super) record: Option<LaneRecord>,
    /// One of a key at most.
    pub(super) current: BTreeMap<OrderKey, Current>,
    pub(super) head: VecDeque<Item>,
    /// Rows that the backlog may have beside the head's.
    pub(super) beyond: Beyond,
    pub(super) tail: VecDeque<Item>,
    pub(super) write: Option<Write>,
    /// Rows of delivered ones that are being removed: nothing waits for these but reads of their keys.
    pub(super) removals: BTreeMap<Ticket, OrderKey>,
    pub(super) fetch: Option<Fetch>,
    /// Ends that came while a write was in flight: one of a current delivery at most.
    pub(super) deferred: VecDeque<(OrderKey, Ended)>,
    pub(super) resume: BTreeMap<EventId, Resume>,
    /// What people want of the lane, in turn. Each is a message that is not acknowledged, so that the window bounds them.
    pub(super) orders: VecDeque<Arc<Message>>,
    /// How the last attempt ended.
    pub(super) last: Option<LastAttempt>,
    /// The last attempt failed.
    pub(super) failing: bool,
    /// Memory is scarce.
    pub(super) relieve: bool,
    /// Rows may be left of a deleted webhook.
    pub(super) sweep: bool,
    /// When the backlog of a disabled webhook is looked through for old events.
    pub(super) expiry: Option<Mono>,
    pub(super) tickets: u64,
    /// The wall clock at the last input.
    pub(super) wall: Millis,
}

impl Lane {
    /// The lane of a webhook with nothing at rest.
    pub fn new(webhook: WebhookId, terms: Terms, settings: Arc<LaneSettings>) -> Self {
        let Terms { status, ordering, changed } = terms;
        Self {
            webhook,
            settings,
            status,
            ordering,
            wanted: ordering,
            changed,
            allowance: ALLOWANCE,
            health: Health::Flowing,
            outage: None,
            exhausted: 0,
            set_aside: 0,
            record: None,
            current: BTreeMap::new(),
            head: VecDeque::new(),
            beyond: Beyond::default(),
            tail: VecDeque::new(),
            write: None,
            removals: BTreeMap::new(),
            fetch: None,
            deferred: VecDeque::new(),
            resume: BTreeMap::new(),
            orders: VecDeque::new(),
            last: None,
            failing: false,
            relieve: false,
            sweep: status == Status::Deleted,
            expiry: None,
            tickets: 0,
            wall: Millis(0),
        }
    }

    /// The lane of a webhook with something at rest, which goes on counting where the last owner stopped.
    pub fn resting(resting: &RestingLane, terms: Terms, settings: Arc<LaneSettings>, now: crate::time::Now) -> Self {
        let mut lane = Self::new(resting.webhook, terms, settings);
        if resting.backlog > 0 {
            lane.beyond = Beyond::everything();
        }
        lane.set_aside = resting.set_aside;
        lane.record = resting.record;
        lane.exhausted = resting.record.map_or(0, |record| record.exhausted);
        if let Some(LaneRecord { mode: LaneMode::Outage { since, probes, next_probe, proven }, .. }) = resting.record {
            // Stored by a clock that may have been another machine's: never wait longer than that clock's own wait.
            let ahead = u64::try_from(next_probe.0.saturating_sub(now.wall.0)).unwrap_or(0);
            let longest = lane.settings.probe.longest();
            lane.health = Health::Outage;
            lane.outage = Some(Outage {
                since,
                probes,
                next_wall: next_probe,
                next: now.mono.plus(ahead.min(longest)),
                proven,
                fresh: true,
            });
            lane.failing = true;
        } else if lane.set_aside > 0 || resting.record.is_some() {
            lane.health = Health::Suspect;
            lane.failing = true;
        }
        lane
    }

    /// The webhook.
    pub fn webhook(&self) -> WebhookId {
        self.webhook
    }

    /// Whether the webhook takes deliveries, as far as the lane was told.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What is thought of the URL.
    pub fn health(&self) -> Health {
        self.health
    }

    /// What it does.
    pub fn standing(&self) -> Standing {
        match (self.status, self.health) {
            (Status::Deleted, _) => Standing::Deleted,
            (Status::Disabled, _) => Standing::Disabled,
            (Status::Enabled, Health::Flowing) => Standing::Flowing,
            (Status::Enabled, Health::Suspect) => Standing::Suspect,
            (Status::Enabled, Health::Outage) => Standing::Outage,
        }
    }

    /// Whether a write of the lane disables the webhook at this moment: what was read of the webhook meanwhile may be
    /// older or newer than that.
    pub fn is_disabling(&self) -> bool {
        self.write.as_ref().is_some_and(|write| write.disables)
    }

    /// Deliveries in memory that are not settled: what holds messages unacknowledged.
    pub fn unsettled(&self) -> usize {
        self.tail.len() + self.current.values().filter(|current| !current.item.held).count()
    }

    /// Whether nothing would be forgotten if the lane were dropped: another one made later would know as much.
    pub fn is_idle(&self) -> bool {
        self.current.is_empty()
            && self.head.is_empty()
            && self.beyond.is_nothing()
            && self.tail.is_empty()
            && self.orders.is_empty()
            && self.write.is_none()
            && self.removals.is_empty()
            && self.fetch.is_none()
            && self.health == Health::Flowing
            && self.set_aside == 0
            && self.record.is_none()
            && !self.sweep
    }
}

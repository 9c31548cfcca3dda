//! What happened in a run, as its own side saw it: what was posted and answered, what was changed, what arrived, which
//! faults there were, what the books say at the end. Nothing here comes from the product's code.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// Microseconds since the run began, by one monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
pub struct At(pub u64);

impl At {
    /// So many milliseconds after the beginning.
    pub const fn millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Later by so many microseconds.
    #[must_use]
    pub const fn plus(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Earlier by so many microseconds; not before the beginning.
    #[must_use]
    pub const fn minus(self, micros: u64) -> Self {
        Self(self.0.saturating_sub(micros))
    }

    /// In seconds, for people.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.seconds())
    }
}

/// A project by its place in the plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct ProjectNo(pub u32);

/// An event's id, as its `202` or the header of a request says it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventId(pub Arc<str>);

/// A webhook's id, as its registration or the header of a request says it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WebhookId(pub Arc<str>);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One event and its way to a `202`. A project posts one after the other, so that its posts are in the queue's order.
#[derive(Clone, Debug)]
pub struct Post {
    /// Whose.
    pub project: ProjectNo,
    /// Its place among the project's posts: 0, 1, …
    pub number: u32,
    /// The bytes; no two posts have the same.
    pub body: Arc<[u8]>,
    /// When it was posted for the first time.
    pub begun: At,
    /// When its `202` came; `None` when none did.
    pub answered: Option<At>,
    /// The id of the `202`.
    pub id: Option<EventId>,
    /// How often it was posted again under the same key, because an answer was lost or was a `503`. Each of those
    /// before may have become an event as well, where repeats were not recognised.
    pub repeats: u32,
}

/// A call of the management API that changed something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// When it was made for the first time.
    pub begun: At,
    /// When its success was answered; `None` when it never was: the change may have been made or not.
    pub answered: Option<At>,
}

/// A signing secret of a webhook.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its characters; `None` when the answer that showed it was lost.
    pub text: Option<String>,
    /// The registration or the rotation that made it.
    pub made: Call,
    /// How long the one before it stays valid beside it, in microseconds.
    pub overlap: u64,
}

/// A time in which a webhook was disabled by a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause {
    /// The call that disabled it.
    pub disabled: Call,
    /// The call that enabled it again.
    pub enabled: Option<Call>,
}

/// A change of a webhook's URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// The call that changed it.
    pub made: Call,
    /// The path of the URL from then on.
    pub path: Arc<str>,
}

/// A webhook that was registered, and what was done to it.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose.
    pub project: ProjectNo,
    /// The path of the URL that was registered.
    pub path: Arc<str>,
    /// What its URL was changed to, one after the other.
    pub moves: Vec<Move>,
    /// Its registration.
    pub registered: Call,
    /// Its secrets, oldest first.
    pub secrets: Vec<Secret>,
    /// Its deletion.
    pub deleted: Option<Call>,
    /// When it was disabled.
    pub pauses: Vec<Pause>,
    /// The calls that enabled it again because its receiver's `410` may have disabled it.
    pub revived: Vec<Call>,
}

impl Webhook {
    /// The paths of its URLs, one after the other.
    pub fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.path).chain(self.moves.iter().map(|change| &change.path))
    }
}

/// What a receiver did with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Reply {
    /// It sent a status line.
    Status(u16),
    /// It sent nothing: it hung, or the connection was closed or reset.
    Nothing,
}

impl Reply {
    /// Whether the event was taken by it.
    pub fn took(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }

    /// Whether no repetition mends it, by the contract: a redirect, or a `4xx` but `408` and `429`.
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Status(status) if (300..500).contains(&status) && status != 408 && status != 429)
    }
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// `X-Spectrum-Webhook-Id`.
    pub webhook: WebhookId,
    /// `X-Spectrum-Event-Id`.
    pub event: EventId,
    /// The path.
    pub path: Arc<str>,
    /// Whether it carried `X-Spectrum-Resend`.
    pub resend: bool,
    /// When its first byte was read.
    pub begun: At,
    /// The body's bytes; `None` when the receiver ended the connection before it had read them.
    pub body: Option<Arc<[u8]>>,
    /// `X-Spectrum-Timestamp`, in UNIX seconds; `None` when it is missing or no number.
    pub signed: Option<u64>,
    /// `X-Spectrum-Signature`.
    pub signature: Box<str>,
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    pub standard: [Box<str>; 3],
    /// `X-Spectrum-Sequence`.
    pub sequence: Option<u64>,
    /// What the receiver did.
    pub reply: Reply,
    /// When the status line was sent.
    pub replied: Option<At>,
}

/// A dead letter as the API shows it.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Whose.
    pub webhook: WebhookId,
    /// Which event.
    pub event: EventId,
    /// Whether it is the letter of a resend, and not of the event's first way.
    pub resend: bool,
    /// `fatal`, `poison`, …
    pub reason: String,
    /// How its last attempt ended: `status_422`, …
    pub last: String,
}

/// A fault, from its beginning until everything that it broke was whole again.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// What it was.
    pub kind: String,
    /// What it struck.
    pub target: String,
    /// When it began.
    pub begun: At,
    /// When it had been mended.
    pub ended: At,
    /// Whether it froze a process that may have been about to send.
    pub freezes: bool,
    /// Whether it was an orderly stop, after which nothing may come twice.
    pub clean: bool,
}

/// The counters of one process when all is quiet.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Books {
    /// Which process.
    pub process: String,
    /// Deliveries found at rest when partitions were taken over.
    pub recovered: i64,
    /// Deliveries made of events.
    pub fanned_out: i64,
    /// Deliveries taken by their endpoints.
    pub delivered: i64,
    /// Dead letters.
    pub dead: i64,
    /// Deliveries dropped with their webhooks.
    pub dropped: i64,
    /// Deliveries that were pending when a partition was given up.
    pub released: i64,
    /// Deliveries on their way.
    pub pending: i64,
}

/// Everything that the oracle judges.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The UNIX time of the run's beginning, in microseconds.
    pub origin: u64,
    /// All posts; each project's in their order.
    pub posts: Vec<Post>,
    /// All webhooks whose registration was answered.
    pub webhooks: Vec<Webhook>,
    /// Paths of registrations whose answer was lost: requests to them are not judged.
    pub uncertain: Vec<Arc<str>>,
    /// All requests, in the order in which they began.
    pub arrivals: Vec<Arrival>,
    /// All dead letters, closed ones too.
    pub letters: Vec<Letter>,
    /// All faults.
    pub faults: Vec<Fault>,
    /// The books of all processes that run at the end.
    pub books: Vec<Books>,
}

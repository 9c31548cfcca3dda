//! What the core needs from the world: one trait for each thing that can be exchanged, and their one error type.
//!
//! | port | embedded | cluster |
//! | --- | --- | --- |
//! | [`Queue`] | the SQLite file | RabbitMQ quorum queues |
//! | [`SequenceLock`] | a lock on a file | Redis |
//! | [`Admission`] | memory and the SQLite file | Redis |
//! | [`Announcements`] | memory and the SQLite file | Redis |
//! | [`Store`], [`Directory`], [`DeadLetters`], [`Steerings`], [`Replays`], [`Notices`], [`Insight`], [`Survey`], [`Fleet`] | the SQLite file | PostgreSQL |
//! | [`Spans`] | a collector of traces, if there is one | the same |
//!
//! Every backend passes the conformance suite of its port (`testkit::conformance`).

mod admission;
mod announcements;
mod dead_letters;
mod directory;
mod fleet;
mod insight;
mod notices;
mod queue;
mod reach;
mod replays;
mod sequence_lock;
mod spans;
mod steerings;
mod store;
mod survey;

pub use admission::{Admission, Admitted, IdempotencyKey, Verdict};
pub use announcements::Announcements;
pub use dead_letters::{DeadLetter, DeadLetters, Discarded, LetterQuery, Resending};
pub use directory::{Directory, DirectoryError, NewWebhook, Project, WebhookPatch};
pub use fleet::{Counts, Fleet, Member};
pub use insight::{
    AttemptFilter, AttemptKey, AttemptPage, Dead, EventFacts, First, Insight, Line, Place, Recipient, Track, Tried,
    WebhookFacts,
};
pub use notices::{Notice, NoticeKind, Notices};
pub use queue::{Acks, Publication, Queue, Subscription, Tag, Taken, Unreadable};
pub use reach::Reach;
pub use replays::{PAUSED_HOLD, Replay, ReplayItem, ReplayState, ReplayStep, Replays, Selection, What};
pub use sequence_lock::{Lease, Mark, SequenceLock};
pub use spans::{Span, SpanKind, SpanValue, Spans, processing};
pub use steerings::{Steered, Steerings};
pub use store::{
    Archived, Backlog, Change, Committed, Happened, LaneMode, LaneRecord, Pruning, RestingLane, Store, Takeover, Totals,
};
pub use survey::{Outage, OutageKey, Pace, Scope, Survey, Waiting};

/// Why a port could not do what it was asked, and so what is to be done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PortError {
    /// It may work later: try again. Whether the operation took place is not known.
    #[error("{port}: {operation}: {detail}")]
    Unavailable {
        /// Which port.
        port: &'static str,
        /// What it was doing.
        operation: &'static str,
        /// For people only; no decision is made by it.
        detail: String,
    },
    /// Another process owns the partition now: stop, forget, take over anew. Nothing was written.
    #[error("{port}: {operation}: fenced by a newer owner")]
    Fenced {
        /// Which port.
        port: &'static str,
        /// What it was doing.
        operation: &'static str,
    },
    /// What is stored cannot be read: a person has to look.
    #[error("{port}: {operation}: unreadable: {detail}")]
    Corrupt {
        /// Which port.
        port: &'static str,
        /// What it was doing.
        operation: &'static str,
        /// For people only.
        detail: String,
    },
}

impl PortError {
    /// Whether trying again can help.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

//! Faults of our own making. Each breaks one promise, so that a test can show that the checker notices.

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// The queue forgets an event that it confirmed.
    DropAccepted,
    /// The queue swaps two events of a project.
    SwapTwo,
    /// Messages are acknowledged before their deliveries are settled.
    AcknowledgeEarly,
    /// A body is written anew instead of passed on.
    RebuildBody,
    /// A change of a webhook is confirmed to who made it and not heeded.
    AttemptAfterDelete,
    /// Two attempts of a webhook at a time.
    AttemptTwice,
    /// A read of a backlog misses its first row.
    MissRow,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DropAccepted,
        Self::SwapTwo,
        Self::AcknowledgeEarly,
        Self::RebuildBody,
        Self::AttemptAfterDelete,
        Self::AttemptTwice,
        Self::MissRow,
    ];
}

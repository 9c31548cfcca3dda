//! The rules of the design that are there because of a fault. Each can be switched off in a cluster's history, so that a
//! test can show that the checker then finds a violation: a rule that nothing needs would only be in the way.

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal),* $(,)?) => {
        /// A rule that can be switched off.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Rule {
            $($(#[doc = $doc])* $name,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word for it, as the command takes it.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

rules! {
    // Who owns a partition.
    /// Every write of an owner is refused once a newer one has written its epoch.
    FenceWrites = "fence-writes",
    /// An epoch is above the one that the store has.
    EpochAboveStore = "epoch-above-store",
    /// A takeover writes its epoch before it reads.
    WriteEpochFirst = "write-epoch-first",
    /// After the store's epoch the lease is renewed once more, before anything is consumed.
    RenewBeforeSubscribing = "renew-before-subscribing",
    /// An owner whose lease was not renewed in time ends.
    ExpireByOwnClock = "expire-by-own-clock",
    /// Every attempt looks at the lease right before it starts.
    LookBeforeAttempts = "look-before-attempts",
    /// A renewal counts from when it was sent.
    CountFromSent = "count-from-sent",
    /// A holder stops before its lease expires.
    StopBeforeExpiry = "stop-before-expiry",
    /// A renewal compares owner and epoch.
    RenewCompares = "renew-compares",
    /// A release compares owner and epoch.
    ReleaseCompares = "release-compares",
    /// Marks are written by who holds the lease alone.
    SettleCompares = "settle-compares",
    /// A process asks for a partition once at a time.
    AskOnce = "ask-once",
    /// That nobody ever had a partition is not remembered.
    RememberHoldersAlone = "remember-holders-alone",
    /// A lease that stands still may be taken, whatever the server's clock says.
    TakeWhatStandsStill = "take-what-stands-still",

    // The queue.
    /// An ownership whose channel is lost ends, and the partition is taken over under a new epoch.
    EndWithChannel = "end-with-channel",
    /// Who takes over forgets what was asked for before.
    ForgetOldReplies = "forget-old-replies",
    /// Work is dropped by closing the channel, not by cancelling the consumer.
    CloseNotCancel = "close-not-cancel",
    /// Whoever loses its lease closes its channel.
    CloseWithLease = "close-with-lease",
    /// An acknowledgement is for a message of its own channel.
    OwnTags = "own-tags",
    /// A message is acknowledged when all its deliveries are settled.
    AcknowledgeLast = "acknowledge-last",
    /// What comes again is looked up among the marks.
    LookUpMarks = "look-up-marks",
    /// What comes again is looked up among the rows.
    LookUpRows = "look-up-rows",

    // The store.
    /// A lane goes on when its write is committed, not when it is sent.
    AnswerAfterCommit = "answer-after-commit",
    /// A read sees every write before it.
    ReadWhatWasWritten = "read-what-was-written",
    /// A registry is read from the primary.
    RegistryFromPrimary = "registry-from-primary",

    // Clients and people.
    /// `202` is answered after the broker's confirm.
    AnswerAfterConfirm = "answer-after-confirm",
    /// An idempotency record is confirmed after the publish.
    ConfirmAfterPublish = "confirm-after-publish",
    /// A post whose outcome is not known is published again under its first id.
    AgainUnderItsId = "again-under-its-id",
    /// What is published again says so.
    SayAgain = "say-again",
    /// Before a change no copy of the version is trusted.
    MarkChanges = "mark-changes",
    /// A new connection to Redis voids what was trusted.
    VoidOnReconnect = "void-on-reconnect",
    /// A copy counts only if it was trusted before it was read.
    TrustBeforeReading = "trust-before-reading",
    /// Of changes that overlap, the one that ends last does not bring an older version back.
    KeepNewestVersion = "keep-newest-version",
    /// What is announced makes no copy where Redis may have forgotten a newer one.
    AnnounceNoCopy = "announce-no-copy",
    /// A change is answered when the owner has confirmed it.
    WaitForOwner = "wait-for-owner",
    /// For a lease time after a lease may have been forgotten, nothing counts as confirmed.
    DoubtAfterLoss = "doubt-after-loss",
}

impl std::str::FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|rule| rule.code() == text);
        found.copied().ok_or_else(|| format!("no such rule; there are {}", codes()))
    }
}

fn codes() -> String {
    Rule::ALL.iter().map(|rule| rule.code()).collect::<Vec<_>>().join(", ")
}

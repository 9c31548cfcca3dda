//! Strings that are one of a few words, each set in the words of its type in the core.

use spectrum_webhook_core::attempt::{Failure, Next};
use spectrum_webhook_core::check::Outcome;
use spectrum_webhook_core::delivery::{self, Closing, Command};
use spectrum_webhook_core::explain;
use spectrum_webhook_core::ids::EventId;
use spectrum_webhook_core::ordering;
use spectrum_webhook_core::ports;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Object, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::problem;

/// `true` and nothing else.
pub(crate) fn always() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).build()
}

/// `false` and nothing else.
pub(crate) fn never() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).build()
}

/// `null`.
pub(crate) fn nothing() -> Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident: $words:expr;)*) => {$(
        $(#[doc = $doc])+
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words: Vec<String> = Vec::from($words).into_iter().map(Into::into).collect();
                let text = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
                text.description(Some(concat!($($doc),+).trim())).into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

words! {
    /// The stable word for what is wrong.
    ProblemCode: problem::ALL.iter().map(|kind| kind.code).collect::<Vec<_>>();
    /// Whether a webhook takes events.
    WebhookStatus: ["enabled", "disabled"];
    /// Which of a webhook's events wait for one another: all of the project, those of each space, or none.
    Ordering: ordering::Ordering::ALL.map(ordering::Ordering::code);
    /// Why a webhook is disabled: by its project, because it answered `410`, or because it was down for too long.
    DisabledReason: {
        use webhook::DisabledReason::{Gone, Manual, Outage};
        [Manual, Gone, Outage].map(webhook::DisabledReason::code)
    };
    /// How a webhook is; `suspect` has events that are set aside, and for `idle` nothing waits and nothing is logged.
    StateCode: {
        use explain::StateCode::{Disabled, Healthy, Idle, Outage, Suspect};
        [Healthy, Suspect, Outage, Disabled, Idle].map(explain::StateCode::code)
    };
    /// Where a delivery stands.
    StandingCode: {
        use explain::Code::{
            DeadLetter, Deleted, Delivered, Disabled, Discarded, Dropped, Filtered, Outage, RegisteredLater, Resent,
            Retrying, SetAside, Unknown, Waiting,
        };
        [
            Delivered, Waiting, Retrying, Outage, SetAside, DeadLetter, Resent, Discarded, Dropped, Filtered,
            RegisteredLater, Disabled, Deleted, Unknown,
        ]
        .map(explain::Code::code)
    };
    /// Whether the URL took it.
    AttemptOutcome: ["delivered", "failed"];
    /// Why an attempt has no status.
    AttemptFailure: Failure::ALL.map(Failure::code);
    /// What was decided at an attempt's end.
    NextStep: {
        use Next::{DeadLetter, Delivered, Disabled, Dropped, Outage, Retry, SetAside};
        let at = Millis(0);
        [Delivered, Retry(at), SetAside, Outage(at), DeadLetter, Disabled, Dropped].map(|next| next.code().unwrap_or(""))
    };
    /// Why it was given up: an answer that no repetition mends, its attempts failed while a later event was taken, it
    /// waited for too long, or a person skipped or dropped it.
    DeadReason: {
        use delivery::DeadReason::{Dropped, Expired, Fatal, Poison, Skipped};
        [Fatal, Poison, Expired, Skipped, Dropped].map(delivery::DeadReason::code)
    };
    /// Whose fault it is: the receiver's, or this system's.
    Fault: [delivery::Fault::Receiver, delivery::Fault::Platform].map(delivery::Fault::code);
    /// `open`, or how it was closed.
    LetterState: {
        use Closing::{Discarded, Dropped, Resent};
        ["open", Resent.code(), Discarded.code(), Dropped.code()]
    };
    /// Which dead letters are listed.
    LetterFilter: ["open", "closed", "all"];
    /// What was asked of a webhook.
    SteeringCommand: {
        let skip = Command::Skip(EventId(uuid::Uuid::nil()));
        [Command::Resume, skip, Command::Drop(Millis(0)), Command::Check].map(|command| command.code())
    };
    /// A step of a check, in their order.
    CheckedStep: ["url", "name", "address", "connection", "tls", "request", "answer"];
    /// What came of a step.
    CheckOutcome: [Outcome::Passed, Outcome::Failed, Outcome::NotReached].map(|outcome| match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::NotReached => "not_reached",
    });
    /// What is sent again: open dead letters, or everything in the archive that the webhook takes.
    ReplayWhat: [ports::What::Dead, ports::What::All].map(ports::What::code);
    /// How far a replay is.
    ReplayState: {
        use ports::ReplayState::{Cancelled, Done, Paused, Running};
        [Running, Paused, Done, Cancelled].map(ports::ReplayState::code)
    };
}

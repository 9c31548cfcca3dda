//! What is shown.

use serde::Serialize;
use spectrum_webhook_core::ids::{ReplayId, WebhookId};
use spectrum_webhook_core::ports::Replay;
use utoipa::ToSchema;

use crate::manage::Iso;
use crate::openapi::words;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Replay)]
pub(super) struct ReplayView<'a> {
    #[schema(value_type = Uuid)]
    id: ReplayId,
    #[schema(value_type = Uuid)]
    webhook_id: WebhookId,
    #[schema(value_type = words::ReplayWhat)]
    what: &'static str,
    /// The first time of acceptance.
    from: Iso,
    /// The time of acceptance at which it ends.
    to: Iso,
    reason: &'a str,
    /// Events a second; `null` is as many as the queue takes.
    #[schema(required)]
    rate_per_second: Option<u32>,
    #[schema(value_type = words::ReplayState)]
    state: &'static str,
    /// How many it was to send when it was made.
    total: u64,
    /// How many the queue has taken.
    sent: u64,
    created_at: Iso,
    updated_at: Iso,
}

impl<'a> ReplayView<'a> {
    pub(super) fn of(replay: &'a Replay) -> Self {
        Self {
            id: replay.id,
            webhook_id: replay.webhook,
            what: replay.selection.what.code(),
            from: Iso(replay.selection.from),
            to: Iso(replay.selection.to),
            reason: &replay.reason,
            rate_per_second: replay.rate,
            state: replay.state.code(),
            total: replay.total,
            sent: replay.sent,
            created_at: Iso(replay.created_at),
            updated_at: Iso(replay.updated_at),
        }
    }
}

/// What a dry run says.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CountedReplay)]
pub(super) struct Counted {
    pub(super) dry_run: bool,
    /// How many it would send.
    pub(super) total: u64,
}

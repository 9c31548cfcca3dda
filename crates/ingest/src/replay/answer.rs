//! What is shown.

use serde::Serialize;
use spectrum_webhook_core::ids::{ReplayId, WebhookId};
use spectrum_webhook_core::ports::Replay;

use crate::manage::Iso;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplayView<'a> {
    id: ReplayId,
    webhook_id: WebhookId,
    what: &'static str,
    from: Iso,
    to: Iso,
    reason: &'a str,
    rate_per_second: Option<u32>,
    state: &'static str,
    total: u64,
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
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counted {
    pub(super) dry_run: bool,
    pub(super) total: u64,
}

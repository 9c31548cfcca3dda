//! What a partition knows of one project.

use std::collections::HashMap;

use crate::ids::{RegistryVersion, WebhookId};
use crate::lane::{Lane, Status, Terms};
use crate::ordering::Ordering;
use crate::ports::RestingLane;
use crate::time::{Millis, Mono};
use crate::webhook::Webhook;

/// A lane, and when its timer is set for.
#[derive(Debug)]
pub(super) struct LaneEntry {
    pub(super) lane: Lane,
    pub(super) scheduled: Option<Mono>,
}

/// One project.
#[derive(Debug, Default)]
pub(super) struct Project {
    /// Its webhooks, once they are loaded.
    pub(super) webhooks: Option<Vec<Webhook>>,
    /// Messages up to this version can be fanned out by them.
    pub(super) covers: RegistryVersion,
    /// A load is in flight, which began when this was the newest version heard of.
    pub(super) loading: Option<RegistryVersion>,
    /// What is being loaded may be older than what a lane here wrote: it must be loaded once more.
    pub(super) again: bool,
    /// A newer one was heard of since.
    pub(super) wanted: RegistryVersion,
    /// Somebody waits to hear that this version is known here.
    pub(super) announced: Option<RegistryVersion>,
    /// Messages in the inbox.
    pub(super) waiting: usize,
    /// Lanes found at takeover, until the registry is there.
    pub(super) resting: Vec<RestingLane>,
    pub(super) lanes: HashMap<WebhookId, LaneEntry>,
    /// Something happened to it since idle ones were looked for last.
    pub(super) touched: bool,
}

impl Project {
    /// What is known of a webhook, by the registry as loaded.
    pub(super) fn terms(&self, webhook: WebhookId) -> Terms {
        let Some(known) = self.webhooks.iter().flatten().find(|known| known.id == webhook) else {
            return Terms { status: Status::Deleted, ordering: Ordering::default(), changed: Millis(0) };
        };
        let status = if known.disabled.is_some() { Status::Disabled } else { Status::Enabled };
        Terms { status, ordering: known.shape.ordering, changed: known.updated_at }
    }

    /// Whether nothing would be forgotten with it but what can be loaded again.
    pub(super) fn is_idle(&self) -> bool {
        self.lanes.is_empty()
            && self.resting.is_empty()
            && self.waiting == 0
            && self.loading.is_none()
            && self.announced.is_none()
    }
}

//! What one ownership keeps, in both kinds of histories.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use spectrum_webhook_core::delivery::Message;
use spectrum_webhook_core::ids::{EventId, Sequence, WebhookId};
use spectrum_webhook_core::lane::{AttemptId, Ticket};
use spectrum_webhook_core::partition::LaneId;
use spectrum_webhook_core::ports::Change;

use crate::checker::Target;

/// Where the webhooks of a project go, enabled ones only.
pub(crate) type Targets = BTreeMap<WebhookId, Target>;

/// One lane's write that waits or is on its way.
#[derive(Clone, Debug)]
pub(crate) struct LaneWrite {
    pub(crate) lane: LaneId,
    pub(crate) ticket: Ticket,
    pub(crate) changes: Vec<Change>,
}

impl LaneWrite {
    /// Whether what it did can only be told when it is committed by itself.
    pub(crate) fn stands_alone(&self) -> bool {
        self.changes.iter().any(Change::moves_by_rule)
    }
}

/// The next transaction, in the order in which the writes were asked for.
pub(crate) fn next_writes(writes: &mut VecDeque<LaneWrite>) -> Vec<LaneWrite> {
    if writes.front().is_some_and(LaneWrite::stands_alone) {
        return writes.pop_front().into_iter().collect();
    }
    let group = writes.iter().take_while(|write| !write.stands_alone()).count();
    writes.drain(..group).collect()
}

/// An attempt that a lane asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) lane: LaneId,
    pub(crate) attempt: AttemptId,
    pub(crate) number: u32,
    pub(crate) event: EventId,
    pub(crate) sequence: Sequence,
    pub(crate) message: Option<Arc<Message>>,
}

/// An attempt on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flying {
    pub(crate) wanted: Wanted,
    pub(crate) url: String,
    pub(crate) body: bytes::Bytes,
    pub(crate) arrives: bool,
    pub(crate) takes: bool,
    pub(crate) has_arrived: bool,
}

/// Attempts of two lanes may have one name: the key tells them apart.
pub(crate) fn attempt_key(wanted: &Wanted) -> AttemptId {
    let lane = wanted.lane.webhook.0.as_u128() as u64;
    AttemptId(wanted.attempt.0 ^ lane)
}

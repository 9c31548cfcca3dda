//! What the log says of deliveries and webhooks, when it is committed. One line for each attempt is written where
//! attempts are recorded.

use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::ports::{Change, Committed, Happened, Mark};

use super::outbox::LaneWrite;

/// Of a commit.
pub(super) fn committed(writes: &[LaneWrite], committed: &Committed) {
    for write in writes {
        for change in &write.changes {
            match change {
                Change::Hold { delivery, .. } => tracing::debug!(
                    event = %delivery.message.id,
                    webhook = %write.lane.webhook,
                    project = %write.lane.project,
                    sequence = delivery.sequence.0,
                    "held"
                ),
                // It stands alone in its transaction.
                Change::Drop { webhook, .. } if committed.dropped > 0 => tracing::info!(
                    %webhook,
                    project = %write.lane.project,
                    deliveries = committed.dropped,
                    "deliveries were dropped with their webhook"
                ),
                _ => {}
            }
        }
    }
    for happened in &committed.happened {
        tell(*happened, |webhook| {
            let of_it = writes.iter().find(|write| write.lane.webhook == webhook);
            of_it.map(|write| write.lane.project)
        });
    }
}

fn tell(happened: Happened, project_of: impl Fn(WebhookId) -> Option<ProjectId>) {
    let project = |webhook| project_of(webhook).map(tracing::field::display);
    match happened {
        Happened::Died { key, reason } => {
            let (event, webhook) = (key.event, key.webhook);
            tracing::info!(%event, %webhook, project = project(webhook), reason = reason.code(), "dead letter");
        }
        Happened::OutageBegan { webhook } => {
            tracing::info!(%webhook, project = project(webhook), "an outage begins");
        }
        Happened::OutageEnded { webhook, since } => {
            tracing::info!(%webhook, project = project(webhook), since = since.0, "an outage ends");
        }
        Happened::Disabled { webhook, reason } => {
            tracing::info!(%webhook, project = project(webhook), reason = reason.code(), "a webhook was disabled");
        }
    }
}

/// Of deliveries that have come to their end or rest in a committed row; `last` ones took their event off the queue.
pub(super) fn settled(marks: &[Mark]) {
    for mark in marks {
        tracing::debug!(event = %mark.key.event, webhook = %mark.key.webhook, last = mark.last, "settled");
    }
}

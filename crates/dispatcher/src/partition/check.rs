//! A check: one request to a webhook, beside its lane, which it neither waits for nor holds up.

use std::sync::Arc;

use spectrum_webhook_core::check::{Outcome, Probed, Report, steps};
use spectrum_webhook_core::delivery::Message;
use spectrum_webhook_core::ids::Sequence;
use spectrum_webhook_core::partition::LaneId;
use spectrum_webhook_core::ports::Change;

use super::io::{Done, Io};
use super::targets::Cell;
use crate::post::AttemptRequest;

impl Io {
    /// Makes the request if the webhook still wants any, and writes down how it went.
    pub(crate) async fn check(
        self: Arc<Self>,
        lane: LaneId,
        sequence: Sequence,
        message: Arc<Message>,
        cell: Option<Arc<Cell>>,
    ) -> Done {
        let report = match self.probe(sequence, &message, cell).await {
            Probing::Made(report) => Some(report),
            Probing::NotWanted => None,
            // The message comes again to the next owner.
            Probing::LeaseOver => return Done::Nothing,
        };
        let outcome = report.and_then(|report| serde_json::to_string(&report).ok());
        let at = self.shared.clock.now().wall;
        let id = message.id;
        let changes = [Change::Steer { message, at, limit: 0, outcome }];
        let written = || self.shared.ports.store.commit(&self.lease, &changes);
        match self.persist("write a check down", written).await {
            Ok(_) => Done::Checked { message: id, lane },
            Err(error) => Done::Lost(error),
        }
    }

    async fn probe(&self, sequence: Sequence, message: &Message, cell: Option<Arc<Cell>>) -> Probing {
        let shared = &self.shared;
        let Some(cell) = cell else { return Probing::NotWanted };
        let limit = cell.target().and_then(|target| target.shape.rate_limit);
        let turn = cell.pace.turn(limit).await;
        let _slot = shared.checks.acquire().await;
        // Last, with nothing awaited in between, as before every attempt.
        if !self.holding.is_good() {
            return Probing::LeaseOver;
        }
        let Some(target) = cell.target() else { return Probing::NotWanted };
        turn.started();
        let request = AttemptRequest {
            endpoint: &target.endpoint,
            event: message.id,
            resend: None,
            event_type: &message.event_type,
            sequence,
            number: 1,
            keys: &target.keys,
            shape: &target.shape,
            body: message.body.clone(),
        };
        let posted = shared.poster.attempt(request, shared.clock.now().wall).await;
        let probed = Probed {
            https: target.endpoint.is_https(),
            ended: posted.ended,
            address: posted.address,
            first_byte_ms: posted.first_byte_ms,
        };
        let steps = steps(&probed);
        let passed = steps.iter().all(|step| step.outcome == Outcome::Passed);
        Probing::Made(Report { passed, steps, total_ms: posted.total_ms, response: posted.snippet })
    }
}

enum Probing {
    Made(Report),
    /// The webhook is disabled or deleted by now.
    NotWanted,
    LeaseOver,
}

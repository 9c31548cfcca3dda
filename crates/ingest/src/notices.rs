//! Notices become events of the project that is there for operations, in the order in which they were written.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use spectrum_webhook_core::delivery::Purpose;
use spectrum_webhook_core::ids::{EventId, OwnerId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::{DirectoryError, Notice, PortError};
use spectrum_webhook_core::time::Millis;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::identity::custom_id;
use crate::manage::Iso;
use crate::problem;
use crate::state::Shared;
use crate::steer::Extra;

/// How often it is looked for some.
const LOOK: Duration = Duration::from_secs(1);
/// The wait after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// For how long this process has them for itself.
const HOLD_MS: i64 = 60_000;
/// Notices that are posted at once.
const STEP: u32 = 50;

/// Posts notices until it is stopped.
pub(crate) async fn run(shared: Arc<Shared>, runner: OwnerId, stop: CancellationToken) {
    let mut wait = LOOK;
    while stop.run_until_cancelled(sleep(wait)).await.is_some() {
        wait = match shared.post_notices(runner, &stop).await {
            Ok(posted) if posted == STEP as usize => Duration::ZERO,
            Ok(_) => LOOK,
            Err(why) => {
                tracing::warn!(why, "notices wait");
                AGAIN
            }
        };
    }
}

/// What an operator's receiver gets.
#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    project: Named<ProjectId>,
    webhook: Named<WebhookId>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "deadLetter")]
    dead_letter: Option<Named<EventId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    at: Iso,
}

#[derive(Serialize)]
struct Named<T> {
    id: T,
}

impl Shared {
    /// Returns how many were posted.
    async fn post_notices(self: &Arc<Self>, runner: OwnerId, stop: &CancellationToken) -> Result<usize, String> {
        let now = self.now();
        let until = Millis(now.0.saturating_add(HOLD_MS));
        let failed = |error: PortError| error.to_string();
        let claimed = self.ports.notices.claim_notices(runner, now, until, STEP).await.map_err(failed)?;
        let Some((project, notices)) = claimed else { return Ok(0) };
        let project = match self.ports.directory.project(project).await {
            Ok(project) => project,
            Err(DirectoryError::Port(error)) => return Err(error.to_string()),
            // It was deleted just now: the next look finds nobody to be told.
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => return Ok(0),
        };
        let mut posted = Vec::new();
        let mut refused = None;
        for notice in notices {
            if stop.is_cancelled() {
                break;
            }
            let id = notice.id.clone();
            match self.publish_extra(&project, event_of(&notice)).await {
                Ok(()) => posted.push(id),
                Err(problem) => {
                    refused = Some(problem.code().to_owned());
                    break;
                }
            }
        }
        self.ports.notices.forget_notices(&posted).await.map_err(failed)?;
        refused.map_or(Ok(posted.len()), Err)
    }
}

/// Its id is the same for a notice that is posted again after a crash, so that a copy is recognised.
fn event_of(notice: &Notice) -> Extra {
    let body = Body {
        event: notice.kind.event_type(),
        project: Named { id: notice.project },
        webhook: Named { id: notice.webhook },
        dead_letter: notice.event.map(|id| Named { id }),
        reason: notice.detail.as_deref(),
        at: Iso(notice.at),
    };
    Extra {
        id: EventId(custom_id(Sha256::new().chain_update("spectrum-webhook notice 1").chain_update(&notice.id))),
        event_type: notice.kind.event_type().to_owned(),
        purpose: Purpose::Event,
        traceparent: None,
        body: problem::json(&body).into(),
        again: true,
    }
}

#[cfg(test)]
mod tests {
    use spectrum_webhook_core::event::Envelope;
    use spectrum_webhook_core::ports::NoticeKind;

    use super::*;

    #[test]
    fn a_notice_is_an_event_with_one_id() {
        let notice = Notice {
            id: "n".to_owned(),
            kind: NoticeKind::DeadLettered,
            project: ProjectId(uuid::Uuid::from_u128(1)),
            webhook: WebhookId(uuid::Uuid::from_u128(2)),
            event: Some(EventId(uuid::Uuid::from_u128(3))),
            detail: Some("fatal".to_owned()),
            at: Millis(1_767_323_045_678),
        };
        let (one, two) = (event_of(&notice), event_of(&notice));
        assert_eq!((one.id, &one.body), (two.id, &two.body));
        assert_eq!(Envelope::read(&one.body).expect("an event").event_type, "event.dead_lettered");
        let other = event_of(&Notice { id: "m".to_owned(), ..notice });
        assert_ne!(one.id, other.id);
        let zero = "00000000-0000-0000-0000-00000000000";
        let expected = format!(
            r#"{{"event":"event.dead_lettered","project":{{"id":"{zero}1"}},"webhook":{{"id":"{zero}2"}},"deadLetter":{{"id":"{zero}3"}},"reason":"fatal","at":"2026-01-02T03:04:05.678Z"}}"#
        );
        assert_eq!(one.body, expected);
    }
}

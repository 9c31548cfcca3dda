//! What people do about deliveries: dead letters that are sent again or discarded, and lanes that are steered.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `fields` | what is read from a body |
//! | `letters` | dead letters: listing, reading, sending again, discarding |
//! | `lane` | resume, skip, drop, check, and what was done so far |
//! | `again` | an event once more to one webhook |
//! | `test_event` | an event to one webhook alone, to try it out |
//! | `answer` | what is shown |
//!
//! What concerns deliveries on their way goes through the queue to the lane's owner, like an event: nobody else changes
//! a lane's rows.

pub(crate) mod again;
mod answer;
mod fields;
pub(crate) mod lane;
pub(crate) mod letters;
pub(crate) mod test_event;

use std::sync::Arc;

use bytes::Bytes;
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::ids::{EventId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::{DirectoryError, Project, Publication};
use spectrum_webhook_core::webhook::Webhook;

pub(crate) use answer::SteeredView;
pub(crate) use fields::reason;

use crate::problem::{Problem, UNAVAILABLE, WEBHOOK_DISABLED};
use crate::state::Shared;

/// A message that is not an event of a client.
pub(crate) struct Extra {
    pub(crate) id: EventId,
    pub(crate) event_type: String,
    pub(crate) purpose: Purpose,
    pub(crate) traceparent: Option<String>,
    pub(crate) body: Bytes,
    /// It may be in the queue already.
    pub(crate) again: bool,
}

impl Shared {
    /// The webhook of the path, if the project has it.
    pub(crate) async fn webhook(&self, project: ProjectId, id: Option<WebhookId>) -> Result<Webhook, Problem> {
        let id = id.ok_or_else(Problem::no_webhook)?;
        match self.ports.directory.list(project).await {
            Ok(webhooks) => webhooks.into_iter().find(|webhook| webhook.id == id).ok_or_else(Problem::no_webhook),
            Err(DirectoryError::Port(error)) => Err(Problem::unavailable(&error)),
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => Err(Problem::no_project()),
        }
    }

    /// Publishes a message under the project's version as it was read with its credentials, and answers when the queue
    /// has it. It goes on to its end if the caller goes away.
    pub(crate) async fn publish_extra(self: &Arc<Self>, project: &Project, extra: Extra) -> Result<(), Problem> {
        let Extra { id, event_type, purpose, traceparent, body, again } = extra;
        let (accepted_at, registry) = (self.now(), project.registry);
        let project = project.id;
        let message = Message { id, project, event_type, accepted_at, registry, traceparent, purpose, body };
        let shared = Arc::clone(self);
        let partition = self.partition(project);
        let publishing =
            async move { shared.publish(partition, Publication { message, again, idempotency: None }).await };
        let unknown = || Problem::new(UNAVAILABLE, "whether the queue took it is not known: repeat the request");
        self.finish(publishing).await.unwrap_or_else(|| Err(unknown()))
    }
}

/// What is sent to a webhook that takes nothing would wait in its backlog, unseen.
fn must_be_enabled(webhook: &Webhook) -> Result<(), Problem> {
    match webhook.disabled {
        None => Ok(()),
        Some(_) => Err(Problem::new(WEBHOOK_DISABLED, "the webhook is disabled: enable it first")),
    }
}

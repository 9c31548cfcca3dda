//! The pages.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `sign_in` | who comes in, and who goes |
//! | `overview`, `projects` | an operator's: the deployment as a whole, its projects |
//! | `webhooks`, `add` | a project's webhooks, and one more |
//! | `webhook`, `act` | one of them, and what people do to it |
//! | `secrets` | secrets, the one time that they are shown |
//! | `log`, `attempt` | the delivery log, and one line of it |
//! | `event` | an event at every webhook |
//! | `letters` | dead letters |
//! | `replays` | many events again |
//! | `signature` | what is wrong with a signature |
//! | `json` | a body, laid out for reading |

pub(crate) mod act;
pub(crate) mod add;
pub(crate) mod attempt;
pub(crate) mod event;
mod json;
pub(crate) mod letters;
pub(crate) mod log;
pub(crate) mod overview;
pub(crate) mod projects;
pub(crate) mod replays;
mod secrets;
pub(crate) mod sign_in;
pub(crate) mod signature;
pub(crate) mod webhook;
pub(crate) mod webhooks;

use axum::response::Response;
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::ports::{DirectoryError, Project};
use spectrum_webhook_core::webhook::Webhook;

use crate::gate::Signed;
use crate::query::Place;
use crate::trouble::Trouble;

/// A page, or why there is none.
pub(crate) type Answer = Result<Response, Trouble>;

/// Rows of a page.
const ROWS: u32 = 50;

/// The webhooks of a project, oldest first.
async fn webhooks_of(signed: &Signed, project: &Project) -> Result<Vec<Webhook>, Trouble> {
    match signed.shared.ports.directory.list(project.id).await {
        Ok(webhooks) => Ok(webhooks),
        Err(DirectoryError::Port(error)) => Err(error.into()),
        Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => Err(Trouble::not_found("project")),
    }
}

/// The webhook of a path, `/dashboard/projects/{project}/…/{webhook}`.
fn webhook_id(place: &Place) -> Result<WebhookId, Trouble> {
    place.id(4).map(WebhookId).ok_or_else(|| Trouble::not_found("webhook"))
}

/// What is selected in a list of choices.
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    pub(crate) selected: bool,
}

impl Choice {
    pub(crate) fn list(choices: &[(&str, &str)], selected: Option<&str>) -> Vec<Self> {
        let choice = |(value, label): &(&str, &str)| Self {
            value: (*value).to_owned(),
            label: (*label).to_owned(),
            selected: selected.unwrap_or_default() == *value,
        };
        choices.iter().map(choice).collect()
    }
}

//! The survey: how attempts went, which outages there were, what waits longest. For plots and for whoever is on call; it
//! only reads, and what it reads is bounded, whatever is asked.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{PortError, Totals};
use crate::ids::{ProjectId, WebhookId};
use crate::rates::{Rates, Span};
use crate::time::Millis;

/// Whose attempts or outages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All there are.
    Deployment,
    /// One project's.
    Project(ProjectId),
    /// One webhook's, deleted or not.
    Webhook(WebhookId),
}

/// A time during which a URL was down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// Its project.
    pub project: ProjectId,
    /// The webhook.
    pub webhook: WebhookId,
    /// When it began.
    pub since: Millis,
    /// When it ended; `None`: it lasts.
    pub until: Option<Millis>,
}

/// The place of an outage among others, newest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct OutageKey {
    /// When it began.
    pub since: Millis,
    /// Its webhook.
    pub webhook: WebhookId,
}

/// What waits for one webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Its project.
    pub project: ProjectId,
    /// The webhook.
    pub webhook: WebhookId,
    /// Its URL.
    pub url: String,
    /// Deliveries in its backlog, counted up to [`super::Line::MOST`].
    pub backlog: u64,
    /// When the first of them was accepted.
    pub oldest: Option<Millis>,
}

/// How a webhook's last attempts went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Its project.
    pub project: ProjectId,
    /// The webhook.
    pub webhook: WebhookId,
    /// Its URL.
    pub url: String,
    /// How long each took, in milliseconds.
    pub took: Vec<u32>,
}

/// What a survey can find out.
#[async_trait]
pub trait Survey: Send + Sync {
    /// Samples of the attempts of a span.
    async fn rates(&self, scope: Scope, span: Span) -> Result<Rates, PortError>;

    /// Outages, those that began last first, behind `after`, at most `limit`.
    async fn outages(&self, scope: Scope, after: Option<OutageKey>, limit: u32) -> Result<Vec<Outage>, PortError>;

    /// The webhooks that most waits for, of up to 100 that something waits for; at most `limit`.
    async fn largest_backlogs(&self, limit: u32) -> Result<Vec<Waiting>, PortError>;

    /// The webhooks of the last attempts since then, of which up to 5,000 are looked at.
    async fn paces(&self, since: Millis) -> Result<Vec<Pace>, PortError>;

    /// What the store holds.
    async fn holds(&self) -> Result<Totals, PortError>;
}

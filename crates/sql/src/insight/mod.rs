//! Insight: what became of an event, read from the same tables that the owners write.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `attempts` | the delivery log, page by page |
//! | `event` | one event at each webhook of its project |
//! | `rows` | where the deliveries of an event and of its resends rest |
//! | `webhook` | one webhook: what waits for it, and how its last attempts ended |
//! | `line` | what waits before a delivery |
//!
//! Whoever asks is a customer, and whatever they ask must cost little: every read here goes by an index and ends after
//! so many rows.

mod attempts;
mod event;
mod line;
mod rows;
mod webhook;

use async_trait::async_trait;
use spectrum_webhook_core::delivery::Message;
use spectrum_webhook_core::ids::{EventId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::{
    AttemptFilter, AttemptPage, EventFacts, Insight, LaneRecord, PortError, WebhookFacts,
};

use crate::error::Fault;
use crate::sql::Conn;
use crate::store::{LANE_COLUMNS, MESSAGE_COLUMNS, SqlStore, lane_record_of, message};

const PORT: &str = "insight";

#[async_trait]
impl Insight for SqlStore {
    async fn attempts(&self, project: ProjectId, filter: &AttemptFilter, limit: u32) -> Result<AttemptPage, PortError> {
        let filter = filter.clone();
        let read = self.database.read(move |conn| Box::pin(attempts::page(conn, project, filter, limit))).await;
        read.map_err(|fault| fault.at(PORT, "read attempts"))
    }

    async fn event(&self, project: ProjectId, event: EventId) -> Result<Option<EventFacts>, PortError> {
        let keys = self.database.keys().clone();
        let read = self
            .database
            .read(move |conn| Box::pin(async move { event::facts(conn, &keys, project, event).await }))
            .await;
        read.map_err(|fault| fault.at(PORT, "read an event"))
    }

    async fn message(&self, project: ProjectId, event: EventId) -> Result<Option<Message>, PortError> {
        let read = self.database.read(move |conn| Box::pin(kept(conn, project, event))).await;
        read.map_err(|fault| fault.at(PORT, "read a message"))
    }

    async fn webhook(&self, project: ProjectId, webhook: WebhookId) -> Result<Option<WebhookFacts>, PortError> {
        let keys = self.database.keys().clone();
        let read = self
            .database
            .read(move |conn| Box::pin(async move { webhook::facts(conn, &keys, project, webhook).await }))
            .await;
        read.map_err(|fault| fault.at(PORT, "read a webhook"))
    }
}

/// An event with its body, as long as that is kept.
async fn kept(conn: &mut Conn, project: ProjectId, event: EventId) -> Result<Option<Message>, Fault> {
    let sql = format!("SELECT {MESSAGE_COLUMNS} FROM events e WHERE e.id = $1 AND e.project = $2");
    let statement = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(event.to_string()).bind(project.to_string());
    statement.fetch_optional(conn).await?.as_ref().map(message).transpose()
}

/// What a lane remembers, if it does.
async fn lane(conn: &mut Conn, webhook: WebhookId) -> Result<Option<LaneRecord>, Fault> {
    let sql = format!("SELECT {LANE_COLUMNS} FROM lanes l WHERE l.webhook = $1");
    let statement = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(webhook.to_string());
    statement.fetch_optional(conn).await?.map(|row| lane_record_of(&row, 0)).transpose()
}

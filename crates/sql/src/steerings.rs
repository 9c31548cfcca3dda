//! What people wanted of lanes, as far as it was done.

use async_trait::async_trait;
use spectrum_webhook_core::ids::{EventId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::{PortError, Steered, Steerings};
use spectrum_webhook_core::time::Millis;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conditions, Conn};
use crate::store::SqlStore;

const PORT: &str = "steerings";

#[async_trait]
impl Steerings for SqlStore {
    async fn steered(&self, project: ProjectId, id: EventId) -> Result<Option<Steered>, PortError> {
        let mut conditions = of_project(project);
        conditions.and_if("id = {}", Some(id.to_string()));
        let read = self.database.read(move |conn| Box::pin(select(conn, conditions, 1))).await;
        read.map(|mut found| found.pop()).map_err(|fault| fault.at(PORT, "read"))
    }

    async fn steerings(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        after: Option<(Millis, EventId)>,
        limit: u32,
    ) -> Result<Vec<Steered>, PortError> {
        let mut conditions = of_project(project);
        conditions.and_if("webhook = {}", Some(webhook.to_string()));
        if let Some((asked_at, id)) = after {
            let places = (conditions.place(asked_at.0), conditions.place(id.to_string()));
            conditions.and(&format!("(asked_at, id) < ({}, {})", places.0, places.1));
        }
        let read = self.database.read(move |conn| Box::pin(select(conn, conditions, limit))).await;
        read.map_err(|fault| fault.at(PORT, "list"))
    }

    async fn first_waiting(&self, webhook: WebhookId, event: Option<EventId>) -> Result<Option<EventId>, PortError> {
        let read = self.database.read(move |conn| Box::pin(first_waiting(conn, webhook, event))).await;
        read.map_err(|fault| fault.at(PORT, "read a backlog"))
    }
}

fn of_project(project: ProjectId) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.and_if("project = {}", Some(project.to_string()));
    conditions
}

async fn select(conn: &mut Conn, mut conditions: Conditions, limit: u32) -> Result<Vec<Steered>, Fault> {
    let limit = conditions.place(i64::from(limit));
    let head = "SELECT id, command, event, reason, asked_at, done_at, deliveries, outcome FROM steerings";
    let tail = format!(" ORDER BY asked_at DESC, id DESC LIMIT {limit}");
    let rows = conditions.statement(head, &tail).fetch_all(conn).await?;
    rows.iter().map(steered_of).collect()
}

fn steered_of(row: &AnyRow) -> Result<Steered, Fault> {
    Ok(Steered {
        id: EventId(row.uuid(0)?),
        command: row.text(1)?,
        event: row.maybe_uuid(2)?.map(EventId),
        reason: row.text(3)?,
        asked_at: Millis(row.int(4)?),
        done_at: row.maybe_int(5)?.map(Millis),
        deliveries: row.count(6)?,
        outcome: row.maybe_text(7)?,
    })
}

async fn first_waiting(conn: &mut Conn, webhook: WebhookId, event: Option<EventId>) -> Result<Option<EventId>, Fault> {
    let mut conditions = Conditions::default();
    conditions.and_if("b.webhook = {}", Some(webhook.to_string()));
    if let Some(event) = event {
        let place = conditions.place(event.to_string());
        conditions.and(&format!(
            "b.event IN (SELECT id FROM events WHERE id = {place} UNION ALL \
             SELECT id FROM events WHERE original = {place})"
        ));
    }
    let head = "SELECT b.event FROM backlog b";
    let row = conditions.statement(head, " ORDER BY b.sequence, b.event LIMIT 1").fetch_optional(conn).await?;
    row.map(|row| Ok(EventId(row.uuid(0)?))).transpose()
}

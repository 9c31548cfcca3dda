//! The survey: how attempts went, which outages there were, what waits longest.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `rates` | samples of the attempts of a span of time |
//! | `outages` | when URLs were down |
//! | `waiting` | the largest backlogs, the slowest URLs |
//!
//! As for insight, every read goes by an index and ends after so many rows.

mod outages;
mod rates;
mod waiting;

use async_trait::async_trait;
use spectrum_webhook_core::ports::{Outage, OutageKey, Pace, PortError, Scope, Store as _, Survey, Totals, Waiting};
use spectrum_webhook_core::rates::{Rates, Span};
use spectrum_webhook_core::time::Millis;

use crate::sql::Conditions;
use crate::store::SqlStore;

const PORT: &str = "survey";

#[async_trait]
impl Survey for SqlStore {
    async fn rates(&self, scope: Scope, span: Span) -> Result<Rates, PortError> {
        let read = self.database.read(move |conn| Box::pin(rates::rates(conn, scope, span))).await;
        read.map_err(|fault| fault.at(PORT, "read rates"))
    }

    async fn outages(&self, scope: Scope, after: Option<OutageKey>, limit: u32) -> Result<Vec<Outage>, PortError> {
        let read = self.database.read(move |conn| Box::pin(outages::outages(conn, scope, after, limit))).await;
        read.map_err(|fault| fault.at(PORT, "read outages"))
    }

    async fn largest_backlogs(&self, limit: u32) -> Result<Vec<Waiting>, PortError> {
        let read = self.database.read(move |conn| Box::pin(waiting::largest(conn, limit))).await;
        read.map_err(|fault| fault.at(PORT, "read backlogs"))
    }

    async fn paces(&self, since: Millis) -> Result<Vec<Pace>, PortError> {
        let read = self.database.read(move |conn| Box::pin(waiting::paces(conn, since))).await;
        read.map_err(|fault| fault.at(PORT, "read paces"))
    }

    async fn holds(&self) -> Result<Totals, PortError> {
        self.totals().await
    }
}

/// The condition of a scope, on the columns of `row`.
fn of_scope(conditions: &mut Conditions, row: &str, scope: Scope) {
    match scope {
        Scope::Deployment => {}
        Scope::Project(id) => conditions.and_if(&format!("{row}.project = {{}}"), Some(id.to_string())),
        Scope::Webhook(id) => conditions.and_if(&format!("{row}.webhook = {{}}"), Some(id.to_string())),
    }
}

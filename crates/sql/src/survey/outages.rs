//! When URLs were down.

use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::ports::{Outage, OutageKey, Scope};
use spectrum_webhook_core::time::Millis;

use super::of_scope;
use crate::error::Fault;
use crate::sql::{Columns as _, Conditions, Conn};

pub(super) async fn outages(
    conn: &mut Conn,
    scope: Scope,
    after: Option<OutageKey>,
    limit: u32,
) -> Result<Vec<Outage>, Fault> {
    let mut conditions = Conditions::default();
    of_scope(&mut conditions, "o", scope);
    if let Some(after) = after {
        let (since, webhook) = (conditions.place(after.since.0), conditions.place(after.webhook.to_string()));
        conditions.and(&format!("o.since <= {since} AND (o.since, o.webhook) < ({since}, {webhook})"));
    }
    let head = "SELECT o.project, o.webhook, o.since, coalesce(o.until, w.deleted_at) FROM outages o \
                JOIN webhooks w ON w.id = o.webhook";
    let rows =
        conditions.statement(head, &format!(" ORDER BY o.since DESC, o.webhook DESC LIMIT {limit}")).fetch_all(conn);
    let outage = |row: &sqlx::any::AnyRow| {
        Ok(Outage {
            project: ProjectId(row.uuid(0)?),
            webhook: WebhookId(row.uuid(1)?),
            since: Millis(row.int(2)?),
            until: row.maybe_int(3)?.map(Millis),
        })
    };
    rows.await?.iter().map(outage).collect()
}

//! Notices of what an owner's changes do, and the history of outages, written in the same transaction. No notice is
//! written while nobody is to be told, and none of the webhooks of whoever is told: that would go round in circles.

use spectrum_webhook_core::delivery::{DeadReason, DeliveryKey};
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::ports::{Happened, LaneMode, LaneRecord, NoticeKind};
use spectrum_webhook_core::time::Millis;

use super::commit::Commit;
use crate::error::Fault;
use crate::sql::{Columns as _, chunks, over_list, place_after, run};

/// Whether someone is to be told of this project's webhooks.
macro_rules! told {
    ($project:literal) => {
        concat!("EXISTS (SELECT 1 FROM settings s WHERE s.name = 'operations_project' AND s.value <> ", $project, ")")
    };
}

impl Commit<'_> {
    /// Of a webhook; `since` tells this time from others.
    pub(super) async fn note(
        &mut self,
        kind: NoticeKind,
        webhook: WebhookId,
        detail: Option<&'static str>,
        (since, at): (Millis, Millis),
    ) -> Result<(), Fault> {
        let sql = concat!(
            "INSERT INTO notices (id, kind, project, webhook, detail, at) \
             SELECT $1, $2, w.project, w.id, $4, $5 FROM webhooks w WHERE w.id = $3 AND ",
            told!("w.project"),
            " ON CONFLICT (id) DO NOTHING"
        );
        let statement = sqlx::query(sql)
            .bind(format!("{}:{webhook}:{}", kind.event_type(), since.0))
            .bind(kind.event_type())
            .bind(webhook.to_string())
            .bind(detail)
            .bind(at.0);
        run(self.conn, statement).await?;
        Ok(())
    }

    /// Of an outage that begins or ends with a lane's new record. Call it before that is written.
    pub(super) async fn note_outage(
        &mut self,
        webhook: WebhookId,
        record: Option<LaneRecord>,
        at: Millis,
    ) -> Result<(), Fault> {
        let sql = "SELECT since FROM lanes WHERE webhook = $1 AND mode = 'outage'";
        let before = sqlx::query(sql).bind(webhook.to_string()).fetch_optional(&mut *self.conn).await?;
        let before = before.map(|row| row.int(0)).transpose()?.map(Millis);
        let after = record.and_then(|record| match record.mode {
            LaneMode::Outage { since, .. } => Some(since),
            LaneMode::Suspect => None,
        });
        match (before, after) {
            (None, Some(since)) => {
                self.committed.happened.push(Happened::OutageBegan { webhook });
                self.outage_began(webhook, since).await?;
                self.note(NoticeKind::OutageStarted, webhook, None, (since, at)).await
            }
            (Some(since), None) => {
                self.committed.happened.push(Happened::OutageEnded { webhook, since });
                self.outage_ended(webhook, since, at).await?;
                self.note(NoticeKind::OutageEnded, webhook, None, (since, at)).await
            }
            _ => Ok(()),
        }
    }

    /// Into the history, for whoever looks at the webhook later.
    async fn outage_began(&mut self, webhook: WebhookId, since: Millis) -> Result<(), Fault> {
        let sql = "INSERT INTO outages (webhook, project, since) SELECT w.id, w.project, $2 FROM webhooks w \
                   WHERE w.id = $1 ON CONFLICT (webhook, since) DO NOTHING";
        run(self.conn, sqlx::query(sql).bind(webhook.to_string()).bind(since.0)).await?;
        Ok(())
    }

    async fn outage_ended(&mut self, webhook: WebhookId, since: Millis, at: Millis) -> Result<(), Fault> {
        let sql = "UPDATE outages SET until = $3 WHERE webhook = $1 AND since = $2 AND until IS NULL";
        run(self.conn, sqlx::query(sql).bind(webhook.to_string()).bind(since.0).bind(at.0)).await?;
        Ok(())
    }

    /// Of dead letters of a webhook, which stand there already.
    pub(super) async fn note_dead(
        &mut self,
        webhook: WebhookId,
        events: &[String],
        reason: DeadReason,
    ) -> Result<(), Fault> {
        let ids = events.iter().filter_map(|event| event.parse().ok());
        let died = ids.map(|event| Happened::Died { key: DeliveryKey { event, webhook }, reason });
        self.committed.happened.extend(died);
        let kind = NoticeKind::DeadLettered.event_type();
        for chunk in chunks(events) {
            let (lane, kinds) = (place_after(chunk, 1), place_after(chunk, 2));
            let text = |list: &str| {
                format!(
                    "INSERT INTO notices (id, kind, project, webhook, event, detail, at) \
                     SELECT d.event || ':' || d.webhook, ${kinds}, d.project, d.webhook, d.event, d.reason, d.died_at \
                     FROM dead_letters d WHERE d.event IN ({list}) AND d.webhook = ${lane} AND d.closed_at IS NULL AND {} \
                     ON CONFLICT (id) DO NOTHING",
                    told!("d.project")
                )
            };
            run(self.conn, over_list(chunk, text).bind(webhook.to_string()).bind(kind)).await?;
        }
        Ok(())
    }
}

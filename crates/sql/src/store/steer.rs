//! What people want of a lane, done to its rows by its owner. What was done is written down in the same transaction: by
//! that a message that comes again is known to be settled.

use spectrum_webhook_core::delivery::{
    Closing, Command, DeadReason, DeliveryKey, Fault as Blame, Message, Purpose, Steering,
};
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::time::Millis;

use super::commit::{Commit, Death};
use crate::error::Fault;
use crate::sql::{Columns as _, chunks, over_list, place_after, run};

impl Commit<'_> {
    pub(super) async fn steer(
        &mut self,
        message: &Message,
        at: Millis,
        limit: u32,
        outcome: Option<&str>,
    ) -> Result<(), Fault> {
        let Purpose::Steering(steering) = &message.purpose else { return Ok(()) };
        let Steering { webhook, command, reason } = &**steering;
        let (moved, more) = match *command {
            Command::Resume | Command::Check => (0, false),
            Command::Skip(event) => (self.skip(DeliveryKey { event, webhook: *webhook }, at).await?, false),
            Command::Drop(until) => self.drop_until(*webhook, (until, at), reason, limit).await?,
        };
        self.committed.more |= more;
        let event = match command {
            Command::Skip(event) => Some(event.to_string()),
            Command::Resume | Command::Drop(_) | Command::Check => None,
        };
        let sql = "INSERT INTO steerings (id, webhook, project, command, event, reason, asked_at, done_at, deliveries, \
                   outcome) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO UPDATE SET \
                   done_at = excluded.done_at, deliveries = steerings.deliveries + excluded.deliveries";
        let statement = sqlx::query(sql)
            .bind(message.id.to_string())
            .bind(webhook.to_string())
            .bind(message.project.to_string())
            .bind(command.code())
            .bind(event)
            .bind(reason.as_str())
            .bind(message.accepted_at.0)
            .bind((!more).then_some(at.0))
            .bind(i64::try_from(moved).unwrap_or(i64::MAX))
            .bind(outcome.map(str::to_owned));
        run(self.conn, statement).await?;
        Ok(())
    }

    /// Makes a dead letter of one delivery, if it is still in the backlog.
    async fn skip(&mut self, key: DeliveryKey, at: Millis) -> Result<u64, Fault> {
        let death = Death { reason: DeadReason::Skipped, fault: Blame::Receiver, at };
        let moved = self.bury_rows(key.webhook, &[key.event.to_string()], death, None).await?;
        self.committed.buried += moved;
        Ok(moved)
    }

    /// Drops up to `limit` rows of the backlog that were accepted up to a time. What stays is a closed dead letter: by
    /// that a copy of its message that comes again is known to be settled.
    async fn drop_until(
        &mut self,
        webhook: WebhookId,
        (until, at): (Millis, Millis),
        reason: &str,
        limit: u32,
    ) -> Result<(u64, bool), Fault> {
        let sql = "SELECT b.event FROM backlog b JOIN events e ON e.id = b.event \
                   WHERE b.webhook = $1 AND e.accepted_at <= $2 ORDER BY b.sequence LIMIT $3";
        let statement = sqlx::query(sql).bind(webhook.to_string()).bind(until.0).bind(i64::from(limit));
        let rows = statement.fetch_all(&mut *self.conn).await?;
        let events = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        let death = Death { reason: DeadReason::Dropped, fault: Blame::Receiver, at };
        let dropped = self.bury_rows(webhook, &events, death, Some(reason)).await?;
        self.committed.dropped += dropped;
        Ok((dropped, events.len() as u64 >= u64::from(limit)))
    }

    /// Moves rows of the backlog to the dead letters, closed at once where a reason for that is given.
    async fn bury_rows(
        &mut self,
        webhook: WebhookId,
        events: &[String],
        death: Death,
        closed: Option<&str>,
    ) -> Result<u64, Fault> {
        let mut moved = 0;
        for chunk in chunks(events) {
            let place = |number| place_after(chunk, number);
            let (lane, reason, fault, died) = (place(1), place(2), place(3), place(4));
            let (closed_at, closed_by, closed_reason) = (place(5), place(6), place(7));
            let text = |list: &str| {
                format!(
                    "INSERT INTO dead_letters (event, webhook, project, partition_id, sequence, reason, fault, \
                     attempts, died_at, closed_at, closed_by, closed_reason) \
                     SELECT b.event, b.webhook, e.project, b.partition_id, b.sequence, ${reason}, ${fault}, \
                     b.attempts, ${died}, ${closed_at}, ${closed_by}, ${closed_reason} \
                     FROM backlog b JOIN events e ON e.id = b.event WHERE b.event IN ({list}) AND b.webhook = ${lane} \
                     ON CONFLICT (event, webhook) DO NOTHING"
                )
            };
            let statement = over_list(chunk, text)
                .bind(webhook.to_string())
                .bind(death.reason.code())
                .bind(death.fault.code())
                .bind(death.at.0)
                .bind(closed.map(|_| death.at.0))
                .bind(closed.map(|_| Closing::Dropped.code()))
                .bind(closed.map(str::to_owned));
            moved += run(self.conn, statement).await?;
        }
        self.delete_rows(&["backlog"], webhook, events).await?;
        if moved > 0 {
            self.note_dead(webhook, events, death.reason).await?;
        }
        Ok(moved)
    }
}

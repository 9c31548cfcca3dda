//! An owner's changes: one transaction, fenced by its epoch, and each step such that doing it again does nothing.

use spectrum_webhook_core::delivery::{DeadReason, DeliveryKey, Fault as Blame, HeldDelivery, LastAttempt};
use spectrum_webhook_core::ids::{ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{Change, Committed, Happened, LaneMode, LaneRecord, Lease, NoticeKind};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::DisabledReason;

use super::{archive, fence};
use crate::directory::{lock, raise_version};
use crate::error::Fault;
use crate::sql::{Columns as _, Conn, chunks, over_list, place_after, run, run_rows};

pub(super) async fn commit(conn: &mut Conn, lease: Lease, changes: Vec<Change>) -> Result<Committed, Fault> {
    let highest = changes.iter().filter_map(|change| match change {
        Change::Hold { delivery, .. } => Some(delivery.sequence.0),
        _ => None,
    });
    fence(conn, &lease, highest.max().unwrap_or(0)).await?;

    let mut commit = Commit { conn, partition: i64::from(lease.partition.0), committed: Committed::default() };
    let mut rest = changes.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        // Holds that follow one another are written many at a time.
        let holds = rest.iter().take_while(|change| matches!(change, Change::Hold { .. })).count();
        if holds > 0 {
            commit.hold(&rest[..holds]).await?;
            rest = &rest[holds..];
        } else {
            commit.step(first).await?;
            rest = behind;
        }
    }
    Ok(commit.committed)
}

pub(super) struct Commit<'c> {
    pub(super) conn: &'c mut Conn,
    partition: i64,
    pub(super) committed: Committed,
}

impl Commit<'_> {
    async fn step(&mut self, change: &Change) -> Result<(), Fault> {
        match *change {
            // Not alone: see `commit`.
            Change::Hold { .. } => Ok(()),
            Change::Remove { key } => self.remove(key).await,
            Change::SetAside { key, attempts, last, at } => self.set_aside(key, attempts, last, at).await,
            Change::Return { webhook } => self.return_all(webhook).await,
            Change::Bury { key, reason, fault, attempts, last, at } => {
                self.bury(key, Death { reason, fault, at }, attempts, last).await
            }
            Change::BurySetAside { webhook, at } => self.bury_set_aside(webhook, at).await,
            Change::Lane { webhook, record, at } => {
                self.note_outage(webhook, record, at).await?;
                self.lane(webhook, record).await
            }
            Change::Disable { webhook, reason, seen, at } => self.disable(webhook, reason, seen, at).await,
            Change::Drop { webhook, limit } => self.drop_rows(webhook, limit).await,
            Change::Expire { webhook, before, at, limit } => self.expire(webhook, before, at, limit).await,
            Change::Steer { ref message, at, limit, ref outcome } => {
                self.steer(message, at, limit, outcome.as_deref()).await
            }
        }
    }

    async fn hold(&mut self, holds: &[Change]) -> Result<(), Fault> {
        let mut rows: Vec<(WebhookId, &HeldDelivery)> = holds
            .iter()
            .filter_map(|change| match change {
                Change::Hold { webhook, delivery } => Some((*webhook, delivery.as_ref())),
                _ => None,
            })
            .collect();
        // The archive writes the same rows, in the same order, so that neither waits for one of the other's in a circle.
        rows.sort_by_key(|(_, delivery)| delivery.message.id);
        let head = "INSERT INTO events (id, project, event_type, accepted_at, registry, traceparent, only_webhook, \
                    original, body) VALUES ";
        run_rows(self.conn, (head, 9, " ON CONFLICT (id) DO NOTHING"), &rows, |statement, (_, delivery)| {
            let message = &delivery.message;
            statement
                .bind(message.id.to_string())
                .bind(message.project.to_string())
                .bind(message.event_type.as_str())
                .bind(message.accepted_at.0)
                .bind(message.registry.0)
                .bind(message.traceparent.as_deref())
                .bind(message.only().map(|webhook| webhook.to_string()))
                .bind(message.resend().map(|_| message.event().to_string()))
                .bind(&message.body[..])
        })
        .await?;
        // Both databases name the columns of VALUES column1, column2, …
        let head = "INSERT INTO backlog (event, webhook, partition_id, sequence, attempts, sent, space) \
                    SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7 FROM (VALUES ";
        let tail = ") AS v WHERE NOT EXISTS \
                    (SELECT 1 FROM set_aside s WHERE s.event = v.column1 AND s.webhook = v.column2) AND NOT EXISTS \
                    (SELECT 1 FROM dead_letters d WHERE d.event = v.column1 AND d.webhook = v.column2) \
                    ON CONFLICT (event, webhook) DO NOTHING";
        let partition = self.partition;
        run_rows(self.conn, (head, 7, tail), &rows, |statement, (webhook, delivery)| {
            statement
                .bind(delivery.message.id.to_string())
                .bind(webhook.to_string())
                .bind(partition)
                .bind(delivery.sequence.0)
                .bind(i64::from(delivery.attempts))
                .bind(i64::from(delivery.sent))
                .bind(delivery.space.0)
        })
        .await?;
        Ok(())
    }

    async fn remove(&mut self, key: DeliveryKey) -> Result<(), Fault> {
        if self.delete_row("DELETE FROM backlog WHERE event = $1 AND webhook = $2", key).await? > 0 {
            self.delete_bodies(&[key.event.to_string()]).await?;
        }
        Ok(())
    }

    async fn delete_row(&mut self, sql: &'static str, key: DeliveryKey) -> Result<u64, Fault> {
        run(self.conn, sqlx::query(sql).bind(key.event.to_string()).bind(key.webhook.to_string())).await
    }

    async fn delete_bodies(&mut self, events: &[String]) -> Result<(), Fault> {
        archive::delete_bodies(self.conn, events).await
    }

    async fn set_aside(&mut self, key: DeliveryKey, attempts: u32, last: LastAttempt, at: Millis) -> Result<(), Fault> {
        let sql = "INSERT INTO set_aside (event, webhook, partition_id, sequence, attempts, last, set_aside_at, space) \
                   SELECT event, webhook, partition_id, sequence, $3, $4, $5, space FROM backlog \
                   WHERE event = $1 AND webhook = $2 ON CONFLICT (event, webhook) DO NOTHING";
        let statement = sqlx::query(sql)
            .bind(key.event.to_string())
            .bind(key.webhook.to_string())
            .bind(i64::from(attempts))
            .bind(last.code())
            .bind(at.0);
        run(self.conn, statement).await?;
        self.delete_row("DELETE FROM backlog WHERE event = $1 AND webhook = $2", key).await?;
        Ok(())
    }

    async fn return_all(&mut self, webhook: WebhookId) -> Result<(), Fault> {
        // What is set aside was sent at least once.
        let sql = "INSERT INTO backlog (event, webhook, partition_id, sequence, attempts, sent, space) \
                   SELECT event, webhook, partition_id, sequence, attempts, 1, space FROM set_aside \
                   WHERE webhook = $1 ON CONFLICT (event, webhook) DO NOTHING";
        run(self.conn, sqlx::query(sql).bind(webhook.to_string())).await?;
        self.delete_set_aside(webhook).await
    }

    async fn delete_set_aside(&mut self, webhook: WebhookId) -> Result<(), Fault> {
        run(self.conn, sqlx::query("DELETE FROM set_aside WHERE webhook = $1").bind(webhook.to_string())).await?;
        Ok(())
    }

    async fn bury(
        &mut self,
        key: DeliveryKey,
        death: Death,
        attempts: u32,
        last: Option<LastAttempt>,
    ) -> Result<(), Fault> {
        let sql = "INSERT INTO dead_letters (event, webhook, project, partition_id, sequence, reason, fault, \
                   attempts, last, died_at) \
                   SELECT b.event, b.webhook, e.project, b.partition_id, b.sequence, $3, $4, $5, $6, $7 \
                   FROM backlog b JOIN events e ON e.id = b.event WHERE b.event = $1 AND b.webhook = $2 \
                   ON CONFLICT (event, webhook) DO NOTHING";
        let statement = sqlx::query(sql)
            .bind(key.event.to_string())
            .bind(key.webhook.to_string())
            .bind(death.reason.code())
            .bind(death.fault.code())
            .bind(i64::from(attempts))
            .bind(last.map(LastAttempt::code))
            .bind(death.at.0);
        let died = run(self.conn, statement).await? > 0;
        self.delete_row("DELETE FROM backlog WHERE event = $1 AND webhook = $2", key).await?;
        if died {
            self.note_dead(key.webhook, &[key.event.to_string()], death.reason).await?;
        }
        Ok(())
    }

    async fn bury_set_aside(&mut self, webhook: WebhookId, at: Millis) -> Result<(), Fault> {
        let sql = "INSERT INTO dead_letters (event, webhook, project, partition_id, sequence, reason, fault, \
                   attempts, last, died_at) \
                   SELECT s.event, s.webhook, e.project, s.partition_id, s.sequence, $2, $3, s.attempts, s.last, $4 \
                   FROM set_aside s JOIN events e ON e.id = s.event WHERE s.webhook = $1 \
                   ON CONFLICT (event, webhook) DO NOTHING";
        let statement = sqlx::query(sql)
            .bind(webhook.to_string())
            .bind(DeadReason::Poison.code())
            .bind(Blame::Receiver.code())
            .bind(at.0);
        self.committed.buried += run(self.conn, statement).await?;
        let rows = "SELECT event FROM set_aside WHERE webhook = $1";
        let rows = sqlx::query(rows).bind(webhook.to_string()).fetch_all(&mut *self.conn).await?;
        let events = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        self.note_dead(webhook, &events, DeadReason::Poison).await?;
        self.delete_set_aside(webhook).await
    }

    async fn lane(&mut self, webhook: WebhookId, record: Option<LaneRecord>) -> Result<(), Fault> {
        let Some(LaneRecord { mode, exhausted }) = record else {
            run(self.conn, sqlx::query("DELETE FROM lanes WHERE webhook = $1").bind(webhook.to_string())).await?;
            return Ok(());
        };
        let (mode, since, probes, next_probe, proven) = match mode {
            LaneMode::Suspect => ("suspect", None, None, None, None),
            LaneMode::Outage { since, probes, next_probe, proven } => {
                ("outage", Some(since.0), Some(i64::from(probes)), Some(next_probe.0), Some(i64::from(proven)))
            }
        };
        let sql = "INSERT INTO lanes (webhook, partition_id, mode, exhausted, since, probes, next_probe, proven) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (webhook) DO UPDATE SET \
                   partition_id = excluded.partition_id, mode = excluded.mode, exhausted = excluded.exhausted, \
                   since = excluded.since, probes = excluded.probes, next_probe = excluded.next_probe, \
                   proven = excluded.proven";
        let statement = sqlx::query(sql)
            .bind(webhook.to_string())
            .bind(self.partition)
            .bind(mode)
            .bind(i64::from(exhausted))
            .bind(since)
            .bind(probes)
            .bind(next_probe)
            .bind(proven);
        run(self.conn, statement).await?;
        Ok(())
    }

    async fn disable(
        &mut self,
        webhook: WebhookId,
        reason: DisabledReason,
        seen: Millis,
        at: Millis,
    ) -> Result<(), Fault> {
        let project = "SELECT project FROM webhooks WHERE id = $1";
        let row = sqlx::query(project).bind(webhook.to_string()).fetch_optional(&mut *self.conn).await?;
        let Some(row) = row else { return Ok(()) };
        let project = ProjectId(row.uuid(0)?);
        lock(self.conn, project).await?;
        let sql = "UPDATE webhooks SET disabled_at = $2, disabled_reason = $3, updated_at = $2 \
                   WHERE id = $1 AND disabled_at IS NULL AND deleted_at IS NULL AND updated_at = $4";
        let statement = sqlx::query(sql).bind(webhook.to_string()).bind(at.0).bind(reason.code()).bind(seen.0);
        if run(self.conn, statement).await? == 0 {
            return Ok(());
        }
        self.committed.happened.push(Happened::Disabled { webhook, reason });
        self.note(NoticeKind::Disabled, webhook, Some(reason.code()), (at, at)).await?;
        let version: RegistryVersion = raise_version(self.conn, project).await?;
        self.committed.disabled.retain(|(raised, _)| *raised != project);
        self.committed.disabled.push((project, version));
        Ok(())
    }

    async fn drop_rows(&mut self, webhook: WebhookId, limit: u32) -> Result<(), Fault> {
        let sql = "SELECT r.event FROM (SELECT event, sequence FROM backlog WHERE webhook = $1 \
                   UNION ALL SELECT event, sequence FROM set_aside WHERE webhook = $1) AS r \
                   ORDER BY r.sequence LIMIT $2";
        let rows = sqlx::query(sql).bind(webhook.to_string()).bind(i64::from(limit)).fetch_all(&mut *self.conn).await?;
        let events = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        self.committed.dropped += self.delete_rows(&ON_THE_WAY, webhook, &events).await?;
        self.committed.more |= events.len() as u64 >= u64::from(limit);
        self.delete_bodies(&events).await?;
        self.end_with(webhook).await?;
        self.lane(webhook, None).await
    }

    /// What was going on ended with its webhook: otherwise it would never become old enough to be pruned.
    async fn end_with(&mut self, webhook: WebhookId) -> Result<(), Fault> {
        for sql in [
            "UPDATE outages SET until = (SELECT deleted_at FROM webhooks w WHERE w.id = $1) \
             WHERE webhook = $1 AND until IS NULL",
            "UPDATE steerings SET done_at = (SELECT deleted_at FROM webhooks w WHERE w.id = $1) \
             WHERE webhook = $1 AND done_at IS NULL",
        ] {
            run(self.conn, sqlx::query(sql).bind(webhook.to_string())).await?;
        }
        Ok(())
    }

    /// Deletes the webhook's rows of these events from these tables.
    pub(super) async fn delete_rows(
        &mut self,
        tables: &[&str],
        webhook: WebhookId,
        events: &[String],
    ) -> Result<u64, Fault> {
        let mut deleted = 0;
        for table in tables {
            for chunk in chunks(events) {
                let place = place_after(chunk, 1);
                let text = |list: &str| format!("DELETE FROM {table} WHERE event IN ({list}) AND webhook = ${place}");
                deleted += run(self.conn, over_list(chunk, text).bind(webhook.to_string())).await?;
            }
        }
        Ok(deleted)
    }

    async fn expire(&mut self, webhook: WebhookId, before: Millis, at: Millis, limit: u32) -> Result<(), Fault> {
        let sql = "SELECT r.event FROM (SELECT event, sequence FROM backlog WHERE webhook = $1 \
                   UNION ALL SELECT event, sequence FROM set_aside WHERE webhook = $1) AS r \
                   JOIN events e ON e.id = r.event WHERE e.accepted_at < $2 ORDER BY r.sequence LIMIT $3";
        let statement = sqlx::query(sql).bind(webhook.to_string()).bind(before.0).bind(i64::from(limit));
        let rows = statement.fetch_all(&mut *self.conn).await?;
        let events = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        for (table, last) in [("backlog", "NULL"), ("set_aside", "r.last")] {
            for chunk in chunks(&events) {
                let place = |number| place_after(chunk, number);
                let (lane, reason, fault, died) = (place(1), place(2), place(3), place(4));
                let text = |list: &str| {
                    format!(
                        "INSERT INTO dead_letters (event, webhook, project, partition_id, sequence, reason, fault, \
                         attempts, last, died_at) \
                         SELECT r.event, r.webhook, e.project, r.partition_id, r.sequence, ${reason}, ${fault}, \
                         r.attempts, {last}, ${died} FROM {table} r JOIN events e ON e.id = r.event \
                         WHERE r.event IN ({list}) AND r.webhook = ${lane} \
                         ON CONFLICT (event, webhook) DO NOTHING"
                    )
                };
                let statement = over_list(chunk, text)
                    .bind(webhook.to_string())
                    .bind(DeadReason::Expired.code())
                    .bind(Blame::Receiver.code())
                    .bind(at.0);
                self.committed.buried += run(self.conn, statement).await?;
            }
        }
        self.delete_rows(&ON_THE_WAY, webhook, &events).await?;
        self.note_dead(webhook, &events, DeadReason::Expired).await?;
        self.committed.more |= events.len() as u64 >= u64::from(limit);
        Ok(())
    }
}

/// Where a delivery rests on its way.
const ON_THE_WAY: [&str; 2] = ["backlog", "set_aside"];

/// What is written of a delivery that is given up, beside how it was tried.
#[derive(Clone, Copy)]
pub(super) struct Death {
    pub(super) reason: DeadReason,
    pub(super) fault: Blame,
    pub(super) at: Millis,
}

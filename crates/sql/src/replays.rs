//! Replays: jobs that send many events again to one webhook.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use spectrum_webhook_core::ids::{EventId, OwnerId, ProjectId, RegistryVersion, ReplayId, Sequence, WebhookId};
use spectrum_webhook_core::ports::{
    PAUSED_HOLD, PortError, Replay, ReplayItem, ReplayState, ReplayStep, Replays, Selection, What,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conditions, Conn, run};
use crate::store::{MESSAGE_COLUMNS, SqlStore, message};

const PORT: &str = "replays";

#[async_trait]
impl Replays for SqlStore {
    async fn count(&self, webhook: &Webhook, selection: Selection) -> Result<u64, PortError> {
        let webhook = webhook.clone();
        let read = self.database.read(move |conn| Box::pin(count(conn, webhook, selection))).await;
        read.map_err(|fault| fault.at(PORT, "count"))
    }

    async fn create(&self, replay: &Replay) -> Result<(), PortError> {
        let replay = replay.clone();
        let done = self.database.write(move |conn| Box::pin(create(conn, replay))).await;
        done.map_err(|fault| fault.at(PORT, "create"))
    }

    async fn replay(&self, project: ProjectId, id: ReplayId) -> Result<Option<Replay>, PortError> {
        let read = self.database.read(move |conn| Box::pin(one(conn, project, id))).await;
        read.map_err(|fault| fault.at(PORT, "read"))
    }

    async fn replays(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        after: Option<(Millis, ReplayId)>,
        limit: u32,
    ) -> Result<Vec<Replay>, PortError> {
        let read = self.database.read(move |conn| Box::pin(list(conn, project, webhook, after, limit))).await;
        read.map_err(|fault| fault.at(PORT, "list"))
    }

    async fn turn(
        &self,
        project: ProjectId,
        id: ReplayId,
        from: &[ReplayState],
        to: ReplayState,
        now: Millis,
    ) -> Result<Option<Replay>, PortError> {
        let from = from.to_vec();
        let turned = self.database.write(move |conn| Box::pin(turn(conn, (project, id), from, to, now))).await;
        turned.map_err(|fault| fault.at(PORT, "change"))
    }

    async fn claim(&self, runner: OwnerId, now: Millis, until: Millis) -> Result<Option<Replay>, PortError> {
        // Most of the time there is none, and then nothing is written.
        let waiting = self.database.read(move |conn| Box::pin(claimable(conn, now))).await;
        let Some(id) = waiting.map_err(|fault| fault.at(PORT, "look for one"))? else { return Ok(None) };
        let claimed = self.database.write(move |conn| Box::pin(claim(conn, id, runner, now, until))).await;
        claimed.map_err(|fault| fault.at(PORT, "claim"))
    }

    async fn items(
        &self,
        replay: &Replay,
        webhook: &Webhook,
        limit: u32,
        bytes: usize,
    ) -> Result<(Vec<ReplayItem>, Option<(Sequence, EventId)>), PortError> {
        let (replay, webhook) = (replay.clone(), webhook.clone());
        let read = self.database.read(move |conn| Box::pin(items(conn, replay, webhook, limit, bytes))).await;
        read.map_err(|fault| fault.at(PORT, "read events"))
    }

    async fn progress(
        &self,
        id: ReplayId,
        runner: OwnerId,
        step: ReplayStep,
        now: Millis,
        until: Millis,
    ) -> Result<bool, PortError> {
        let noted = self.database.write(move |conn| Box::pin(progress(conn, (id, runner), step, now, until))).await;
        noted.map_err(|fault| fault.at(PORT, "note progress"))
    }

    async fn release(&self, id: ReplayId, runner: OwnerId) -> Result<(), PortError> {
        let released = self.database.write(move |conn| Box::pin(release(conn, id, runner))).await;
        released.map_err(|fault| fault.at(PORT, "release"))
    }
}

const COLUMNS: &str = "id, project, webhook, what, from_at, to_at, reason, rate, state, total, sent, cursor_sequence, \
                       cursor_event, created_at, updated_at";

fn replay_of(row: &AnyRow) -> Result<Replay, Fault> {
    let unknown = |what: &str, code: &str| Fault::Corrupt(format!("not a replay's {what}: {code:?}"));
    let (what, state) = (row.text(3)?, row.text(8)?);
    let rate = row.maybe_int(7)?.map(crate::sql::number).transpose()?;
    let cursor = row.maybe_int(11)?.zip(row.maybe_uuid(12)?);
    Ok(Replay {
        id: ReplayId(row.uuid(0)?),
        project: ProjectId(row.uuid(1)?),
        webhook: WebhookId(row.uuid(2)?),
        selection: Selection {
            what: What::from_code(&what).ok_or_else(|| unknown("selection", &what))?,
            from: Millis(row.int(4)?),
            to: Millis(row.int(5)?),
        },
        reason: row.text(6)?,
        rate,
        state: ReplayState::from_code(&state).ok_or_else(|| unknown("state", &state))?,
        total: row.count(9)?,
        sent: row.count(10)?,
        cursor: cursor.map(|(sequence, event)| (Sequence(sequence), EventId(event))),
        created_at: Millis(row.int(13)?),
        updated_at: Millis(row.int(14)?),
    })
}

/// What a selection means, but for the types that the webhook takes: of `events e`, and of `dead_letters d` where it is
/// about those.
fn selected(webhook: &Webhook, selection: Selection) -> (&'static str, &'static str, Conditions) {
    let mut conditions = Conditions::default();
    let place = conditions.place(webhook.id.to_string());
    let (from, order) = match selection.what {
        What::Dead => {
            conditions.and(&format!("d.webhook = {place} AND d.closed_at IS NULL"));
            ("dead_letters d JOIN events e ON e.id = d.event", "d.sequence")
        }
        What::All => {
            // What waits for the webhook will come by itself.
            conditions.and(&format!(
                "e.keep_until > 0 AND e.original IS NULL AND NOT EXISTS \
                 (SELECT 1 FROM backlog b WHERE b.event = e.id AND b.webhook = {place}) AND NOT EXISTS \
                 (SELECT 1 FROM set_aside s WHERE s.event = e.id AND s.webhook = {place})"
            ));
            conditions.and_if("e.project = {}", Some(webhook.project.to_string()));
            conditions.and_if("e.registry >= {}", Some(webhook.added.0));
            ("events e", "e.sequence")
        }
    };
    conditions.and_if("e.accepted_at >= {}", Some(selection.from.0));
    conditions.and_if("e.accepted_at < {}", Some(selection.to.0));
    (from, order, conditions)
}

/// Whether an event of this type is among what is selected.
fn takes(webhook: &Webhook, what: What, event_type: &str) -> bool {
    what == What::Dead || webhook.takes(event_type, RegistryVersion(i64::MAX))
}

async fn count(conn: &mut Conn, webhook: Webhook, selection: Selection) -> Result<u64, Fault> {
    let (from, _, conditions) = selected(&webhook, selection);
    let head = format!("SELECT e.event_type, count(*) FROM {from}");
    let rows = conditions.statement(&head, " GROUP BY e.event_type").fetch_all(conn).await?;
    let mut sum = 0;
    for row in &rows {
        if takes(&webhook, selection.what, &row.text(0)?) {
            sum += row.count(1)?;
        }
    }
    Ok(sum)
}

async fn create(conn: &mut Conn, replay: Replay) -> Result<(), Fault> {
    let sql = "INSERT INTO replays (id, project, webhook, what, from_at, to_at, reason, rate, state, total, created_at, \
               updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let statement = sqlx::query(sql)
        .bind(replay.id.to_string())
        .bind(replay.project.to_string())
        .bind(replay.webhook.to_string())
        .bind(replay.selection.what.code())
        .bind(replay.selection.from.0)
        .bind(replay.selection.to.0)
        .bind(replay.reason)
        .bind(replay.rate.map(i64::from))
        .bind(replay.state.code())
        .bind(i64::try_from(replay.total).unwrap_or(i64::MAX))
        .bind(replay.created_at.0)
        .bind(replay.updated_at.0);
    run(conn, statement).await?;
    Ok(())
}

async fn one(conn: &mut Conn, project: ProjectId, id: ReplayId) -> Result<Option<Replay>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM replays WHERE id = $1 AND project = $2");
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).bind(project.to_string());
    statement.fetch_optional(conn).await?.as_ref().map(replay_of).transpose()
}

async fn list(
    conn: &mut Conn,
    project: ProjectId,
    webhook: WebhookId,
    after: Option<(Millis, ReplayId)>,
    limit: u32,
) -> Result<Vec<Replay>, Fault> {
    let mut conditions = Conditions::default();
    conditions.and_if("project = {}", Some(project.to_string()));
    conditions.and_if("webhook = {}", Some(webhook.to_string()));
    if let Some((created_at, id)) = after {
        let places = (conditions.place(created_at.0), conditions.place(id.to_string()));
        conditions.and(&format!("(created_at, id) < ({}, {})", places.0, places.1));
    }
    let limit = conditions.place(i64::from(limit));
    let tail = format!(" ORDER BY created_at DESC, id DESC LIMIT {limit}");
    let rows = conditions.statement(&format!("SELECT {COLUMNS} FROM replays"), &tail).fetch_all(conn).await?;
    rows.iter().map(replay_of).collect()
}

async fn turn(
    conn: &mut Conn,
    (project, id): (ProjectId, ReplayId),
    from: Vec<ReplayState>,
    to: ReplayState,
    now: Millis,
) -> Result<Option<Replay>, Fault> {
    let states: Vec<String> = from.iter().map(|state| format!("'{}'", state.code())).collect();
    // Words of this program alone are in it.
    let sql = format!(
        "UPDATE replays SET state = $3, updated_at = $4, \
         runs_until = CASE WHEN runs_until < $5 THEN runs_until ELSE $5 END \
         WHERE id = $1 AND project = $2 AND state IN ({})",
        states.join(",")
    );
    let statement = sqlx::query(AssertSqlSafe(sql))
        .bind(id.to_string())
        .bind(project.to_string())
        .bind(to.code())
        .bind(now.0)
        .bind(now.0.saturating_add(PAUSED_HOLD));
    if run(conn, statement).await? == 0 {
        return Ok(None);
    }
    one(conn, project, id).await
}

async fn claimable(conn: &mut Conn, now: Millis) -> Result<Option<String>, Fault> {
    let sql = "SELECT id FROM replays WHERE state = 'running' AND runs_until < $1 ORDER BY updated_at, id LIMIT 1";
    sqlx::query(sql).bind(now.0).fetch_optional(conn).await?.map(|row| row.text(0)).transpose()
}

async fn claim(
    conn: &mut Conn,
    id: String,
    runner: OwnerId,
    now: Millis,
    until: Millis,
) -> Result<Option<Replay>, Fault> {
    let sql = "UPDATE replays SET runner = $1, runs_until = $3, updated_at = $2 \
               WHERE id = $4 AND state = 'running' AND runs_until < $2";
    let statement = sqlx::query(sql).bind(runner.0.to_string()).bind(now.0).bind(until.0).bind(id.as_str());
    if run(conn, statement).await? == 0 {
        return Ok(None);
    }
    let sql = format!("SELECT {COLUMNS} FROM replays WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_one(conn).await?;
    Ok(Some(replay_of(&row)?))
}

/// Row by row, so that no more bodies are in memory than were asked for.
async fn items(
    conn: &mut Conn,
    replay: Replay,
    webhook: Webhook,
    limit: u32,
    bytes: usize,
) -> Result<(Vec<ReplayItem>, Option<(Sequence, EventId)>), Fault> {
    let (from, order, mut conditions) = selected(&webhook, replay.selection);
    if let Some((sequence, event)) = replay.cursor {
        let places = (conditions.place(sequence.0), conditions.place(event.to_string()));
        conditions.and(&format!("({order}, e.id) > ({}, {})", places.0, places.1));
    }
    let most = conditions.place(i64::from(limit.max(1)));
    let head = format!("SELECT {MESSAGE_COLUMNS}, {order} FROM {from}");
    let tail = format!(" ORDER BY {order}, e.id LIMIT {most}");
    let mut rows = conditions.statement(&head, &tail).fetch(conn);
    let (mut items, mut size, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.try_next().await? {
        let message = message(&row)?;
        let sequence = Sequence(row.int(MESSAGE_COLUMNS.split(',').count())?);
        last = Some((sequence, message.id));
        if takes(&webhook, replay.selection.what, &message.event_type) {
            size += message.body.len();
            items.push(ReplayItem { sequence, message });
        }
        if size >= bytes {
            break;
        }
    }
    Ok((items, last))
}

async fn progress(
    conn: &mut Conn,
    (id, runner): (ReplayId, OwnerId),
    step: ReplayStep,
    now: Millis,
    until: Millis,
) -> Result<bool, Fault> {
    let sql = "UPDATE replays SET sent = sent + $3, cursor_sequence = coalesce($4, cursor_sequence), \
               cursor_event = coalesce($5, cursor_event), updated_at = $6, runs_until = $7 \
               WHERE id = $1 AND runner = $2 AND runs_until > $6";
    let statement = sqlx::query(sql)
        .bind(id.to_string())
        .bind(runner.0.to_string())
        .bind(i64::try_from(step.sent).unwrap_or(i64::MAX))
        .bind(step.cursor.map(|(sequence, _)| sequence.0))
        .bind(step.cursor.map(|(_, event)| event.to_string()))
        .bind(now.0)
        .bind(until.0);
    if run(conn, statement).await? == 0 {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM replays WHERE id = $1 AND state = 'running'";
    Ok(sqlx::query(sql).bind(id.to_string()).fetch_optional(conn).await?.is_some())
}

async fn release(conn: &mut Conn, id: ReplayId, runner: OwnerId) -> Result<(), Fault> {
    let sql = "UPDATE replays SET runs_until = 0 WHERE id = $1 AND runner = $2";
    run(conn, sqlx::query(sql).bind(id.to_string()).bind(runner.0.to_string())).await?;
    Ok(())
}

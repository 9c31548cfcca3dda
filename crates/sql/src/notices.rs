//! Notices on their way to the project that is there for operations.

use async_trait::async_trait;
use spectrum_webhook_core::ids::{EventId, OwnerId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::{Notice, NoticeKind, Notices, PortError};
use spectrum_webhook_core::time::Millis;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conn, chunks, over_list, run, run_plain};
use crate::store::SqlStore;

const PORT: &str = "notices";
/// The setting that names the project.
const SETTING: &str = "operations_project";

#[async_trait]
impl Notices for SqlStore {
    async fn tell(&self, project: Option<ProjectId>) -> Result<(), PortError> {
        let done = self.database.write(move |conn| Box::pin(tell(conn, project))).await;
        done.map_err(|fault| fault.at(PORT, "name the project"))
    }

    async fn claim_notices(
        &self,
        runner: OwnerId,
        now: Millis,
        until: Millis,
        limit: u32,
    ) -> Result<Option<(ProjectId, Vec<Notice>)>, PortError> {
        // Most of the time there is none, and then nothing is written.
        let waiting = self.database.read(|conn| Box::pin(any(conn))).await;
        if !waiting.map_err(|fault| fault.at(PORT, "look for some"))? {
            return Ok(None);
        }
        let claimed = self.database.write(move |conn| Box::pin(claim(conn, runner, now, until, limit))).await;
        claimed.map_err(|fault| fault.at(PORT, "claim"))
    }

    async fn forget_notices(&self, ids: &[String]) -> Result<(), PortError> {
        let ids = ids.to_vec();
        let done = self.database.write(move |conn| Box::pin(forget(conn, ids))).await;
        done.map_err(|fault| fault.at(PORT, "forget"))
    }
}

async fn tell(conn: &mut Conn, project: Option<ProjectId>) -> Result<(), Fault> {
    match project {
        Some(project) => {
            let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) \
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            run(conn, sqlx::query(sql).bind(SETTING).bind(project.to_string())).await?;
        }
        None => {
            run(conn, sqlx::query("DELETE FROM settings WHERE name = $1").bind(SETTING)).await?;
            run_plain(conn, "DELETE FROM notices").await?;
        }
    }
    Ok(())
}

async fn any(conn: &mut Conn) -> Result<bool, Fault> {
    let row = sqlx::query("SELECT id FROM notices LIMIT 1").fetch_optional(conn).await?;
    Ok(row.is_some())
}

async fn claim(
    conn: &mut Conn,
    runner: OwnerId,
    now: Millis,
    until: Millis,
    limit: u32,
) -> Result<Option<(ProjectId, Vec<Notice>)>, Fault> {
    // One process at a time, so that they go in their order.
    let sql = "INSERT INTO duties (name, runner, runs_until) VALUES ('notices', $1, $3) ON CONFLICT (name) \
               DO UPDATE SET runner = excluded.runner, runs_until = excluded.runs_until \
               WHERE duties.runner = excluded.runner OR duties.runs_until < $2";
    let statement = sqlx::query(sql).bind(runner.0.to_string()).bind(now.0).bind(until.0);
    if run(conn, statement).await? == 0 {
        return Ok(None);
    }
    let sql = "SELECT s.value FROM settings s JOIN projects p ON p.id = s.value AND p.deleted_at IS NULL \
               WHERE s.name = $1";
    let Some(row) = sqlx::query(sql).bind(SETTING).fetch_optional(&mut *conn).await? else {
        // Nobody is to be told any more.
        run_plain(conn, "DELETE FROM notices").await?;
        return Ok(None);
    };
    let project = ProjectId(row.uuid(0)?);
    let sql = "SELECT id, kind, project, webhook, event, detail, at FROM notices ORDER BY at, id LIMIT $1";
    let rows = sqlx::query(sql).bind(i64::from(limit)).fetch_all(conn).await?;
    Ok(Some((project, rows.iter().map(notice_of).collect::<Result<_, _>>()?)))
}

fn notice_of(row: &AnyRow) -> Result<Notice, Fault> {
    let kind = row.text(1)?;
    Ok(Notice {
        id: row.text(0)?,
        kind: NoticeKind::of_event_type(&kind).ok_or_else(|| Fault::Corrupt(format!("not a notice: {kind:?}")))?,
        project: ProjectId(row.uuid(2)?),
        webhook: WebhookId(row.uuid(3)?),
        event: row.maybe_uuid(4)?.map(EventId),
        detail: row.maybe_text(5)?,
        at: Millis(row.int(6)?),
    })
}

async fn forget(conn: &mut Conn, ids: Vec<String>) -> Result<(), Fault> {
    for chunk in chunks(&ids) {
        run(conn, over_list(chunk, |list| format!("DELETE FROM notices WHERE id IN ({list})"))).await?;
    }
    Ok(())
}

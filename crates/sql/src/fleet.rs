//! The register of the processes.

use async_trait::async_trait;
use spectrum_webhook_core::ids::OwnerId;
use spectrum_webhook_core::ports::{Fleet, Member, PortError};
use spectrum_webhook_core::time::Millis;

use crate::error::Fault;
use crate::sql::{Columns as _, Conn, run};
use crate::store::SqlStore;

const PORT: &str = "fleet";
/// Members that are read at most.
const MOST: i64 = 1_000;

#[async_trait]
impl Fleet for SqlStore {
    async fn report(&self, member: &Member, before: Millis) -> Result<(), PortError> {
        let (id, seen_at) = (member.id, member.seen_at);
        // It is made of numbers and texts, which can always be written.
        let said = serde_json::to_string(member).unwrap_or_default();
        let done = self.database.write_plainly(move |conn| Box::pin(report(conn, id, seen_at, said, before))).await;
        done.map_err(|fault| fault.at(PORT, "report"))
    }

    async fn leave(&self, id: OwnerId) -> Result<(), PortError> {
        let done = self.database.write_plainly(move |conn| Box::pin(leave(conn, id))).await;
        done.map_err(|fault| fault.at(PORT, "leave"))
    }

    async fn members(&self, since: Millis) -> Result<Vec<Member>, PortError> {
        let read = self.database.read(move |conn| Box::pin(members(conn, since))).await;
        read.map_err(|fault| fault.at(PORT, "read"))
    }
}

async fn report(conn: &mut Conn, id: OwnerId, seen_at: Millis, said: String, before: Millis) -> Result<(), Fault> {
    let sql = "INSERT INTO members (id, seen_at, said) VALUES ($1, $2, $3) \
               ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, said = excluded.said";
    run(conn, sqlx::query(sql).bind(id.to_string()).bind(seen_at.0).bind(said)).await?;
    run(conn, sqlx::query("DELETE FROM members WHERE seen_at < $1").bind(before.0)).await?;
    Ok(())
}

async fn leave(conn: &mut Conn, id: OwnerId) -> Result<(), Fault> {
    run(conn, sqlx::query("DELETE FROM members WHERE id = $1").bind(id.to_string())).await?;
    Ok(())
}

/// A process of another version may say something else: what cannot be read is left out.
async fn members(conn: &mut Conn, since: Millis) -> Result<Vec<Member>, Fault> {
    let sql = "SELECT said FROM members WHERE seen_at >= $1 ORDER BY id LIMIT $2";
    let rows = sqlx::query(sql).bind(since.0).bind(MOST).fetch_all(conn).await?;
    let said = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    let mut members: Vec<Member> = said.iter().filter_map(|said| serde_json::from_str(said).ok()).collect();
    members.sort_by_key(|member| (member.started_at, member.id));
    Ok(members)
}

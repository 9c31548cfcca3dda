//! Dead letters, as people read them and what people do about them.

use async_trait::async_trait;
use spectrum_webhook_core::delivery::{Closing, DeadReason, Fault as Blame, Message};
use spectrum_webhook_core::ids::{EventId, ProjectId, Sequence, WebhookId};
use spectrum_webhook_core::ports::{DeadLetter, DeadLetters, Discarded, LetterQuery, PortError, Resending};
use spectrum_webhook_core::time::Millis;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conditions, Conn, chunks, over_list, place_after, run};
use crate::store::{MESSAGE_COLUMNS, SqlStore, message};

const PORT: &str = "dead letters";

#[async_trait]
impl DeadLetters for SqlStore {
    async fn letters(&self, query: &LetterQuery) -> Result<Vec<DeadLetter>, PortError> {
        let query = query.clone();
        let read = self.database.read(move |conn| Box::pin(letters(conn, query))).await;
        read.map_err(|fault| fault.at(PORT, "list"))
    }

    async fn letter(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        id: EventId,
    ) -> Result<Option<(DeadLetter, Message)>, PortError> {
        let key = Key { project, webhook, id };
        let read = self.database.read(move |conn| Box::pin(letter(conn, key))).await;
        read.map_err(|fault| fault.at(PORT, "read"))
    }

    async fn begin_resend(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        id: EventId,
        proposed: EventId,
    ) -> Result<Option<Resending>, PortError> {
        let key = Key { project, webhook, id };
        let begun = self.database.write(move |conn| Box::pin(begin_resend(conn, key, proposed))).await;
        begun.map_err(|fault| fault.at(PORT, "begin a resend"))
    }

    async fn end_resend(&self, webhook: WebhookId, id: EventId, at: Millis) -> Result<(), PortError> {
        let ended = self.database.write(move |conn| Box::pin(end_resend(conn, webhook, id, at))).await;
        ended.map_err(|fault| fault.at(PORT, "end a resend"))
    }

    async fn discard(
        &self,
        project: ProjectId,
        webhook: WebhookId,
        ids: Option<&[EventId]>,
        reason: &str,
        at: Millis,
        limit: u32,
    ) -> Result<Discarded, PortError> {
        let ids = ids.map(|ids| ids.iter().map(EventId::to_string).collect());
        let wish = Discarding { project, webhook, ids, reason: reason.to_owned(), at, limit };
        let discarded = self.database.write(move |conn| Box::pin(discard(conn, wish))).await;
        discarded.map_err(|fault| fault.at(PORT, "discard"))
    }
}

/// The columns that [`letter_of`] reads, of `dead_letters d` and `events e`.
const COLUMNS: &str = "d.event, e.original, d.webhook, e.event_type, d.sequence, d.reason, d.fault, d.attempts, d.last, \
                       e.accepted_at, d.died_at, d.closed_at, d.closed_by, d.closed_reason, d.resent_as";

/// A letter from [`COLUMNS`], behind `before` others.
fn letter_of(row: &AnyRow, before: usize) -> Result<DeadLetter, Fault> {
    let at = |column| before + column;
    let unknown = |what: &str, code: &str| Fault::Corrupt(format!("not a dead letter's {what}: {code:?}"));
    let id = EventId(row.uuid(at(0))?);
    let (reason, fault) = (row.text(at(5))?, row.text(at(6))?);
    let closed = match (row.maybe_int(at(11))?, row.maybe_text(at(12))?) {
        (Some(when), Some(code)) => {
            Some((Millis(when), Closing::from_code(&code).ok_or_else(|| unknown("closing", &code))?))
        }
        _ => None,
    };
    Ok(DeadLetter {
        id,
        event: row.maybe_uuid(at(1))?.map_or(id, EventId),
        webhook: WebhookId(row.uuid(at(2))?),
        event_type: row.text(at(3))?,
        sequence: Sequence(row.int(at(4))?),
        reason: DeadReason::from_code(&reason).ok_or_else(|| unknown("reason", &reason))?,
        fault: Blame::from_code(&fault).ok_or_else(|| unknown("fault", &fault))?,
        attempts: row.small(at(7))?,
        last: row.maybe_text(at(8))?,
        accepted_at: Millis(row.int(at(9))?),
        died_at: Millis(row.int(at(10))?),
        closed,
        closed_reason: row.maybe_text(at(13))?,
        resent_as: row.maybe_uuid(at(14))?.map(EventId),
    })
}

async fn letters(conn: &mut Conn, query: LetterQuery) -> Result<Vec<DeadLetter>, Fault> {
    let mut conditions = Conditions::default();
    conditions.and_if("d.project = {}", Some(query.project.to_string()));
    conditions.and_if("d.webhook = {}", query.webhook.map(|webhook| webhook.to_string()));
    match query.closed {
        Some(true) => conditions.and("d.closed_at IS NOT NULL"),
        Some(false) => conditions.and("d.closed_at IS NULL"),
        None => {}
    }
    conditions.and_if("d.reason = {}", query.reason.map(DeadReason::code));
    conditions.and_if("d.fault = {}", query.fault.map(Blame::code));
    conditions.and_if("d.died_at >= {}", query.from.map(|from| from.0));
    conditions.and_if("d.died_at < {}", query.to.map(|to| to.0));
    if let Some((died_at, id, webhook)) = query.after {
        let places =
            (conditions.place(died_at.0), conditions.place(id.to_string()), conditions.place(webhook.to_string()));
        conditions.and(&format!("(d.died_at, d.event, d.webhook) < ({}, {}, {})", places.0, places.1, places.2));
    }
    let limit = conditions.place(i64::from(query.limit));
    let head = format!("SELECT {COLUMNS} FROM dead_letters d JOIN events e ON e.id = d.event");
    let tail = format!(" ORDER BY d.died_at DESC, d.event DESC, d.webhook DESC LIMIT {limit}");
    let rows = conditions.statement(&head, &tail).fetch_all(conn).await?;
    rows.iter().map(|row| letter_of(row, 0)).collect()
}

/// One dead letter, of a project that may see it.
#[derive(Clone, Copy)]
struct Key {
    project: ProjectId,
    webhook: WebhookId,
    id: EventId,
}

async fn letter(conn: &mut Conn, key: Key) -> Result<Option<(DeadLetter, Message)>, Fault> {
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS}, {COLUMNS} FROM dead_letters d JOIN events e ON e.id = d.event \
         WHERE d.event = $1 AND d.webhook = $2 AND d.project = $3"
    );
    let statement = sqlx::query(AssertSqlSafe(sql))
        .bind(key.id.to_string())
        .bind(key.webhook.to_string())
        .bind(key.project.to_string());
    let row = statement.fetch_optional(conn).await?;
    row.map(|row| Ok((letter_of(&row, MESSAGE_COLUMNS.split(',').count())?, message(&row)?))).transpose()
}

async fn begin_resend(conn: &mut Conn, key: Key, proposed: EventId) -> Result<Option<Resending>, Fault> {
    let sql = "UPDATE dead_letters SET resent_as = coalesce(resent_as, $4) \
               WHERE event = $1 AND webhook = $2 AND project = $3 AND closed_at IS NULL";
    let statement = sqlx::query(sql)
        .bind(key.id.to_string())
        .bind(key.webhook.to_string())
        .bind(key.project.to_string())
        .bind(proposed.to_string());
    if run(conn, statement).await? == 0 {
        return Ok(None);
    }
    let found = letter(conn, key).await?;
    Ok(found.map(|(letter, message)| Resending { id: letter.resent_as.unwrap_or(proposed), message }))
}

async fn end_resend(conn: &mut Conn, webhook: WebhookId, id: EventId, at: Millis) -> Result<(), Fault> {
    let sql = "UPDATE dead_letters SET closed_at = $3, closed_by = $4 \
               WHERE event = $1 AND webhook = $2 AND closed_at IS NULL";
    let statement =
        sqlx::query(sql).bind(id.to_string()).bind(webhook.to_string()).bind(at.0).bind(Closing::Resent.code());
    run(conn, statement).await?;
    Ok(())
}

struct Discarding {
    project: ProjectId,
    webhook: WebhookId,
    ids: Option<Vec<String>>,
    reason: String,
    at: Millis,
    limit: u32,
}

async fn discard(conn: &mut Conn, wish: Discarding) -> Result<Discarded, Fault> {
    let (ids, more) = match wish.ids {
        Some(ids) => (ids, false),
        None => {
            let sql = "SELECT event FROM dead_letters WHERE webhook = $1 AND project = $2 AND closed_at IS NULL \
                       AND died_at <= $3 ORDER BY died_at, event LIMIT $4";
            let statement = sqlx::query(sql)
                .bind(wish.webhook.to_string())
                .bind(wish.project.to_string())
                .bind(wish.at.0)
                .bind(i64::from(wish.limit));
            let rows = statement.fetch_all(&mut *conn).await?;
            let ids = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
            let more = ids.len() as u64 >= u64::from(wish.limit);
            (ids, more)
        }
    };
    let mut letters = 0;
    for chunk in chunks(&ids) {
        let place = |number| place_after(chunk, number);
        let (webhook, project, at, by, reason) = (place(1), place(2), place(3), place(4), place(5));
        let text = |list: &str| {
            format!(
                "UPDATE dead_letters SET closed_at = ${at}, closed_by = ${by}, closed_reason = ${reason} \
                 WHERE event IN ({list}) AND webhook = ${webhook} AND project = ${project} AND closed_at IS NULL"
            )
        };
        let statement = over_list(chunk, text)
            .bind(wish.webhook.to_string())
            .bind(wish.project.to_string())
            .bind(wish.at.0)
            .bind(Closing::Discarded.code())
            .bind(wish.reason.as_str());
        letters += run(conn, statement).await?;
    }
    Ok(Discarded { letters, more })
}

//! The delivery log, newest first, page by page.

use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Failure, Next};
use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::ids::{EventId, ProjectId, Sequence, WebhookId};
use spectrum_webhook_core::ports::{AttemptFilter, AttemptKey, AttemptPage};
use spectrum_webhook_core::time::Millis;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conditions, Conn, number};

/// The columns that [`attempt_of`] reads, of `attempts a`.
pub(super) const COLUMNS: &str = "a.event, a.webhook, a.project, a.event_type, a.sequence, a.number, a.started_at, \
                                  a.connect_ms, a.first_byte_ms, a.total_ms, a.status, a.failure, a.retry_after_ms, \
                                  a.address, a.snippet, a.resend, a.next, a.next_at";

/// The order of the log: that of [`AttemptKey`], from the last.
const NEWEST_FIRST: &str = "ORDER BY a.started_at DESC, a.event DESC, a.webhook DESC, a.number DESC";

/// Rows that one page looks through at most: a filter that few of them pass would otherwise read the whole log.
const SCAN: u32 = 10_000;

/// An attempt from [`COLUMNS`].
pub(super) fn attempt_of(row: &AnyRow) -> Result<AttemptRecord, Fault> {
    let maybe = |column| row.maybe_int(column)?.map(number::<u32>).transpose();
    let ended = match row.maybe_int(10)? {
        Some(status) => {
            Ended::Answered { status: number(status)?, retry_after: row.maybe_int(12)?.map(number).transpose()? }
        }
        None => {
            let code = row.maybe_text(11)?.unwrap_or_default();
            let failure = Failure::from_code(&code);
            Ended::Failed(failure.ok_or_else(|| Fault::Corrupt(format!("not a failure: {code:?}")))?)
        }
    };
    let next = row.maybe_text(16)?;
    let next = Next::from_code(next.as_deref(), row.maybe_int(17)?.map(Millis))
        .ok_or_else(|| Fault::Corrupt(format!("not what comes next: {next:?}")))?;
    let address =
        row.maybe_text(13)?.map(|text| text.parse().map_err(|_| Fault::Corrupt(format!("not an address: {text:?}"))));
    Ok(AttemptRecord {
        key: DeliveryKey { event: EventId(row.uuid(0)?), webhook: WebhookId(row.uuid(1)?) },
        resend: row.maybe_uuid(15)?.map(EventId),
        project: ProjectId(row.uuid(2)?),
        event_type: row.text(3)?,
        sequence: Sequence(row.int(4)?),
        number: row.small(5)?,
        started_at: Millis(row.int(6)?),
        connect_ms: maybe(7)?,
        first_byte_ms: maybe(8)?,
        total_ms: row.small(9)?,
        ended,
        address: address.transpose()?,
        snippet: row.text(14)?,
        next,
    })
}

/// The part of the log that is looked through: what an index leads to.
fn scope(conditions: &mut Conditions, project: ProjectId, filter: &AttemptFilter) {
    // A webhook belongs to one project, which was asked before: its index alone leads to its rows.
    match filter.webhook {
        Some(webhook) => conditions.and_if("a.webhook = {}", Some(webhook.to_string())),
        None => conditions.and_if("a.project = {}", Some(project.to_string())),
    }
    conditions.and_if("a.started_at >= {}", filter.from.map(|from| from.0));
    conditions.and_if("a.started_at < {}", filter.to.map(|to| to.0));
    if let Some(after) = filter.after {
        let at = conditions.place(after.started_at.0);
        let (event, webhook) = (conditions.place(after.event.to_string()), conditions.place(after.webhook.to_string()));
        let number = conditions.place(i64::from(after.number));
        // The first one leads an index to where the page begins.
        conditions.and(&format!(
            "a.started_at <= {at} AND (a.started_at, a.event, a.webhook, a.number) < ({at}, {event}, {webhook}, \
             {number})"
        ));
    }
}

/// What is asked of each row that is looked at.
fn tests(conditions: &mut Conditions, filter: &AttemptFilter) -> String {
    let mut tests = Vec::new();
    match filter.delivered {
        Some(true) => tests.push("a.status BETWEEN 200 AND 299".to_owned()),
        Some(false) => tests.push("(a.status IS NULL OR a.status NOT BETWEEN 200 AND 299)".to_owned()),
        None => {}
    }
    if let Some((low, high)) = filter.status {
        let (low, high) = (conditions.place(i64::from(low)), conditions.place(i64::from(high)));
        tests.push(format!("a.status BETWEEN {low} AND {high}"));
    }
    if let Some(failure) = filter.failure {
        tests.push(format!("a.failure = {}", conditions.place(failure.code())));
    }
    if let Some(event_type) = &filter.event_type {
        tests.push(format!("a.event_type = {}", conditions.place(event_type.as_str())));
    }
    tests.join(" AND ")
}

pub(super) async fn page(
    conn: &mut Conn,
    project: ProjectId,
    filter: AttemptFilter,
    limit: u32,
) -> Result<AttemptPage, Fault> {
    if let Some(webhook) = filter.webhook
        && owner(conn, webhook).await? != Some(project)
    {
        return Ok(AttemptPage::default());
    }
    let mut conditions = Conditions::default();
    let most = i64::from(limit) + 1;
    let statement = if let Some(event) = filter.event {
        // Few, and led to by the event alone; whatever else is asked is asked of each.
        let event = conditions.place(event.to_string());
        let head = format!("SELECT {COLUMNS} FROM (SELECT * FROM attempts WHERE event = {event} LIMIT {SCAN}) AS a");
        scope(&mut conditions, project, &filter);
        conditions.and_if("a.project = {}", Some(project.to_string()));
        if filter.looks_into_rows() {
            let tests = tests(&mut conditions, &filter);
            conditions.and(&tests);
        }
        conditions.statement(&head, &format!(" {NEWEST_FIRST} LIMIT {most}"))
    } else if filter.looks_into_rows() {
        scope(&mut conditions, project, &filter);
        let tests = tests(&mut conditions, &filter);
        let tail = format!(" {NEWEST_FIRST} LIMIT {SCAN}) AS a WHERE {tests} {NEWEST_FIRST} LIMIT {most}");
        conditions.statement(&format!("SELECT {COLUMNS} FROM (SELECT a.* FROM attempts a"), &tail)
    } else {
        scope(&mut conditions, project, &filter);
        let tail = format!(" {NEWEST_FIRST} LIMIT {most}");
        conditions.statement(&format!("SELECT {COLUMNS} FROM attempts a"), &tail)
    };
    let rows = statement.fetch_all(&mut *conn).await?;
    let mut attempts = rows.iter().map(attempt_of).collect::<Result<Vec<_>, _>>()?;
    if attempts.len() > limit as usize {
        attempts.truncate(limit as usize);
        return Ok(AttemptPage { next: attempts.last().map(AttemptKey::of), attempts });
    }
    // Not all rows were looked at, perhaps: the next page goes on behind the last that was.
    let next = if filter.event.is_none() && filter.looks_into_rows() {
        last_looked_at(conn, project, &filter).await?
    } else {
        None
    };
    Ok(AttemptPage { attempts, next })
}

/// The last row that a page looked at, if it looked at all that it may.
async fn last_looked_at(
    conn: &mut Conn,
    project: ProjectId,
    filter: &AttemptFilter,
) -> Result<Option<AttemptKey>, Fault> {
    let mut conditions = Conditions::default();
    scope(&mut conditions, project, filter);
    let head = "SELECT a.started_at, a.event, a.webhook, a.number FROM attempts a";
    let tail = format!(" {NEWEST_FIRST} LIMIT 1 OFFSET {}", SCAN - 1);
    let row = conditions.statement(head, &tail).fetch_optional(conn).await?;
    row.map(|row| {
        Ok(AttemptKey {
            started_at: Millis(row.int(0)?),
            event: EventId(row.uuid(1)?),
            webhook: WebhookId(row.uuid(2)?),
            number: row.small(3)?,
        })
    })
    .transpose()
}

/// The project of a webhook, deleted or not.
async fn owner(conn: &mut Conn, webhook: WebhookId) -> Result<Option<ProjectId>, Fault> {
    let statement = sqlx::query("SELECT project FROM webhooks WHERE id = $1").bind(webhook.to_string());
    statement.fetch_optional(conn).await?.map(|row| Ok(ProjectId(row.uuid(0)?))).transpose()
}

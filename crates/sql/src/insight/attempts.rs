//! The delivery log, newest first, page by page.

use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Failure, Next};
use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::ids::{EventId, ProjectId, Sequence, WebhookId};
use spectrum_webhook_core::ports::{AttemptFilter, AttemptKey, AttemptPage};
use spectrum_webhook_core::time::Millis;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conn, Statement, number};

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

enum Value {
    Text(String),
    Int(i64),
}

/// Conditions and the values of their places.
struct Terms {
    values: Vec<Value>,
}

impl Terms {
    /// The place of a value.
    fn text(&mut self, value: impl ToString) -> String {
        self.values.push(Value::Text(value.to_string()));
        format!("${}", self.values.len())
    }

    fn int(&mut self, value: i64) -> String {
        self.values.push(Value::Int(value));
        format!("${}", self.values.len())
    }

    fn bind(&self, statement: Statement) -> Statement {
        self.values.iter().fold(statement, |statement, value| match value {
            Value::Text(text) => statement.bind(text.clone()),
            Value::Int(int) => statement.bind(*int),
        })
    }

    /// The part of the log that is looked through: what an index leads to.
    fn scope(&mut self, project: ProjectId, filter: &AttemptFilter) -> Vec<String> {
        // A webhook belongs to one project, which was asked before: its index alone leads to its rows.
        let mut terms = vec![match filter.webhook {
            Some(webhook) => format!("a.webhook = {}", self.text(webhook)),
            None => format!("a.project = {}", self.text(project)),
        }];
        terms.extend(self.period(filter));
        terms
    }

    fn period(&mut self, filter: &AttemptFilter) -> Vec<String> {
        let mut terms = Vec::new();
        if let Some(from) = filter.from {
            terms.push(format!("a.started_at >= {}", self.int(from.0)));
        }
        if let Some(to) = filter.to {
            terms.push(format!("a.started_at < {}", self.int(to.0)));
        }
        if let Some(after) = filter.after {
            let at = self.int(after.started_at.0);
            let (event, webhook) = (self.text(after.event), self.text(after.webhook));
            let number = self.int(after.number.into());
            // The first term leads an index to where the page begins.
            terms.push(format!(
                "a.started_at <= {at} AND (a.started_at, a.event, a.webhook, a.number) < \
                 ({at}, {event}, {webhook}, {number})"
            ));
        }
        terms
    }

    /// What is asked of each row that is looked at.
    fn tests(&mut self, filter: &AttemptFilter) -> Vec<String> {
        let mut terms = Vec::new();
        match filter.delivered {
            Some(true) => terms.push("a.status BETWEEN 200 AND 299".to_owned()),
            Some(false) => terms.push("(a.status IS NULL OR a.status NOT BETWEEN 200 AND 299)".to_owned()),
            None => {}
        }
        if let Some((low, high)) = filter.status {
            terms.push(format!("a.status BETWEEN {} AND {}", self.int(low.into()), self.int(high.into())));
        }
        if let Some(failure) = filter.failure {
            terms.push(format!("a.failure = {}", self.text(failure.code())));
        }
        if let Some(event_type) = &filter.event_type {
            terms.push(format!("a.event_type = {}", self.text(event_type)));
        }
        terms
    }
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
    let mut terms = Terms { values: Vec::new() };
    let most = i64::from(limit) + 1;
    let of_event = filter.event.map(|event| format!("event = {} LIMIT {SCAN}", terms.text(event)));
    let mut tests = Vec::new();
    let part = match of_event {
        // Few, and led to by the event alone; whatever else is asked is asked of each.
        Some(of_event) => {
            tests = terms.scope(project, &filter);
            tests.push(format!("a.project = {}", terms.text(project)));
            format!("(SELECT * FROM attempts WHERE {of_event})")
        }
        None => {
            let scope = terms.scope(project, &filter).join(" AND ");
            let looked_at = if filter.looks_into_rows() { i64::from(SCAN) } else { most };
            format!("(SELECT a.* FROM attempts a WHERE {scope} {NEWEST_FIRST} LIMIT {looked_at})")
        }
    };
    tests.extend(terms.tests(&filter));
    let condition = if tests.is_empty() { String::new() } else { format!("WHERE {}", tests.join(" AND ")) };
    let sql = format!("SELECT {COLUMNS} FROM {part} AS a {condition} {NEWEST_FIRST} LIMIT {most}");
    // Only fixed text and numbered places are in it.
    let rows = terms.bind(sqlx::query(AssertSqlSafe(sql))).fetch_all(&mut *conn).await?;
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
    let mut terms = Terms { values: Vec::new() };
    let scope = terms.scope(project, filter).join(" AND ");
    let sql = format!(
        "SELECT a.started_at, a.event, a.webhook, a.number FROM attempts a WHERE {scope} {NEWEST_FIRST} \
         LIMIT 1 OFFSET {}",
        SCAN - 1
    );
    let row = terms.bind(sqlx::query(AssertSqlSafe(sql))).fetch_optional(conn).await?;
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

//! Statements and their values: the little that all SQL here shares.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row as _};
use uuid::Uuid;

use crate::error::Fault;

/// A connection to either database.
pub(crate) type Conn = AnyConnection;
/// A statement with what is bound to it.
pub(crate) type Statement = sqlx::query::Query<'static, Any, AnyArguments>;

/// Rows in one statement at most, for lists of values.
const CHUNK: usize = 64;

/// Runs a statement; returns how many rows it changed.
pub(crate) async fn run(conn: &mut Conn, statement: Statement) -> Result<u64, Fault> {
    Ok(statement.execute(conn).await?.rows_affected())
}

/// Runs a statement without values; returns how many rows it changed.
pub(crate) async fn run_plain(conn: &mut Conn, sql: &'static str) -> Result<u64, Fault> {
    run(conn, sqlx::query(sql)).await
}

/// Runs `head`, rows of `columns` values each, and `tail` for all rows, many rows at a time. The numbers of rows in
/// one statement are powers of two, so that few statements are prepared and kept.
pub(crate) async fn run_rows<T>(
    conn: &mut Conn,
    (head, columns, tail): (&str, usize, &str),
    rows: &[T],
    bind: impl Fn(Statement, &T) -> Statement,
) -> Result<(), Fault> {
    // SQLite looks a numbered place up among all those before it; one without a number is the next.
    let numbered = conn.backend_name() != "SQLite";
    let mut rest = rows;
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(chunk_size(rest.len()));
        let mut text = String::with_capacity(head.len() + tail.len() + chunk.len() * columns * 6);
        text.push_str(head);
        for row in 0..chunk.len() {
            text.push_str(if row == 0 { "(" } else { ",(" });
            if numbered {
                push_places(&mut text, row * columns, columns);
            } else {
                (0..columns).for_each(|column| text.push_str(if column == 0 { "?" } else { ",?" }));
            }
            text.push(')');
        }
        text.push_str(tail);
        // Only fixed text and numbered places are in it.
        let statement = chunk.iter().fold(sqlx::query(AssertSqlSafe(text)), &bind);
        run(conn, statement).await?;
        rest = behind;
    }
    Ok(())
}

/// A statement over a list: `text` says, for the list of numbered places, what it is; the list's values come first.
/// Call it for each of [`chunks`].
pub(crate) fn over_list(list: &[String], text: impl FnOnce(&str) -> String) -> Statement {
    // Padded with a value that is there, so that few statements are prepared and kept.
    let size = list.len().next_power_of_two();
    let mut places = String::with_capacity(size * 5);
    push_places(&mut places, 0, size);
    let padding = list.last().into_iter().cycle().take(size - list.len());
    list.iter()
        .chain(padding)
        .fold(sqlx::query(AssertSqlSafe(text(&places))), |statement, value| statement.bind(value.as_str()))
}

/// The place behind a list of [`over_list`].
pub(crate) fn place_after(list: &[String], number: usize) -> usize {
    list.len().next_power_of_two() + number
}

/// The conditions of a query, as far as they were asked for.
#[derive(Default)]
pub(crate) struct Conditions {
    text: String,
    values: Vec<Value>,
}

enum Value {
    Int(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl Conditions {
    /// Adds a condition without a value.
    pub(crate) fn and(&mut self, condition: &str) {
        self.text.push_str(if self.text.is_empty() { " WHERE " } else { " AND " });
        self.text.push_str(condition);
    }

    /// Adds a condition; the value, if there is one, stands where `{}` does.
    #[expect(private_bounds, reason = "what can be a value is this file's affair")]
    pub(crate) fn and_if<V: Into<Value>>(&mut self, condition: &str, value: Option<V>) {
        if let Some(value) = value {
            let place = self.place(value);
            self.and(&condition.replace("{}", &place));
        }
    }

    /// Takes in a value; returns its numbered place.
    #[expect(private_bounds, reason = "what can be a value is this file's affair")]
    pub(crate) fn place<V: Into<Value>>(&mut self, value: V) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// The conditions of one part of a statement; the next part begins without any. Values stay, in their places.
    pub(crate) fn part(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The statement: what stands before the conditions, and what behind them. Both are fixed texts and places.
    pub(crate) fn statement(self, head: &str, tail: &str) -> Statement {
        let text = format!("{head}{}{tail}", self.text);
        self.values.into_iter().fold(sqlx::query(AssertSqlSafe(text)), |statement, value| match value {
            Value::Int(value) => statement.bind(value),
            Value::Text(value) => statement.bind(value),
        })
    }
}

/// A list in parts that one statement takes.
pub(crate) fn chunks(list: &[String]) -> impl Iterator<Item = &[String]> {
    list.chunks(CHUNK)
}

fn chunk_size(rows: usize) -> usize {
    if rows >= CHUNK { CHUNK } else { 1 << rows.ilog2() }
}

fn push_places(text: &mut String, before: usize, count: usize) {
    for place in before + 1..=before + count {
        if place > before + 1 {
            text.push(',');
        }
        text.push('$');
        text.push_str(&place.to_string());
    }
}

/// The values of a row, by their place.
pub(crate) trait Columns {
    fn int(&self, column: usize) -> Result<i64, Fault>;
    fn maybe_int(&self, column: usize) -> Result<Option<i64>, Fault>;
    fn text(&self, column: usize) -> Result<String, Fault>;
    fn maybe_text(&self, column: usize) -> Result<Option<String>, Fault>;
    fn blob(&self, column: usize) -> Result<Vec<u8>, Fault>;
    fn maybe_blob(&self, column: usize) -> Result<Option<Vec<u8>>, Fault>;
    fn uuid(&self, column: usize) -> Result<Uuid, Fault>;
    fn maybe_uuid(&self, column: usize) -> Result<Option<Uuid>, Fault>;

    fn count(&self, column: usize) -> Result<u64, Fault> {
        number(self.int(column)?)
    }
    fn small(&self, column: usize) -> Result<u32, Fault> {
        number(self.int(column)?)
    }
    fn flag(&self, column: usize) -> Result<bool, Fault> {
        Ok(self.int(column)? != 0)
    }
}

/// A stored number in the range that it must have.
pub(crate) fn number<T: TryFrom<i64>>(value: i64) -> Result<T, Fault> {
    value.try_into().map_err(|_| Fault::Corrupt(format!("{value} is out of range")))
}

fn parse_uuid(text: &str) -> Result<Uuid, Fault> {
    text.parse().map_err(|_| Fault::Corrupt(format!("not an id: {text:?}")))
}

impl Columns for AnyRow {
    fn int(&self, column: usize) -> Result<i64, Fault> {
        Ok(self.try_get(column)?)
    }
    fn maybe_int(&self, column: usize) -> Result<Option<i64>, Fault> {
        Ok(self.try_get(column)?)
    }
    fn text(&self, column: usize) -> Result<String, Fault> {
        Ok(self.try_get(column)?)
    }
    fn maybe_text(&self, column: usize) -> Result<Option<String>, Fault> {
        Ok(self.try_get(column)?)
    }
    fn blob(&self, column: usize) -> Result<Vec<u8>, Fault> {
        Ok(self.try_get(column)?)
    }
    fn maybe_blob(&self, column: usize) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.try_get(column)?)
    }
    fn uuid(&self, column: usize) -> Result<Uuid, Fault> {
        parse_uuid(self.try_get(column)?)
    }
    fn maybe_uuid(&self, column: usize) -> Result<Option<Uuid>, Fault> {
        let text: Option<&str> = self.try_get(column)?;
        text.map(parse_uuid).transpose()
    }
}

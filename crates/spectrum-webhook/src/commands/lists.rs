//! Lists of the API, page by page: as one JSON array, or as a table.

use std::time::Duration;

use serde_json::Value;

use super::output::{Output, Row, Tint, note};
use super::say;
use crate::api_client::Api;
use crate::cli::paging::Paging;

/// The most rows of one page.
const PAGE: u64 = 200;
/// How long a page behind the first one is tried: what is printed already should not end in the middle.
const PATIENCE: Duration = Duration::from_secs(30);

/// A column: its head, and what its cell shows of a row.
type Column = (&'static str, fn(&Value) -> String);

/// The table that a list of the API is shown as.
pub(super) struct Columns {
    /// The columns; the last one is cut where a terminal is too narrow.
    pub(super) columns: &'static [Column],
    /// What a row means.
    pub(super) tint: fn(&Value) -> Tint,
}

impl Columns {
    /// Prints rows, without the columns that would say what was asked for.
    fn print(&self, output: &Output, rows: &[Value], without: &[&str]) {
        let columns: Vec<_> = self.columns.iter().filter(|(head, _)| !without.contains(head)).collect();
        let head: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
        let row =
            |value| Row { cells: columns.iter().map(|(_, cell)| cell(value)).collect(), tint: (self.tint)(value) };
        output.table(&head, &rows.iter().map(row).collect::<Vec<_>>());
    }
}

/// Prints a list. No more than a page is in memory; each page of a longer table is a table of its own.
///
/// # Errors
/// When the API does not answer or refuses; what was printed before it then has no end.
pub(super) async fn list(
    api: &Api,
    output: &Output,
    path: &str,
    mut query: Vec<(&str, String)>,
    paging: &Paging,
    columns: &Columns,
) -> anyhow::Result<()> {
    // Who asks for one webhook or one event has narrower tables: a column that says it again tells nothing.
    let without: Vec<&str> =
        query.iter().map(|(name, _)| *name).filter(|name| ["webhook", "event"].contains(name)).collect();
    let mut left = if paging.all { u64::MAX } else { paging.limit };
    let mut printed = 0_u64;
    let mut patience = Duration::ZERO;
    query.push(("limit", String::new()));
    let limit = query.len() - 1;
    loop {
        query[limit].1 = left.min(PAGE).to_string();
        let page = api.page(path, &query, patience).await?;
        patience = PATIENCE;
        let rows = page.rows.iter().take(usize::try_from(left).unwrap_or(usize::MAX));
        left = left.saturating_sub(page.rows.len() as u64);
        if output.json {
            for row in rows {
                let before = if printed == 0 { "[" } else { "," };
                say(format_args!("{before}{row}"));
                printed += 1;
            }
        } else {
            let values = rows.map(|row| serde_json::from_str(row.get())).collect::<Result<Vec<Value>, _>>()?;
            if printed == 0 || !values.is_empty() {
                columns.print(output, &values, &without);
            }
            printed += values.len() as u64;
        }
        query.truncate(limit + 1);
        match page.next {
            Some(next) if left > 0 && !page.rows.is_empty() => query.push(("cursor", next)),
            more => {
                if output.json {
                    say(if printed == 0 { "[]" } else { "]" });
                } else if more.is_some() {
                    note("there are more: --limit N or --all shows them");
                }
                return Ok(());
            }
        }
    }
}

//! The events of the log as `docs/logs.md` has them.

use std::collections::BTreeSet;
use std::path::Path;

/// One row of the tables: events of one level and the fields that they may have.
#[derive(Clone, Debug)]
pub struct LogEvents {
    /// Their messages.
    pub messages: Vec<String>,
    /// Their level, in small letters.
    pub level: String,
    /// The names of the fields.
    pub fields: BTreeSet<String>,
}

/// All rows, in their order.
///
/// # Panics
/// When the document is not there.
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
pub fn log_events() -> Vec<LogEvents> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/logs.md");
    let text = std::fs::read_to_string(document).expect("docs/logs.md");
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<LogEvents> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [messages, level, fields, _] = cells.as_slice() else { return None };
    let is_level = matches!(*level, "error" | "warn" | "info" | "debug");
    is_level.then(|| LogEvents {
        messages: quoted(messages).collect(),
        level: (*level).to_owned(),
        fields: quoted(fields).collect(),
    })
}

fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

//! How answers are printed: tables for people, and the API's JSON for scripts.

use std::io::IsTerminal as _;

use comfy_table::{LineStyle, Table, TableStyle};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{printable, say};

/// One line above, one below, one under the head.
pub(super) const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// Characters of one value that are shown.
const LONGEST: usize = 4_000;
/// The last column is not cut below this, however narrow the terminal is.
const NARROWEST: usize = 16;
/// What comes first of an object within an answer.
const INNER_FIRST: [&str; 2] = ["code", "sentence"];
/// Lines of a table before its first row: border, head, separator.
const BEFORE_ROWS: usize = 3;

/// What a row means, and so its colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tint {
    /// Nothing in particular.
    Plain,
    /// All is well.
    Good,
    /// It is on its way.
    Waiting,
    /// It failed.
    Bad,
}

impl Tint {
    /// What a word of the API says: how an attempt ended, where a delivery stands, how a webhook does.
    pub(super) fn of(code: &str) -> Self {
        match code {
            "delivered" | "resent" | "healthy" | "passed" => Self::Good,
            "waiting" | "retrying" | "set_aside" | "suspect" => Self::Waiting,
            "failed" | "outage" | "dead_letter" | "disabled" => Self::Bad,
            _ => Self::Plain,
        }
    }

    /// Around a line, on a terminal.
    fn around(self, line: &str) -> String {
        let code = match self {
            Self::Plain => return line.to_owned(),
            Self::Good => 32,
            Self::Waiting => 33,
            Self::Bad => 31,
        };
        format!("\x1b[{code}m{line}\x1b[0m")
    }
}

/// A row of a table, or a line.
pub(super) struct Row {
    /// The cells.
    pub(super) cells: Vec<String>,
    /// What it means.
    pub(super) tint: Tint,
}

/// Where answers go.
pub(super) struct Output {
    /// For scripts.
    pub(super) json: bool,
    colours: bool,
    /// The terminal's width; `None` where nothing needs to be cut.
    width: Option<usize>,
}

impl Output {
    /// The standard output. Colours are for terminals, and for people who did not ask for none (`NO_COLOR`).
    pub(super) fn new(json: bool) -> Self {
        let out = std::io::stdout();
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let terminal = out.is_terminal();
        let dull = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        let width = rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        Self { json, colours: terminal && !dull, width: width.filter(|width| terminal && *width > 0) }
    }

    /// One answer: as it came, or as names and values, the first ones in this order.
    pub(super) fn one(&self, data: &RawValue, first: &[&str]) -> anyhow::Result<()> {
        if self.json {
            say(data);
            return Ok(());
        }
        let answer: Value = serde_json::from_str(data.get())?;
        let Some(fields) = answer.as_object() else {
            say(printable(data.get(), LONGEST));
            return Ok(());
        };
        let others = fields.keys().map(String::as_str).filter(|name| !first.contains(name));
        let mut rows = Vec::new();
        for name in first.iter().copied().filter(|name| fields.contains_key(*name)).chain(others) {
            match &fields[name] {
                Value::Object(inner) => {
                    let (first, others): (Vec<_>, Vec<_>) =
                        inner.keys().partition(|key| INNER_FIRST.contains(&key.as_str()));
                    let keys = first.into_iter().chain(others);
                    rows.extend(keys.map(|key| [format!("{name}.{key}"), text(&answer[name], key)]));
                }
                _ => rows.push([name.to_owned(), text(&answer, name)]),
            }
        }
        let width = rows.iter().map(|[name, _]| name.chars().count()).max().unwrap_or_default();
        for [name, value] in rows {
            say(format_args!("{name:width$}  {value}"));
        }
        Ok(())
    }

    /// A table. On a terminal its last column is cut, so that each row stays one line.
    pub(super) fn table(&self, head: &[&str], rows: &[Row]) {
        let mut widths: Vec<usize> = head.iter().map(|name| name.chars().count()).collect();
        for (width, column) in widths.iter_mut().zip(0..) {
            let cells = rows.iter().filter_map(|row| row.cells.get(column));
            *width = cells.map(|cell| cell.chars().count()).chain([*width]).max().unwrap_or_default();
        }
        widths.pop();
        // Each cell has a space on both sides, and another one between columns.
        let used: usize = widths.iter().map(|width| width + 3).sum();
        let last = self.width.map_or(LONGEST, |width| width.saturating_sub(used + 2).max(NARROWEST));
        let mut table = Table::new();
        table.load_style(STYLE).set_header(head);
        for row in rows {
            let mut cells = row.cells.clone();
            if let Some(cell) = cells.last_mut() {
                *cell = cut(cell, last);
            }
            table.add_row(cells);
        }
        for (number, line) in table.lines().enumerate() {
            let row = number.checked_sub(BEFORE_ROWS).and_then(|row| rows.get(row));
            self.line(line.trim_end(), row.map_or(Tint::Plain, |row| row.tint));
        }
    }

    /// One line, cut to the terminal's width.
    pub(super) fn cut_line(&self, line: &str, tint: Tint) {
        self.line(&cut(line, self.width.unwrap_or(LONGEST)), tint);
    }

    /// One line, however long.
    pub(super) fn line(&self, line: &str, tint: Tint) {
        if self.colours { say(tint.around(line)) } else { say(line) }
    }
}

/// No more than `most` characters, the last of them a sign that there is more.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { printable(text, most.saturating_sub(1)) }
}

/// A field for people: texts without control characters, `-` for nothing.
pub(super) fn text(value: &Value, name: &str) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => printable(text, LONGEST),
        other => printable(&other.to_string(), LONGEST),
    };
    match &value[name] {
        Value::Null => "-".to_owned(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => plain(other),
    }
}

/// Something that belongs neither into the answer nor into an error.
///
/// Nobody has to read it: a closed stderr is no reason to end.
pub(super) fn note(text: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_from_others_is_shown_without_control_characters() {
        let value = json!({ "a": "x\u{1b}[2Jy", "b": null, "c": ["u", "v"], "d": 3, "e": [] });
        let shown = |name| text(&value, name);
        assert_eq!([shown("a"), shown("b"), shown("c")], ["x\u{fffd}[2Jy", "-", "u, v"]);
        assert_eq!([shown("d"), shown("e"), shown("none")], ["3", "-", "-"]);
    }

    #[test]
    fn what_is_cut_says_so_and_has_the_width() {
        assert_eq!((cut("abc", 3), cut("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
    }
}

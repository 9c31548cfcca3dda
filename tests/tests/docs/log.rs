//! The events of the log: as the sources have them, against `docs/logs.md`.

use std::collections::{BTreeMap, BTreeSet};

use spectrum_webhook_testkit::documented::log_events;

use super::{files, read, root};

/// What a macro call says: level, message, names of the fields.
#[derive(Debug)]
struct Said {
    level: String,
    message: String,
    fields: BTreeSet<String>,
}

/// The crates whose lines an operator sees.
const CRATES: [&str; 7] = ["core", "sql", "redis", "rabbitmq", "ingest", "dispatcher", "dashboard"];

#[test]
fn the_log_has_the_events_and_the_fields_that_its_document_has() {
    let folders = CRATES.iter().chain(&["spectrum-webhook"]).map(|name| root().join("crates").join(name).join("src"));
    let said: Vec<Said> =
        folders.flat_map(|folder| files(&folder, "rs")).flat_map(|file| events(&read(&file))).collect();
    assert!(said.len() > 80, "{} calls were found", said.len());
    let rows = log_events();
    let mut wrong = Vec::new();
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for event in &said {
        let row = rows.iter().find(|row| row.messages.contains(&event.message) && row.level == event.level);
        match row {
            Some(row) if event.fields.is_subset(&row.fields) => {
                used.entry(&row.messages[0]).or_default().extend(event.fields.iter().map(String::as_str));
            }
            None if event.level == "debug" || event.level == "trace" => {}
            _ => wrong.push(format!("the document has no row for {event:?}")),
        }
    }
    for row in &rows {
        for message in &row.messages {
            if !said.iter().any(|event| event.message == *message) {
                wrong.push(format!("nothing says `{message}`"));
            }
        }
        let fields: BTreeSet<&str> = row.fields.iter().map(String::as_str).collect();
        if used.get(row.messages[0].as_str()).is_some_and(|used| *used != fields) {
            wrong.push(format!("`{}` has other fields", row.messages[0]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every call of a `tracing` macro in a source.
fn events(source: &str) -> Vec<Said> {
    let mut said = Vec::new();
    for level in ["error", "warn", "info", "debug", "trace"] {
        for call in source.split(&format!("tracing::{level}!(")).skip(1) {
            let arguments = arguments(call);
            let message = arguments.iter().find_map(|argument| argument.strip_prefix('"')?.strip_suffix('"'));
            let fields = arguments.iter().filter(|argument| !argument.starts_with('"')).map(|argument| name(argument));
            let message = message.unwrap_or_default().to_owned();
            said.push(Said { level: level.to_owned(), message, fields: fields.collect() });
        }
    }
    said
}

/// `name = value`, `%name`, `name`.
fn name(argument: &str) -> String {
    let name = argument.split('=').next().unwrap_or_default();
    name.trim().trim_start_matches(['%', '?']).to_owned()
}

/// The arguments of a call, from behind its opening parenthesis; of texts in several lines one line is made.
fn arguments(call: &str) -> Vec<String> {
    let (mut arguments, mut current) = (Vec::new(), String::new());
    let (mut depth, mut in_text) = (0, false);
    let mut characters = call.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_text => while characters.next_if(|next| next.is_whitespace()).is_some() {},
            '"' => {
                in_text = !in_text;
                current.push(character);
            }
            _ if in_text => current.push(character),
            ')' if depth == 0 => break,
            ',' if depth == 0 => arguments.push(std::mem::take(&mut current)),
            _ => {
                match character {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth -= 1,
                    _ => {}
                }
                current.push(character);
            }
        }
    }
    arguments.push(current);
    arguments.iter().map(|argument| argument.trim().to_owned()).filter(|argument| !argument.is_empty()).collect()
}

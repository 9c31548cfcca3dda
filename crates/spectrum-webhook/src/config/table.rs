//! The table of settings, read from the defaults file: names, defaults, what they mean.

use std::sync::LazyLock;

/// The documented defaults, which are the defaults.
const DEFAULTS: &str = include_str!("defaults.env");

/// Their values are never printed. URLs hold passwords.
const SECRETS: [&str; 8] = [
    "SPECTRUM_DATABASE_URL",
    "SPECTRUM_AMQP_URL",
    "SPECTRUM_REDIS_URL",
    "SPECTRUM_MASTER_KEY",
    "SPECTRUM_MASTER_KEY_OTHERS",
    "SPECTRUM_OPERATOR_TOKEN",
    "SPECTRUM_OTLP_ENDPOINT",
    "SPECTRUM_OTLP_HEADERS",
];

/// One setting.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The environment variable.
    pub(crate) name: &'static str,
    /// The flag, without its dashes.
    pub(crate) flag: String,
    /// The default, in the form in which it would be set.
    pub(crate) default: Option<&'static str>,
    /// What it means.
    pub(crate) about: String,
    /// Whether its value is never printed.
    pub(crate) secret: bool,
}

static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries = Vec::new();
    let mut about = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            about.push(comment.trim());
        } else if let Some((name, default)) = line.split_once('=') {
            entries.push(Entry {
                name,
                flag: name.trim_start_matches("SPECTRUM_").to_lowercase().replace('_', "-"),
                default: Some(default).filter(|default| !default.is_empty()),
                about: about.join(" "),
                secret: SECRETS.contains(&name),
            });
            about.clear();
        } else {
            about.clear();
        }
    }
    entries
});

/// All settings, in the order of the file.
pub(crate) fn entries() -> &'static [Entry] {
    &TABLE
}

/// The entry of a name.
pub(crate) fn entry(name: &str) -> Option<&'static Entry> {
    entries().iter().find(|entry| entry.name == name)
}

/// The table as the documentation has it.
pub(crate) fn markdown() -> String {
    let mut table = String::from("| setting | default | what it is |\n| --- | --- | --- |\n");
    for entry in entries() {
        let default = entry.default.map_or_else(String::new, |default| format!("`{default}`"));
        table.push_str(&format!("| `{}` | {default} | {} |\n", entry.name, entry.about));
    }
    table
}

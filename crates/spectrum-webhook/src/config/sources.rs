//! Where a value comes from: its flag, else the environment, else the default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::Mistakes;
use super::table::{self, Entry};

/// The settings given as flags. It prints their names alone: values may be secrets.
#[derive(Clone, Default)]
pub(crate) struct Flags(BTreeMap<&'static str, String>);

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        table::entries().iter().fold(command, |command, entry| {
            let default = entry.default.map_or_else(String::new, |default| format!(" [default: {default}]"));
            command.arg(
                Arg::new(entry.name)
                    .long(entry.flag.as_str())
                    .value_name("VALUE")
                    .help(format!("{} [env: {}]{default}", entry.about, entry.name))
                    .help_heading("Settings")
                    .hide_short_help(true),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |entry: &'static Entry| Some((entry.name, matches.get_one::<String>(entry.name)?.clone()));
        Ok(Self(table::entries().iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Who set a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A flag.
    Flag,
    /// The environment.
    Environment,
    /// Nobody.
    Default,
}

impl Origin {
    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Default => "default",
        }
    }
}

/// Flags and environment. It prints their names alone, like [`Flags`].
#[derive(Clone)]
pub(crate) struct Sources {
    flags: Flags,
    environment: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.flags.0.keys()).entries(self.environment.keys()).finish_non_exhaustive()
    }
}

/// Variables of the commands that are clients of the API, and of `listen`, `verify` and `move`.
pub(crate) const OF_CLIENTS: [&str; 6] = [
    "SPECTRUM_URL",
    "SPECTRUM_PROJECT_ID",
    "SPECTRUM_PROJECT_SECRET",
    "SPECTRUM_PROFILE",
    "SPECTRUM_SIGNING_SECRET",
    "SPECTRUM_FROM_MASTER_KEY",
];

/// Whether it is one of the variables by which Kubernetes describes a service named `spectrum…`.
fn of_kubernetes(name: &str, value: &str) -> bool {
    ["_SERVICE_HOST", "_SERVICE_PORT", "_TCP"].iter().any(|part| name.contains(part)) || value.starts_with("tcp://")
}

impl Sources {
    /// The flags given, and this process's environment.
    pub(crate) fn of_process(flags: Flags) -> Self {
        let mut environment = BTreeMap::new();
        let mut unreadable = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with("SPECTRUM_")) else { continue };
            match value.into_string() {
                Ok(value) => drop(environment.insert(name.to_owned(), value)),
                Err(_) => unreadable.push(name.to_owned()),
            }
        }
        Self { flags, environment, unreadable }
    }

    /// A file of settings alone, `NAME=value` a line, as a service manager or a shell reads it.
    ///
    /// # Errors
    /// When it cannot be read, or has another line.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Mistakes> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Mistakes(vec![format!("{} cannot be read: {error}", path.display())]))?;
        let mut environment = BTreeMap::new();
        let mut mistakes = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches("export ");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                Some((name, value)) if name.starts_with("SPECTRUM_") => {
                    let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
                    environment.insert(name.to_owned(), quoted.unwrap_or(value).to_owned());
                }
                Some(_) => {}
                // The line may be a secret.
                None => mistakes.push(format!("{}, line {}: expected `NAME=value`", path.display(), number + 1)),
            }
        }
        if mistakes.is_empty() {
            Ok(Self { flags: Flags::default(), environment, unreadable: Vec::new() })
        } else {
            Err(Mistakes(mistakes))
        }
    }

    /// The environment given, for tests.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(environment: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { flags: Flags::default(), environment: environment.iter().map(owned).collect(), unreadable: Vec::new() }
    }

    /// The value of a setting as text, and who set it. An empty value is none.
    pub(crate) fn value(&self, entry: &Entry) -> (Option<&str>, Origin) {
        let set = |value: &&String| !value.is_empty();
        if let Some(value) = self.flags.0.get(entry.name).filter(set) {
            (Some(value), Origin::Flag)
        } else if let Some(value) = self.environment.get(entry.name).filter(set) {
            (Some(value), Origin::Environment)
        } else {
            (entry.default, Origin::Default)
        }
    }

    /// Variables that look like settings and are none, most likely misspelt.
    pub(crate) fn unknown(&self) -> Vec<String> {
        let ours = |name: &str| table::entry(name).is_some() || OF_CLIENTS.contains(&name);
        let misspelt = |(name, value): &(&String, &String)| !ours(name) && !of_kubernetes(name, value);
        self.environment.iter().filter(misspelt).map(|(name, _)| name.clone()).collect()
    }
}

/// Reads settings one by one and remembers every mistake.
pub(crate) struct Reader<'a> {
    sources: &'a Sources,
    mistakes: Vec<String>,
    unsound: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// A reader of these sources.
    pub(crate) fn new(sources: &'a Sources) -> Self {
        let unreadable = sources.unreadable.iter().map(|name| format!("{name}: is not UTF-8"));
        let unknown = sources.unknown().into_iter().map(|name| format!("{name}: there is no such setting"));
        Self { sources, mistakes: unreadable.chain(unknown).collect(), unsound: Vec::new() }
    }

    /// The text of a setting.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        table::entry(name).and_then(|entry| self.sources.value(entry).0)
    }

    /// A setting that has a default. A mistake is remembered, and the default stands in for it, so that the rest can
    /// be read.
    ///
    /// # Panics
    /// When the defaults file is wrong, which a test rules out.
    pub(crate) fn read<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        #[expect(clippy::expect_used, reason = "a test reads every default")]
        self.optional(name, &parse).unwrap_or_else(|| {
            let default = table::entry(name).and_then(|entry| entry.default).expect("a default");
            parse(default).expect("a sound default")
        })
    }

    /// A setting that has no default.
    pub(crate) fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.value(name)?) {
            Ok(value) => Some(value),
            Err(why) => {
                let secret = table::entry(name).is_none_or(|entry| entry.secret);
                let value = self.value(name).filter(|_| !secret);
                let shown = value.map_or_else(String::new, |value| format!("`{}`: ", value.escape_debug()));
                self.mistakes.push(format!("{name}: {shown}{why}"));
                self.unsound.push(name);
                None
            }
        }
    }

    /// Refuses a relation between settings that are each sound for themselves.
    pub(crate) fn refuse_if(&mut self, broken: bool, names: &[&str], why: &str) {
        if broken && !names.iter().any(|name| self.unsound.contains(name)) {
            self.mistakes.push(format!("{}: {why}", names.join(", ")));
        }
    }

    /// Refuses a duration above another one, in the words in which both were set.
    pub(crate) fn not_above(&mut self, low: &str, value: Duration, high: &str, bound: Duration) {
        let text = |name: &str| self.value(name).unwrap_or_default().escape_debug().to_string();
        let why = format!("{} is above {}", text(low), text(high));
        self.refuse_if(value > bound, &[low, high], &why);
    }

    /// All mistakes, if there are any.
    ///
    /// # Errors
    /// All of them.
    pub(crate) fn finish(self) -> Result<(), Mistakes> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(Mistakes(self.mistakes)) }
    }
}

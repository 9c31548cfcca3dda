//! The environment of a server under test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::binary;

/// Settings by their environment variables. Nothing else of this process's environment reaches the program, except
/// what the operating system needs.
#[derive(Clone, Debug)]
pub struct Settings {
    variables: BTreeMap<String, String>,
    program: Option<PathBuf>,
}

impl Settings {
    /// The defaults of the program, on free ports of the loopback.
    pub fn default_on_free_ports() -> Self {
        Self { variables: BTreeMap::new(), program: None }
            .set("SPECTRUM_API_LISTEN", "127.0.0.1:0")
            .set("SPECTRUM_OPS_LISTEN", "127.0.0.1:0")
            .set("SPECTRUM_LOG_FORMAT", "json")
    }

    /// Deliveries to the loopback over plain HTTP, and the schedules of failure in milliseconds instead of minutes.
    pub fn quick() -> Self {
        Self::default_on_free_ports()
            .set("SPECTRUM_ALLOW_HTTP", "true")
            .set("SPECTRUM_ALLOW_NETWORKS", "127.0.0.0/8,::1/128")
            .set("SPECTRUM_RETRY_INITIAL", "40ms")
            .set("SPECTRUM_RETRY_FACTOR", "2")
            .set("SPECTRUM_RETRY_CAP", "400ms")
            .set("SPECTRUM_OUTAGE_PROBE_INITIAL", "200ms")
            .set("SPECTRUM_OUTAGE_PROBE_CAP", "1s")
    }

    /// The same for the processes of a cluster over these services: a deployment of its own, with few partitions, so
    /// that each dispatcher has some and a move is soon seen, and a lease of a fifth of the default.
    pub fn quick_cluster(amqp: &str, redis: &str, database: &str) -> Self {
        Self::quick()
            .set("SPECTRUM_AMQP_URL", amqp)
            .set("SPECTRUM_REDIS_URL", redis)
            .set("SPECTRUM_DATABASE_URL", database)
            .set("SPECTRUM_MASTER_KEY", "5c".repeat(32))
            .set("SPECTRUM_NAMESPACE", format!("test-{}", rand::random::<u64>()))
            .set("SPECTRUM_PARTITIONS", "12")
            .set("SPECTRUM_LEASE", "3s")
            .set("SPECTRUM_HOLD_AFTER", "500ms")
            .set("SPECTRUM_LOG", "info")
    }

    /// The same, with one setting more or another value of it.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// The value of a setting that was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All of them as a file, `NAME=value` a line.
    pub fn file(&self) -> String {
        self.variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    /// The same without a setting.
    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// The same for another program, which takes the commands of the real one.
    #[must_use]
    pub fn of_program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    pub(super) fn program(&self) -> &Path {
        self.program.as_deref().unwrap_or_else(|| binary())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.variables.iter()
    }
}

//! Where it was measured: figures of two machines tell nothing beside one another.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, and what was built.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) compiler: String,
    /// Of the working copy that this runs in; `-dirty` when it was changed.
    pub(crate) commit: String,
    pub(crate) at: String,
}

impl Machine {
    pub(super) fn this() -> Self {
        let line = |path: &str, start: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
            line.trim_matches(|sign: char| sign == ':' || sign.is_whitespace()).to_owned()
        };
        let memory = line("/proc/meminfo", "MemTotal:");
        Self {
            processor: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024,
            kernel: line("/proc/sys/kernel/osrelease", ""),
            compiler: said(&["rustc", "--version"]),
            commit: said(&["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]),
            at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

fn said(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

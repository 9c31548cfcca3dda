//! One server process, in a process group of its own.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::janitor;

/// How long a server may take to end when it is asked to.
const END: Duration = Duration::from_secs(60);

/// A folder of a service; the janitor removes it at the end of the test process.
pub(super) fn folder(name: &str) -> PathBuf {
    let path = tempfile::Builder::new().prefix(&format!("spectrum-{name}-")).tempdir().expect("a folder").keep();
    janitor::remove(&path);
    path
}

/// A running server. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it prints goes to a file.
    pub(super) fn start(name: &'static str, log: &Path, command: &mut Command) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let errors = file.try_clone().expect("a log");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{name} cannot be started ({error}): `tests/setup.sh` installs what is missing")
        });
        janitor::watch(child.id());
        Self { child, name, log: log.to_owned() }
    }

    /// Whether it has not ended.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Fails with its log if it has ended.
    pub(super) fn must_run(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            let mut said = String::new();
            let _ = File::open(&self.log).and_then(|mut log| log.read_to_string(&mut said));
            let tail: Vec<&str> = said.lines().rev().take(30).collect();
            panic!("{} ended with {status}:\n{}", self.name, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        // The id is its own until it is reaped, which is done here alone.
        kill_process(self.pid(), signal).expect("a process that runs");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Asks it to end and waits until it has.
    pub(super) fn stop(mut self, signal: Signal) {
        self.signal(signal);
        let deadline = Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) {
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `kill -9` of it and of its children, those too that have a process group of their own.
    pub(super) fn kill(self) {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        self.signal(Signal::KILL);
        for child in children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)) {
            // It may have ended with its parent.
            let _ = kill_process(child, Signal::KILL);
        }
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its children too; a group that has ended needs none.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        janitor::forget(self.child.id());
    }
}

/// Runs a tool to its end; what it printed.
pub(super) fn tool(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{} cannot be run ({error}): `tests/setup.sh` installs what is missing", command.get_program().display())
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))) }
}

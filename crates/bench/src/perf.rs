//! Profiles, recorded with `perf` beside a go: where the processor time of each process went.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::{Child, Command};

use crate::progress::step;
use crate::system::System;
use crate::system::processes::interrupt;

/// Samples a second: odd, so that nothing that happens regularly is always or never met.
const FREQUENCY: &str = "499";

/// Starts to record each of the contender's own processes into `ROLE.data`.
pub(crate) fn record(system: &System, folder: &Path) -> Result<Vec<Child>> {
    std::fs::create_dir_all(folder)?;
    let mut recording = Vec::new();
    for (role, ids) in system.own() {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        let child = Command::new("perf")
            .args(["record", "--quiet", "-g", "-F", FREQUENCY, "-p", &ids.join(","), "-o"])
            .arg(folder.join(format!("{role}.data")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        recording.push(child.context("`perf` cannot be run: Debian has it in the package linux-perf")?);
    }
    Ok(recording)
}

/// Ends the recording.
pub(crate) async fn finish(recording: Vec<Child>) -> Result<()> {
    for mut child in recording {
        let Some(id) = child.id() else { bail!("`perf` has ended too early") };
        interrupt(id).context("a signal")?;
        let ended = child.wait().await?;
        // It ends by the signal that it was sent, or with what it knows of it.
        ensure!(ended.code().is_none_or(|code| code == 0 || code > 128), "`perf` ended with {ended}");
    }
    step("recorded");
    Ok(())
}

//! The limit's process: this executable, by its hidden command.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::System;
use super::services::Services;
use crate::load::Project;

const START: Duration = Duration::from_secs(60);

impl System {
    /// Starts it and waits until it says that it is ready.
    pub(super) async fn run_limit(&mut self, services: Option<&Services>) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["limit-serve", "--listen", &self.target.api.to_string()])
            .args(["--receiver", &self.receiver.address().to_string()])
            .args(["--projects", &self.scene.projects.to_string(), "--urls", &self.scene.urls.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        match services {
            Some(services) => command.envs(&services.settings),
            None => command.arg("--folder").arg(self.folder.path()),
        };
        let mut child = command.spawn().context("the limit")?;
        let output = child.stdout.take().context("its output")?;
        self.adopt("limit", child)?;
        let line = timeout(START, BufReader::new(output).lines().next_line()).await.context("the limit's start")??;
        line.context("the limit ended")?;
        let project = |number: usize| Project { id: number.to_string(), authorization: "none".to_owned() };
        self.target.projects = (0..self.scene.projects).map(project).collect::<Vec<_>>().into();
        Ok(())
    }
}

//! The system under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// One registered project: its id and secret.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) secret: String,
}

pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    binary: PathBuf,
    api: SocketAddr,
}

const START: Duration = Duration::from_secs(30);

impl Server {
    pub(crate) async fn start(binary: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (api, ops) = (free_address()?, free_address()?);
        let log = std::fs::File::create(folder.path().join("server.log"))?;
        let child = Command::new(binary)
            .arg("serve")
            .env("SPECTRUM_DATA_DIR", folder.path())
            .env("SPECTRUM_API_LISTEN", api.to_string())
            .env("SPECTRUM_OPS_LISTEN", ops.to_string())
            .env("SPECTRUM_ALLOW_HTTP", "true")
            .env("SPECTRUM_ALLOW_NETWORKS", "127.0.0.0/8")
            .stdin(Stdio::null())
            // As shipped: one line for each attempt.
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}: build it with `cargo build --release`", binary.display()))?;
        let server = Self { child, folder, binary: binary.to_owned(), api };
        let ready = format!("http://{ops}/readyz");
        let until = Instant::now() + START;
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
            if Instant::now() > until {
                let log = std::fs::read_to_string(server.folder.path().join("server.log")).unwrap_or_default();
                return Err(anyhow!("not ready within {START:?}:\n{log}"));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// Makes projects, each with one webhook at `receiver`, whose path is the project's number.
    pub(crate) async fn register(&self, count: usize, receiver: SocketAddr) -> Result<Vec<Project>> {
        let client = reqwest::Client::new();
        let mut projects = Vec::with_capacity(count);
        for number in 0..count {
            let output = Command::new(&self.binary)
                .args(["project", "create", "--name", "bench"])
                .env("SPECTRUM_DATA_DIR", self.folder.path())
                .output()
                .await?;
            let made: serde_json::Value = serde_json::from_slice(&output.stdout)
                .with_context(|| format!("project create: {}", String::from_utf8_lossy(&output.stderr)))?;
            let text = |key: &str| made[key].as_str().map(str::to_owned).context("project create's answer");
            let project = Project { id: text("projectId")?, secret: text("projectSecret")? };
            let url = format!("http://{}/projects/{}/webhooks/", self.api, project.id);
            let body = format!(r#"{{"webhookUrl":"http://{receiver}/{number}"}}"#);
            client
                .post(url)
                .basic_auth(&project.id, Some(&project.secret))
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await?
                .error_for_status()?;
            projects.push(project);
        }
        Ok(projects)
    }

    /// Processor time used so far, where the system tells.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()?)).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        // Linux counts these in hundredths of a second.
        Some(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in KiB, where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("stopping the server")
    }
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

//! The system under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// One registered project: its id and secret.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) secret: String,
}

pub(crate) struct Server {
    /// `serve`, or an `ingest` and its dispatchers.
    children: Vec<Child>,
    folder: tempfile::TempDir,
    binary: PathBuf,
    api: SocketAddr,
}

const START: Duration = Duration::from_secs(30);
/// Projects that are made at the same time.
const AT_ONCE: usize = 4;
/// How long dispatchers take to share the partitions out.
const SHARE: Duration = Duration::from_secs(8);

impl Server {
    /// Starts `serve`; or, with dispatchers, an `ingest` and so many of them over the services that the environment
    /// names.
    pub(crate) async fn start(binary: &Path, dispatchers: Option<usize>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let api = free_address()?;
        let mut server = Self { children: Vec::new(), folder, binary: binary.to_owned(), api };
        server.run(if dispatchers.is_some() { "ingest" } else { "serve" }).await?;
        for _ in 0..dispatchers.unwrap_or(0) {
            server.run("dispatcher").await?;
        }
        // As many as there are share the work: what the first one has beyond its share it gives back by and by.
        if dispatchers.is_some_and(|dispatchers| dispatchers > 1) {
            sleep(SHARE).await;
        }
        Ok(server)
    }

    async fn run(&mut self, role: &str) -> Result<()> {
        let ops = free_address()?;
        let path = self.folder.path().join(format!("{}-{role}.log", self.children.len()));
        let log = std::fs::File::create(&path)?;
        let child = Command::new(&self.binary)
            .arg(role)
            .env("SPECTRUM_DATA_DIR", self.folder.path())
            .env("SPECTRUM_API_LISTEN", self.api.to_string())
            .env("SPECTRUM_OPS_LISTEN", ops.to_string())
            .env("SPECTRUM_ALLOW_HTTP", "true")
            .env("SPECTRUM_ALLOW_NETWORKS", "127.0.0.0/8")
            .stdin(Stdio::null())
            // As shipped: one line for each attempt.
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("cannot start {}: build it with `cargo build --release`", self.binary.display())
            })?;
        self.children.push(child);
        let ready = format!("http://{ops}/readyz");
        let until = Instant::now() + START;
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
            if Instant::now() > until {
                let log = std::fs::read_to_string(&path).unwrap_or_default();
                return Err(anyhow!("not ready within {START:?}:\n{log}"));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// Makes projects, each with one webhook at `receiver`, whose path is the project's number.
    pub(crate) async fn register(&self, count: usize, receiver: SocketAddr) -> Result<Vec<Project>> {
        let client = reqwest::Client::new();
        let mut making = JoinSet::new();
        let mut projects = vec![None; count];
        for number in 0..count {
            if making.len() == AT_ONCE {
                place(&mut projects, making.join_next().await)?;
            }
            let mut create = Command::new(&self.binary);
            create.args(["project", "create", "--name", "bench"]).env("SPECTRUM_DATA_DIR", self.folder.path());
            making.spawn(project(create, client.clone(), self.api, format!("http://{receiver}/{number}"), number));
        }
        while !making.is_empty() {
            place(&mut projects, making.join_next().await)?;
        }
        projects.into_iter().collect::<Option<_>>().context("all projects")
    }

    /// Processor time used so far by all processes, where the system tells.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.children.iter().map(|child| cpu(child.id()?)).sum()
    }

    /// Resident memory of all processes in KiB, where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.children.iter().map(|child| memory(child.id()?)).sum()
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        for child in &mut self.children {
            child.kill().await.context("stopping the server")?;
        }
        Ok(())
    }
}

type Made = Result<(usize, Project)>;

fn place(projects: &mut [Option<Project>], made: Option<Result<Made, tokio::task::JoinError>>) -> Result<()> {
    if let Some(made) = made {
        let (number, project) = made??;
        projects[number] = Some(project);
    }
    Ok(())
}

/// Makes one project with one webhook.
async fn project(mut create: Command, client: reqwest::Client, api: SocketAddr, url: String, number: usize) -> Made {
    let output = create.output().await?;
    let made: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("project create: {}", String::from_utf8_lossy(&output.stderr)))?;
    let text = |key: &str| made[key].as_str().map(str::to_owned).context("project create's answer");
    let project = Project { id: text("projectId")?, secret: text("projectSecret")? };
    client
        .post(format!("http://{api}/projects/{}/webhooks/", project.id))
        .basic_auth(&project.id, Some(&project.secret))
        .header("content-type", "application/json")
        .body(format!(r#"{{"webhookUrl":"{url}"}}"#))
        .send()
        .await?
        .error_for_status()?;
    Ok((number, project))
}

fn cpu(id: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // Linux counts these in hundredths of a second.
    Some(Duration::from_millis(ticks * 10))
}

fn memory(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

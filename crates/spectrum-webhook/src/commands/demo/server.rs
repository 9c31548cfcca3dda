//! The processes of the demo: children of this very executable. Embedded, one that is killed and started again; as a
//! cluster, two that take events and three that deliver, of which one is killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use serde::Deserialize;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What differs from the defaults: holes for this machine, and waits short enough to watch.
pub(super) const SETTINGS: [(&str, &str); 9] = [
    ("SPECTRUM_ALLOW_HTTP", "true"),
    ("SPECTRUM_ALLOW_NETWORKS", "127.0.0.0/8"),
    ("SPECTRUM_ATTEMPT_TIMEOUT", "1s"),
    ("SPECTRUM_RETRY_INITIAL", "5ms"),
    ("SPECTRUM_RETRY_FACTOR", "2"),
    ("SPECTRUM_RETRY_CAP", "100ms"),
    ("SPECTRUM_OUTAGE_PROBE_INITIAL", "250ms"),
    ("SPECTRUM_OUTAGE_PROBE_CAP", "1s"),
    ("SPECTRUM_GRACE", "5s"),
];

/// What differs from them in a cluster: a killed dispatcher is missed soon enough to watch.
pub(super) const OF_CLUSTER: [(&str, &str); 1] = [("SPECTRUM_LEASE", "4s")];

/// The settings that a cluster has from outside: where its services are.
const SERVICES: [&str; 6] = [
    "SPECTRUM_DATABASE_URL",
    "SPECTRUM_AMQP_URL",
    "SPECTRUM_REDIS_URL",
    "SPECTRUM_MASTER_KEY",
    "SPECTRUM_MASTER_KEY_OTHERS",
    "SPECTRUM_SERVICES_CA_FILE",
];

/// Processes of a cluster, by what they do.
const INGESTS: usize = 2;
const DISPATCHERS: usize = 3;

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the demo's processes live, and in what form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage<'a> {
    /// Their data and their logs.
    pub(super) folder: &'a Path,
    /// Over the services of a cluster, which the environment names.
    pub(super) cluster: bool,
}

/// The running processes. They are killed when this is dropped.
pub(super) struct Servers {
    /// Those that take events, and deliver them too when there is no cluster.
    takers: Vec<Server>,
    dispatchers: Vec<Server>,
}

impl Servers {
    /// Starts them on free ports.
    pub(super) async fn start(stage: Stage<'_>) -> anyhow::Result<Self> {
        if !stage.cluster {
            return Ok(Self { takers: vec![Server::start(stage, "serve", 1).await?], dispatchers: Vec::new() });
        }
        let takers = try_join_all((1..=INGESTS).map(|number| Server::start(stage, "ingest", number)));
        let dispatchers = try_join_all((1..=DISPATCHERS).map(|number| Server::start(stage, "dispatcher", number)));
        let (takers, dispatchers) = tokio::try_join!(takers, dispatchers)?;
        Ok(Self { takers, dispatchers })
    }

    /// Where the API of each listens.
    pub(super) fn apis(&self) -> Vec<SocketAddr> {
        self.takers.iter().map(|server| server.api).collect()
    }

    /// `kill -9` of a process that delivers. One that is alone is started again, on the same folder and ports; in a
    /// cluster the others take over. Returns what was done, in words.
    pub(super) async fn kill_one(mut self) -> anyhow::Result<(Self, &'static str)> {
        if let Some(mut killed) = self.dispatchers.pop() {
            killed.child.kill().await.context("a dispatcher cannot be killed")?;
            return Ok((self, "kill -9 of one of three dispatchers: the others take over its partitions"));
        }
        let mut takers = Vec::new();
        for server in self.takers {
            takers.push(server.kill_and_start_again().await?);
        }
        Ok((Self { takers, dispatchers: Vec::new() }, "kill -9; the server is up again"))
    }

    /// Asks them to end, and waits until they have.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        for server in self.takers.into_iter().chain(self.dispatchers) {
            server.stop().await?;
        }
        Ok(())
    }
}

/// One running process. It is killed when this is dropped.
struct Server {
    child: Child,
    log: JoinHandle<()>,
    role: &'static str,
    number: usize,
    folder: PathBuf,
    cluster: bool,
    /// Where its API listens; a dispatcher has none.
    api: SocketAddr,
    ops: SocketAddr,
}

/// The line of its log that says where it listens.
#[derive(Deserialize)]
struct Listening {
    message: String,
    api: Option<SocketAddr>,
    ops: SocketAddr,
}

/// Any port of this machine.
fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Server {
    async fn start(stage: Stage<'_>, role: &'static str, number: usize) -> anyhow::Result<Self> {
        Self::start_on(stage, role, number, (free(), free())).await
    }

    async fn start_on(
        stage: Stage<'_>,
        role: &'static str,
        number: usize,
        (api, ops): (SocketAddr, SocketAddr),
    ) -> anyhow::Result<Self> {
        let mut child = command(stage)?
            .arg(role)
            .env("SPECTRUM_API_LISTEN", api.to_string())
            .env("SPECTRUM_OPS_LISTEN", ops.to_string())
            .env("SPECTRUM_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // An interrupt is for the demo, which then ends the server.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("`{role}` cannot be started"))?;
        let stderr = child.stderr.take().context("a server's log")?;
        let (tell, told) = oneshot::channel();
        let log = tokio::spawn(keep_log(stderr, stage.folder.join(format!("{role}-{number}.log")), tell));
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(Listening { api, ops, .. })) => {
                let (folder, api) = (stage.folder.to_owned(), api.unwrap_or_else(free));
                Ok(Self { child, log, role, number, folder, cluster: stage.cluster, api, ops })
            }
            Ok(Err(_)) => bail!("`{role}` ended at its start"),
            Err(_) => bail!("`{role}` did not start in time"),
        }
    }

    /// `kill -9`, and a new start on the same folder and ports.
    async fn kill_and_start_again(mut self) -> anyhow::Result<Self> {
        self.child.kill().await.context("the server cannot be killed")?;
        self.log.await?;
        let stage = Stage { folder: &self.folder, cluster: self.cluster };
        Self::start_on(stage, self.role, self.number, (self.api, self.ops)).await
    }

    /// Asks it to end, and waits until it has.
    async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        rustix::process::kill_process(id.context("a server ended early")?, rustix::process::Signal::TERM)?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("a server did not end")??;
        self.log.await?;
        if status.success() { Ok(()) } else { bail!("`{}` ended with {status}", self.role) }
    }
}

/// This executable, with the settings of the demo and, for a cluster, where its services are; with no others.
pub(super) fn command(stage: Stage<'_>) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("SPECTRUM_") && !(stage.cluster && SERVICES.contains(&&*name)) {
            command.env_remove(&*name);
        }
    }
    command.envs(SETTINGS).env("SPECTRUM_DATA_DIR", stage.folder.join("data"));
    if stage.cluster {
        command.envs(OF_CLUSTER);
    }
    Ok(command)
}

/// Appends the log to a file, and tells where the server listens once it says so.
async fn keep_log(stderr: ChildStderr, path: PathBuf, tell: oneshot::Sender<Listening>) {
    let mut tell = Some(tell);
    let mut file = OpenOptions::new().create(true).append(true).open(path).await.ok();
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(file) = &mut file {
            // A log that cannot be kept is no reason to end the demo.
            let _ = file.write_all(format!("{line}\n").as_bytes()).await;
        }
        if tell.is_some()
            && let Ok(listening) = serde_json::from_str::<Listening>(&line)
            && listening.message == "listening"
            && let Some(tell) = tell.take()
        {
            // Whoever asked may have given up.
            let _ = tell.send(listening);
        }
    }
    if let Some(file) = &mut file {
        let _ = file.flush().await;
    }
}

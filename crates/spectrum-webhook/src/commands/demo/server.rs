//! The server of the demo: a child process of this very executable, which can be killed and started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
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

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. It is killed when this is dropped.
pub(super) struct Server {
    child: Child,
    log: JoinHandle<()>,
    /// Where its API listens.
    pub(super) api: SocketAddr,
    ops: SocketAddr,
    folder: PathBuf,
}

/// The line of its log that says where it listens.
#[derive(Deserialize)]
struct Listening {
    message: String,
    api: SocketAddr,
    ops: SocketAddr,
}

impl Server {
    /// Starts it on free ports, with its data and its log in `folder`.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_on(folder.to_owned(), free, free).await
    }

    async fn start_on(folder: PathBuf, api: SocketAddr, ops: SocketAddr) -> anyhow::Result<Self> {
        let mut child = command(&folder)?
            .arg("serve")
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
            .context("the server cannot be started")?;
        let stderr = child.stderr.take().context("the server's log")?;
        let (tell, told) = oneshot::channel();
        let log = tokio::spawn(keep_log(stderr, folder.join("server.log"), tell));
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(Listening { api, ops, .. })) => Ok(Self { child, log, api, ops, folder }),
            Ok(Err(_)) => bail!("the server ended at its start"),
            Err(_) => bail!("the server did not start in time"),
        }
    }

    /// `kill -9`, and a new start on the same folder and ports.
    pub(super) async fn kill_and_start_again(mut self) -> anyhow::Result<Self> {
        self.child.kill().await.context("the server cannot be killed")?;
        self.log.await?;
        Self::start_on(self.folder, self.api, self.ops).await
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        rustix::process::kill_process(id.context("the server ended early")?, rustix::process::Signal::TERM)?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("the server did not end")??;
        self.log.await?;
        if status.success() { Ok(()) } else { bail!("the server ended with {status}") }
    }
}

/// This executable, with the settings of the demo and no others.
pub(super) fn command(folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SPECTRUM_") {
            command.env_remove(name);
        }
    }
    command.envs(SETTINGS).env("SPECTRUM_DATA_DIR", folder.join("data"));
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

//! The product's processes, set up as shipped.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::services::Services;
use super::{System, free_address, processes};
use crate::http1::{Connection, Head, request};

const START: Duration = Duration::from_secs(120);
/// Between two looks at another process.
const LOOK: Duration = Duration::from_millis(20);
/// Every product has so many partitions.
const PARTITIONS: usize = 64;

/// How long a start took.
pub(crate) struct Started {
    /// Until the slowest process was ready.
    pub(crate) ready: Duration,
    /// From the first process's start until all partitions had owners.
    pub(crate) shared: Duration,
}

impl System {
    /// Starts `serve`; with services, an `ingest` and its dispatchers. Returns when they are ready and share the
    /// partitions.
    pub(super) async fn run_product(&mut self, binary: &Path, services: Option<&Services>) -> Result<()> {
        self.run_processes(binary, services).await?;
        self.wait_until_shared().await
    }

    /// The longest time that one of them took until it was ready.
    async fn run_processes(&mut self, binary: &Path, services: Option<&Services>) -> Result<Duration> {
        if services.is_none() {
            return self.process(binary, "serve", services).await;
        }
        let mut longest = self.process(binary, "ingest", services).await?;
        for _ in 0..self.scene.dispatchers {
            longest = longest.max(self.process(binary, "dispatcher", services).await?);
        }
        Ok(longest)
    }

    /// Ends the product's processes as an operator would, and starts them again.
    pub(crate) async fn restart(&mut self, binary: &Path, services: Option<&Services>) -> Result<Started> {
        for child in &mut self.children {
            let id = child.id().context("a process that runs")?;
            processes::terminate(id).context("a signal")?;
            child.wait().await?;
        }
        for id in self.own.values().flatten() {
            self.roles.values_mut().for_each(|ids| ids.retain(|other| other != id));
        }
        self.children.clear();
        self.own.clear();
        self.ops.clear();
        let begun = Instant::now();
        let ready = self.run_processes(binary, services).await?;
        self.wait_until_shared().await?;
        Ok(Started { ready, shared: begun.elapsed() })
    }

    /// Starts a process and waits until it is ready.
    async fn process(&mut self, binary: &Path, role: &'static str, services: Option<&Services>) -> Result<Duration> {
        let begun = Instant::now();
        let ops = free_address()?;
        let path = self.folder.path().join(format!("{}-{role}.log", self.ops.len()));
        let log = std::fs::File::create(&path)?;
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("SPECTRUM_")) {
                command.env_remove(name);
            }
        }
        if let Some(services) = services {
            command.envs(&services.settings);
        }
        let child = command
            .arg(role)
            .env("SPECTRUM_NAMESPACE", self.contender.name())
            .env("SPECTRUM_DATA_DIR", self.folder.path())
            .env("SPECTRUM_API_LISTEN", self.target.api.to_string())
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
        self.adopt(role, child)?;
        self.ops.push(ops);
        let until = Instant::now() + START;
        while !matches!(get(ops, "/readyz").await, Ok((200, _))) {
            if Instant::now() > until {
                bail!("{role} is not ready:\n{}", std::fs::read_to_string(&path).unwrap_or_default());
            }
            sleep(LOOK).await;
        }
        Ok(begun.elapsed())
    }

    /// Waits until all partitions are owned, and no dispatcher has more than its share of them.
    async fn wait_until_shared(&self) -> Result<()> {
        let until = Instant::now() + START;
        loop {
            let held = held(&self.ops).await?;
            let owners = held.iter().filter(|count| **count > 0).count();
            let expected = if self.ops.len() == 1 { 1 } else { self.scene.dispatchers };
            let most = held.iter().max().copied().unwrap_or(0);
            if held.iter().sum::<usize>() == PARTITIONS && owners == expected && most <= PARTITIONS.div_ceil(expected) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("the partitions are shared as {held:?}");
            }
            sleep(LOOK).await;
        }
    }
}

/// How many partitions each process holds.
async fn held(ops: &[SocketAddr]) -> Result<Vec<usize>> {
    let mut held = Vec::new();
    for address in ops {
        let (_, metrics) = get(*address, "/metrics").await?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("spectrum_webhook_partitions_held "));
        held.push(line.and_then(|count| count.trim().parse().ok()).unwrap_or(0));
    }
    Ok(held)
}

async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut bytes = Vec::new();
    let head = Head { method: "GET", path, host: address, authorization: "none", content_type: "text/plain" };
    request(&mut bytes, &head, b"");
    let answer = Connection::connect(address).await?.exchange(&bytes).await?;
    Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
}

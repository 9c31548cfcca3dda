//! `serve`: takes events and delivers them until it is asked to end, then drains under a deadline.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::asked_to_end;
use crate::config::Settings;
use crate::http;
use crate::telemetry::{self, Check, Ops};
use crate::wire::Node;

/// Connections to the API at once; more wait to be accepted.
const API_CONNECTIONS: usize = 10_000;
/// Connections to the listener for operators at once.
const OPS_CONNECTIONS: usize = 100;
/// What writing the last of it may take beyond the grace period.
const CLOSING: Duration = Duration::from_secs(15);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or could not end in order.
pub(super) fn serve(settings: &Settings) -> anyhow::Result<ExitCode> {
    telemetry::start_log(&settings.log, settings.log_format)?;
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(settings))?;
    Ok(ExitCode::SUCCESS)
}

/// Raises the number of open files to what the system allows this process: each connection is one, and the usual
/// soft limit of 1,024 is less than the connections that are allowed above.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::warn!(%error, limit = ?limit.current, "the limit of open files could not be raised");
    }
}

/// `ingest` and `dispatcher` share their backends with other processes: they need a cluster.
///
/// # Errors
/// Always, as long as there is no cluster.
pub(super) fn part_of_a_cluster(_: &Settings) -> anyhow::Result<ExitCode> {
    bail!(
        "`ingest` and `dispatcher` are the parts of a cluster, and this version has the embedded backends only: use \
         `serve`, which is both in one process"
    );
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let ended = asked_to_end()?;
    let api = bind(settings.api_listen, "SPECTRUM_API_LISTEN").await?;
    let ops = bind(settings.ops_listen, "SPECTRUM_OPS_LISTEN").await?;
    let (api_address, ops_address) = (api.local_addr()?, ops.local_addr()?);

    let registry = registry()?;
    let node = Node::start(settings, &registry).await?;
    let stopping = CancellationToken::new();
    let closed = CancellationToken::new();
    let mut ready = node.checks();
    ready.push(not_stopping(stopping.clone()));

    let mut servers = JoinSet::new();
    servers.spawn(http::serve(api, node.router(), API_CONNECTIONS, settings.grace, stopping.clone()));
    let ops_router = Ops { registry, ready }.router();
    let of_ops = http::serve(ops, ops_router, OPS_CONNECTIONS, Duration::from_secs(1), closed.clone());
    tracing::info!(api = %api_address, ops = %ops_address, "listening");

    let mut operators = JoinSet::new();
    operators.spawn(of_ops);
    tokio::select! {
        signal = ended => tracing::info!(signal, "stopping"),
        _ = servers.join_next() => bail!("the API ended by itself"),
        _ = operators.join_next() => bail!("the listener for operators ended by itself"),
    }

    stopping.cancel();
    let again = asked_to_end()?;
    let drained = async {
        tokio::join!(async { while servers.join_next().await.is_some() {} }, node.stop_delivering());
        node.close().await
    };
    let done = tokio::select! {
        drained = tokio::time::timeout(settings.grace + CLOSING, drained) => {
            drained.context("the drain did not end in time")?
        }
        signal = again => bail!("ended by a second {signal} before everything was drained; nothing is lost"),
    };
    closed.cancel();
    while operators.join_next().await.is_some() {}
    tracing::info!("stopped");
    done
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{setting}: cannot listen on {address}"))
}

fn registry() -> anyhow::Result<Registry> {
    let registry = Registry::new();
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(registry)
}

/// A process that stops is not to be sent new work.
fn not_stopping(stopping: CancellationToken) -> Check {
    Arc::new(move || {
        let ready = if stopping.is_cancelled() { Err("stopping".to_owned()) } else { Ok(()) };
        Box::pin(std::future::ready(ready))
    })
}

//! `serve`, `ingest` and `dispatcher`: take events, deliver them, or both, until asked to end; then drain under a
//! deadline.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use prometheus::Registry;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::asked_to_end;
use crate::config::{Mistakes, Settings};
use crate::gauges::{ServiceGauges, ready_gauge, say_what_runs};
use crate::http::{self, Bounds};
use crate::log;
use crate::telemetry::{Check, Ops, Readiness};
use crate::wire::{Between, Node, Role};

/// Connections to the API at once, where half of the open files that the system allows are as many.
const API_CONNECTIONS: usize = 10_000;
/// Connections to the listener for operators at once.
const OPS_CONNECTIONS: usize = 100;
/// Connections that wait to be accepted, where the system allows as many.
const NEWCOMERS: u32 = 4_096;
/// What writing the last of it may take beyond the grace period.
const CLOSING: Duration = Duration::from_secs(15);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or could not end in order.
pub(super) fn serve(role: Role, settings: &Settings, between: Between) -> anyhow::Result<ExitCode> {
    if role != Role::Serve && settings.cluster.is_none() {
        return Err(part_of_no_cluster());
    }
    log::start(&settings.log, settings.log_format)?;
    let connections = API_CONNECTIONS.min(allow_many_files() / 2);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(run(role, settings, between, connections));
    // What goes on in the background of a service's client is not waited for.
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

/// `ingest` and `dispatcher` share their backends with other processes.
fn part_of_no_cluster() -> anyhow::Error {
    Mistakes(vec![
        "SPECTRUM_DATABASE_URL, SPECTRUM_AMQP_URL, SPECTRUM_REDIS_URL: `ingest` and `dispatcher` are the parts of a \
         cluster: set all three, or use `serve`, which is both in one process and needs none"
            .to_owned(),
    ])
    .into()
}

/// Raises the number of open files to what the system allows this process, and returns it: each connection is one, to
/// the API and to URLs, and the usual soft limit is 1,024.
fn allow_many_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, limit = ?limit.current, "the limit of open files could not be raised");
            limit.current
        }
    };
    // `None` is no limit.
    allowed.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

async fn run(role: Role, settings: &Settings, between: Between, connections: usize) -> anyhow::Result<()> {
    let ended = asked_to_end()?;
    tokio::pin!(ended);
    let api = match role {
        Role::Serve | Role::Ingest => Some(bind(settings.api_listen, "SPECTRUM_API_LISTEN")?),
        Role::Dispatcher => None,
    };
    let ops = bind(settings.ops_listen, "SPECTRUM_OPS_LISTEN")?;
    let ops_address = ops.local_addr()?;

    // Operators are answered from the start: services may take their time.
    let registry = registry(role)?;
    let stopping = CancellationToken::new();
    let closed = CancellationToken::new();
    let readiness = Readiness::default();
    let ready = ready_gauge(&registry)?;
    let ops_router = Ops { registry: registry.clone(), readiness: readiness.clone(), ready }.router();
    let mut operators = JoinSet::new();
    let bounds = Bounds { connections: OPS_CONNECTIONS, head: http::HEAD, grace: Duration::from_secs(1) };
    operators.spawn(http::serve(ops, ops_router, bounds, closed.clone()));
    let node = tokio::select! {
        node = Node::start(role, settings, &registry, between) => node?,
        signal = &mut ended => {
            tracing::info!(signal, "stopped before the start was done");
            return Ok(());
        }
    };
    let services = node.services();
    registry.register(Box::new(ServiceGauges::new(services.clone())?))?;
    let mut checks = node.checks();
    checks.push(not_stopping(stopping.clone()));
    readiness.started(checks, services);

    let mut servers = JoinSet::new();
    match (api, node.router(&stopping)) {
        (Some(api), Some(router)) => {
            tracing::info!(api = %api.local_addr()?, ops = %ops_address, "listening");
            let bounds = Bounds { connections, head: settings.read_timeout, grace: settings.grace };
            servers.spawn(http::serve(api, router, bounds, stopping.clone()));
        }
        _ => tracing::info!(ops = %ops_address, "listening"),
    }

    tokio::select! {
        signal = &mut ended => tracing::info!(signal, "stopping"),
        Some(_) = servers.join_next() => bail!("the API ended by itself"),
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

/// Listens, with a queue that holds a crowd which comes at once: who finds it full tries again after a second.
fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of the process before this one may still linger on the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(NEWCOMERS)
    };
    listen().with_context(|| format!("{setting}: cannot listen on {address}"))
}

fn registry(role: Role) -> anyhow::Result<Registry> {
    let registry = Registry::new();
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    say_what_runs(&registry, role.name())?;
    Ok(registry)
}

/// A process that stops is not to be sent new work.
fn not_stopping(stopping: CancellationToken) -> Check {
    Arc::new(move || {
        let ready = if stopping.is_cancelled() { Err("stopping".to_owned()) } else { Ok(()) };
        Box::pin(std::future::ready(ready))
    })
}

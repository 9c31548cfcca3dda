//! Measures a release build of `serve`, or of a cluster: events posted over HTTP by many clients, delivered to a receiver on the same
//! machine.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `server` | the system under test: a process of its own in a temporary folder |
//! | `receiver` | takes deliveries, checks their order, notes when they arrived |
//! | `load` | posts events |
//! | `report` | the figures |
//! | `isolation` | healthy URLs beside some that hang |

mod isolation;
mod load;
mod receiver;
mod report;
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;

/// Post events to `serve` and measure how they are accepted and delivered.
#[derive(Parser, Debug)]
struct Args {
    /// Projects, each with one URL.
    #[arg(long, default_value_t = 200)]
    projects: usize,
    /// Events in all.
    #[arg(long, default_value_t = 40_000)]
    events: usize,
    /// Clients that post, each waiting for its answer before it posts again.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Bytes of an event, about.
    #[arg(long, default_value_t = 600)]
    size: usize,
    /// Events a second in all; without it as many as are accepted.
    #[arg(long)]
    rate: Option<f64>,
    /// Measure isolation instead: so many percent of the URLs hang, beside the same without, in turn (`10,50`).
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=90))]
    hanging: Vec<u8>,
    /// How often each of them is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each time, in seconds: longer than an attempt may take, so that some are over.
    #[arg(long, default_value_t = 35.0)]
    seconds: f64,
    /// Measure an `ingest` and so many dispatchers instead of `serve`. The environment names the services, as for them:
    /// `stack run -- spectrum-webhook-bench --dispatchers 2` starts private ones.
    #[arg(long)]
    dispatchers: Option<usize>,
    /// The server's executable; by default the one beside this.
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
}

/// How long the last delivery may take after the last post.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    // Another provider may come with a dependency: the choice is made here, once. A second one changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let receiver = receiver::Receiver::start(args.projects).await?;
    let binary = match args.binary.clone() {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("spectrum-webhook"),
    };
    let server = server::Server::start(&binary, args.dispatchers).await.context("the server under test")?;
    let projects = Arc::new(server.register(args.projects, receiver.address()).await?);
    if args.hanging.is_empty() {
        throughput(&args, &server, &receiver, projects).await?;
    } else {
        isolation::measure(&args, server.api(), &receiver, projects).await?;
    }
    server.stop().await
}

async fn throughput(
    args: &Args,
    server: &server::Server,
    receiver: &receiver::Receiver,
    projects: Arc<Vec<server::Project>>,
) -> Result<()> {
    let cpu_before = server.cpu();
    let start = Instant::now();
    receiver.begin(receiver::Phase { first: 0, events: args.events, start, hanging: 0, measured: 0 })?;
    let plan = load::Plan { first: 0, events: args.events, clients: args.clients, size: args.size, rate: args.rate };
    let posted = load::post(plan, server.api(), projects, start).await?;
    let accepted_in = start.elapsed();
    let arrivals = receiver.wait_for_measured(PATIENCE).await?;
    let delivered_in = arrivals.last.saturating_duration_since(start);
    let cpu = server.cpu().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let run = report::Run {
        args_events: args.events,
        posted,
        accepted_in,
        delivered_in,
        arrivals,
        cpu,
        memory: server.memory(),
    };
    report::print(&run, receiver);
    Ok(())
}

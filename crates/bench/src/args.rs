//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::limit::{self, stages};
use crate::system::Backend;

/// Measures a release build beside the limit of the machine.
#[derive(Parser, Debug)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// All measures, or some: alternating contenders, rounds, a report.
    Suite(Suite),
    /// One go against one contender, as a quick look.
    Once(Once),
    /// Two reports side by side.
    Compare {
        /// `report.json` of the older one.
        old: PathBuf,
        /// `report.json` of the newer one.
        new: PathBuf,
    },
    /// The limit's process.
    #[command(hide = true)]
    LimitServe(limit::Serve),
    /// One stage of the limit alone.
    #[command(hide = true)]
    LimitStage(stages::Stage),
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Measure {
    /// The limit's stages, each alone.
    Stages,
    /// Accepted and delivered a second; processor time for each delivery; memory.
    Throughput,
    /// From the post to the arrival, at parts of the product's throughput.
    Latency,
    /// One project alone.
    Lane,
    /// Healthy URLs beside some that hang.
    Isolation,
    /// Growth and drain of a backlog.
    Backlog,
    /// Many webhooks that are mostly idle.
    Idle,
    /// One to three dispatchers, and 10 to 10,000 projects.
    Scale,
    /// Memory, disk and processor time of each process, to plan with.
    Sizing,
}

/// Events under way at most, where as many are posted as are taken.
const WINDOW: u64 = 2_000;

/// Arguments of the suite.
#[derive(Args, Clone, Debug)]
pub(crate) struct Suite {
    /// Only these measures.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<Measure>,
    /// Only these backends.
    #[arg(long, value_delimiter = ',', default_value = "cluster,embedded")]
    pub(crate) backends: Vec<Backend>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// How long events are posted each time, in seconds.
    #[arg(long, default_value_t = 8.0)]
    pub(crate) seconds: f64,
    /// Clients that post, each waiting for its answer before it posts again.
    #[arg(long, default_value_t = 64)]
    pub(crate) clients: usize,
    /// Bytes of an event, about.
    #[arg(long, default_value_t = 600)]
    pub(crate) size: usize,
    /// Events of a batch.
    #[arg(long, default_value_t = 100)]
    pub(crate) batch: usize,
    /// No more is posted while so many events are taken and have not arrived, where as many are posted as are taken:
    /// what comes in has to go out. `--window 1000000000` is none.
    #[arg(long, default_value_t = WINDOW)]
    pub(crate) window: u64,
    /// Numbers of projects, for throughput.
    #[arg(long, value_delimiter = ',', default_value = "200,2000")]
    pub(crate) projects: Vec<usize>,
    /// Numbers of URLs of each project, for throughput.
    #[arg(long, value_delimiter = ',', default_value = "1,3")]
    pub(crate) urls: Vec<usize>,
    /// Dispatchers of the product's cluster.
    #[arg(long, default_value_t = 1)]
    pub(crate) dispatchers: usize,
    /// Events of the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) backlog: u64,
    /// Idle webhooks.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) webhooks: usize,
    /// How long they are left alone until they count as idle, in seconds: longer than a webhook that is not called stays in
    /// memory.
    #[arg(long, default_value_t = 150)]
    pub(crate) idle_seconds: u64,
    /// Percents of the URLs that hang.
    #[arg(long, value_delimiter = ',', default_value = "1,25", value_parser = clap::value_parser!(u8).range(1..=90))]
    pub(crate) hanging: Vec<u8>,
    /// How long some hang, in seconds: by default longer than an attempt may take, so that some attempts are over.
    #[arg(long, default_value_t = 35.0)]
    pub(crate) hanging_seconds: f64,
    /// The product's executable; by default the one beside this.
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// Another build of it, to be compared: it takes the limit's place.
    #[arg(long)]
    pub(crate) base: Option<PathBuf>,
    /// Where the report is written.
    #[arg(long, default_value = "target/bench")]
    pub(crate) out: PathBuf,
}

/// Arguments of one go.
#[derive(Args, Clone, Debug)]
pub(crate) struct Once {
    #[arg(long, default_value = "embedded")]
    pub(crate) backend: Backend,
    /// The limit instead of the product.
    #[arg(long)]
    pub(crate) limit: bool,
    #[arg(long, default_value_t = 200)]
    pub(crate) projects: usize,
    /// URLs of each project.
    #[arg(long, default_value_t = 1)]
    pub(crate) urls: usize,
    /// Clients that post to one project at the same time.
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
    #[arg(long, default_value_t = 64)]
    pub(crate) clients: usize,
    #[arg(long, default_value_t = 600)]
    pub(crate) size: usize,
    /// Events of a request; 1 is not a batch.
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: usize,
    /// Events a second in all; without it as many as are accepted.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Without a rate: no more is posted while so many events are taken and have not arrived.
    #[arg(long, default_value_t = WINDOW)]
    pub(crate) window: u64,
    #[arg(long, default_value_t = 8.0)]
    pub(crate) seconds: f64,
    /// How often, in the same processes.
    #[arg(long, default_value_t = 2)]
    pub(crate) rounds: usize,
    /// Dispatchers of a cluster.
    #[arg(long, default_value_t = 1)]
    pub(crate) dispatchers: usize,
    /// How long the receiver takes to answer, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) delay: u64,
    /// Record a profile of the contender's processes into this folder, with `perf`.
    #[arg(long)]
    pub(crate) perf: Option<PathBuf>,
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
}

//! `chaos`: a seeded run on the real services, and its report.

#![expect(clippy::print_stdout, reason = "a command line program")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use spectrum_webhook_chaos::plan::{Kind, Setup};
use spectrum_webhook_chaos::{report, run};

/// Breaks a cluster under load, and judges what came of it.
#[derive(Parser, Debug)]
struct Options {
    /// The seed; drawn when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// How long load and faults last, in seconds.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=14_400))]
    seconds: u64,
    /// Projects, with 1 to 4 URLs each.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    projects: u32,
    /// Events a second over all projects.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=500))]
    rate: u64,
    /// Only these kinds of fault.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Where the report goes: `report.md`, `report.json`, `timeline.svg`, `plan.json`.
    #[arg(long, default_value = "chaos-report")]
    report: PathBuf,
    /// No faults.
    #[arg(long, conflicts_with = "only")]
    calm: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let kinds = match (options.calm, options.only) {
        (true, _) => Vec::new(),
        (false, only) if only.is_empty() => Kind::all(),
        (false, only) => only,
    };
    let setup = Setup {
        seed: options.seed.unwrap_or(unix.as_secs() % 1_000_000),
        seconds: options.seconds,
        projects: options.projects,
        rate: options.rate,
        kinds,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run::run(setup, |said| println!("{said}")));
    print!("{}", report::summary(&outcome));
    report::write(&outcome, &options.report)?;
    println!("{}", options.report.join("report.md").display());
    Ok(if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! Runs seeds of the simulation, one after the other or on several threads.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use spectrum_webhook_sim::rule::Rule;
use spectrum_webhook_sim::{Options, Report, Stage, run};

/// A seeded simulation of the whole pipeline. The same seed gives the same history.
#[derive(Parser, Debug)]
#[command(name = "spectrum-webhook-sim", version)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to run from there.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Threads; 0 is sixteen for each processor, 128 at most.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// What the seeds stand for; by default it is by the seed itself.
    #[arg(long, value_parser = stage)]
    stage: Option<Stage>,
    /// A rule of the design that is switched off, in a cluster.
    #[arg(long)]
    without: Option<Rule>,
    /// Print every line of the trace (with one thread).
    #[arg(long)]
    trace: bool,
}

fn stage(text: &str) -> Result<Stage, &'static str> {
    match text {
        "embedded" => Ok(Stage::Embedded),
        "cluster" => Ok(Stage::Cluster),
        _ => Err("either `embedded` or `cluster`"),
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let threads = match arguments.threads {
        _ if arguments.trace || arguments.seeds == 1 => 1,
        0 => spectrum_webhook_sim::threads(),
        threads => threads,
    };
    let started = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Option<Report>> = Mutex::new(None);
    let results: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
        let work = || work(&arguments, &next, &done, &failed, started);
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))).collect()
    });
    for result in results {
        result?;
    }
    let failed = failed.into_inner().ok().flatten();
    Ok(finish(&arguments, done.into_inner(), started, failed))
}

fn work(
    arguments: &Arguments,
    next: &AtomicU64,
    done: &AtomicU64,
    failed: &Mutex<Option<Report>>,
    started: Instant,
) -> anyhow::Result<()> {
    loop {
        let offset = next.fetch_add(1, Ordering::Relaxed);
        let has_failed = failed.lock().map(|failed| failed.is_some()).unwrap_or(true);
        if offset >= arguments.seeds || has_failed {
            return Ok(());
        }
        let seed = arguments.seed.wrapping_add(offset);
        let (stage, without) = (arguments.stage, arguments.without);
        let options = Options { print: arguments.trace, stage, without, ..Options::default() };
        let report = run(seed, options).with_context(|| format!("seed {seed}"))?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(100) {
            progress(arguments, done, started);
        }
        if arguments.seeds == 1 {
            summary(&report);
        }
        if report.violation.is_some()
            && let Ok(mut failed) = failed.lock()
            && failed.as_ref().is_none_or(|other| report.seed < other.seed)
        {
            *failed = Some(report);
        }
    }
}

fn per_minute(done: u64, started: Instant) -> f64 {
    done as f64 * 60.0 / started.elapsed().as_secs_f64().max(0.001)
}

#[expect(clippy::print_stdout, reason = "this is a command's output")]
fn progress(arguments: &Arguments, done: u64, started: Instant) {
    println!("{done} of {} seeds, {:.0} a minute", arguments.seeds, per_minute(done, started));
}

#[expect(clippy::print_stdout, reason = "this is a command's output")]
fn summary(report: &Report) {
    println!(
        "seed {}: {} steps, {} delivered, {} dead letters, {} crashes, trace {:016x}",
        report.seed, report.steps, report.delivered, report.dead, report.crashes, report.trace_hash
    );
}

#[expect(clippy::print_stdout, reason = "this is a command's output")]
fn finish(arguments: &Arguments, done: u64, started: Instant, failed: Option<Report>) -> ExitCode {
    println!("{done} seeds from {}, {:.0} a minute", arguments.seed, per_minute(done, started));
    let Some(report) = failed else { return ExitCode::SUCCESS };
    for line in &report.tail {
        println!("{line}");
    }
    println!("seed {}: {}", report.seed, report.violation.unwrap_or_default());
    println!("replay it with: spectrum-webhook-sim --seed {} --trace", report.seed);
    ExitCode::FAILURE
}

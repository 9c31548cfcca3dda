//! Healthy URLs beside some that hang: the same load on all of them each time, and only some hang or do not.
//! What is measured is the same URLs each time, those that never hang. Each share has its turn in each round, in an
//! order that moves on, so that no share always comes first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::receiver::{Phase, Receiver};
use crate::server::Project;
use crate::{Args, PATIENCE, load};

/// Events by which the capacity is found out.
const TRIAL: usize = 20_000;
/// Between two measurements: what is behind the last delivery has time to end.
const REST: Duration = Duration::from_secs(3);

/// One measurement of the healthy URLs.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// Deliveries a second.
    throughput: f64,
    /// From the post to the arrival, in milliseconds.
    p50: f64,
    p99: f64,
}

/// Measures, and prints a table for half of the capacity, or for the rate that was asked for, and one for as much as
/// is accepted.
pub(crate) async fn measure(
    args: &Args,
    api: SocketAddr,
    receiver: &Receiver,
    projects: Arc<Vec<Project>>,
) -> Result<()> {
    let most = args.hanging.iter().copied().max().unwrap_or_default();
    if projects.len() < 100 {
        bail!("{} projects are too few for percents of them", projects.len());
    }
    let mut bench = Bench { args, api, receiver, projects, next: 0, measured: usize::from(most) };
    // The first one warms up, too.
    let capacity = bench.once(TRIAL, None, 0).await?.throughput / (1.0 - f64::from(most) / 100.0);
    let half = args.rate.unwrap_or(capacity / 2.0);
    let shares: Vec<u8> = std::iter::once(0).chain(args.hanging.iter().copied()).collect();
    for (name, rate, events) in
        [("offered", Some(half), half * args.seconds), ("as much as is accepted", None, capacity * args.seconds / 2.0)]
    {
        let mut figures = vec![Vec::new(); shares.len()];
        for round in 0..args.rounds {
            for turn in 0..shares.len() {
                let at = (turn + round) % shares.len();
                figures[at].push(bench.once(events as usize, rate, usize::from(shares[at])).await?);
            }
        }
        let offered = rate.map_or(String::new(), |rate| format!(", {rate:.0} events a second"));
        print(&format!("{name}{offered}: {} URLs, {} rounds", bench.projects.len(), args.rounds), &shares, &figures)?;
    }
    Ok(())
}

struct Bench<'a> {
    args: &'a Args,
    api: SocketAddr,
    receiver: &'a Receiver,
    projects: Arc<Vec<Project>>,
    /// The number of the next event.
    next: usize,
    /// All but the first so many of each hundred projects are measured.
    measured: usize,
}

impl Bench<'_> {
    async fn once(&mut self, events: usize, rate: Option<f64>, hanging: usize) -> Result<Figures> {
        let (first, start) = (self.next, Instant::now());
        self.next += events;
        self.receiver.begin(Phase { first, events, start, hanging, measured: self.measured })?;
        let plan = load::Plan { first, events, clients: self.args.clients, size: self.args.size, rate };
        load::post(plan, self.api, Arc::clone(&self.projects), start).await?;
        let measured = self.receiver.wait_for_measured(PATIENCE).await?;
        // What hung arrives now, so that the next measurement begins as this one did, and nothing is lost.
        self.receiver.let_go();
        self.receiver.wait_for_all(PATIENCE * 5).await.context("what hung")?;
        let seen = self.receiver.summary();
        // With more clients than projects, two of them post for the same one at once.
        if seen.swapped > 0 && self.projects.len() > self.args.clients {
            bail!("{} came out of order", seen.swapped);
        }
        tokio::time::sleep(REST).await;
        let took = measured.last.saturating_duration_since(start).as_secs_f64();
        let millis = |quantile| measured.times.value_at_quantile(quantile) as f64 / 1_000.0;
        Ok(Figures { throughput: measured.count as f64 / took, p50: millis(0.5), p99: millis(0.99) })
    }
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn print(title: &str, shares: &[u8], figures: &[Vec<Figures>]) -> Result<()> {
    println!("\n{title}\n");
    println!("| URLs that hang | healthy ones' deliveries a second | ratio | p50 | p99 | ratio |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let without = figures.first().context("a measurement")?;
    for (share, with) in shares.iter().zip(figures) {
        let range = |of: fn(&Figures) -> f64| {
            let [low, median, high] = spread(with, of);
            format!("{median:.1} ({low:.1} to {high:.1})")
        };
        let ratio = |of: fn(&Figures) -> f64| spread(with, of)[1] / spread(without, of)[1];
        println!(
            "| {share} % | {} | {:.2} | {} ms | {} ms | {:.2} |",
            range(|one| one.throughput),
            ratio(|one| one.throughput),
            range(|one| one.p50),
            range(|one| one.p99),
            ratio(|one| one.p99),
        );
    }
    Ok(())
}

/// The lowest, the median, the highest.
fn spread(figures: &[Figures], of: fn(&Figures) -> f64) -> [f64; 3] {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    [at(0), at(values.len() / 2), at(values.len().saturating_sub(1))]
}

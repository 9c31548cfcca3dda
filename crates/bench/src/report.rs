//! The figures, as a table.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::receiver::{Measured, Receiver};

pub(crate) struct Run {
    pub(crate) args_events: usize,
    pub(crate) posted: Histogram<u64>,
    pub(crate) accepted_in: Duration,
    pub(crate) delivered_in: Duration,
    pub(crate) arrivals: Measured,
    pub(crate) cpu: Option<Duration>,
    pub(crate) memory: Option<u64>,
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
pub(crate) fn print(run: &Run, receiver: &Receiver) {
    let events = run.args_events as f64;
    let millis = |times: &Histogram<u64>, quantile: f64| times.value_at_quantile(quantile) as f64 / 1_000.0;
    let seen = receiver.summary();
    let arrivals = &run.arrivals.times;
    println!("| figure | value |");
    println!("| --- | --- |");
    println!("| accepted per second | {:.0} |", events / run.accepted_in.as_secs_f64());
    println!("| delivered per second | {:.0} |", events / run.delivered_in.as_secs_f64());
    println!("| post to 202: p50, p99 | {:.1} ms, {:.1} ms |", millis(&run.posted, 0.5), millis(&run.posted, 0.99));
    println!("| post to arrival: p50, p99 | {:.1} ms, {:.1} ms |", millis(arrivals, 0.5), millis(arrivals, 0.99));
    println!("| arrived, duplicates, out of order | {}, {}, {} |", seen.arrived, seen.duplicates, seen.swapped);
    if let Some(cpu) = run.cpu {
        println!("| server processor time per event | {:.0} µs |", cpu.as_secs_f64() * 1e6 / events);
    }
    if let Some(memory) = run.memory {
        println!("| server memory | {:.1} MiB |", memory as f64 / 1024.0);
    }
}

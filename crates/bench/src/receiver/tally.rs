//! What has arrived: each event of a stream once at each URL and in its order, or it is said otherwise.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use crate::event::Marks;

/// The measure of a phase.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// Deliveries to URLs that are measured.
    pub(crate) count: u64,
    /// From the post to the arrival, in microseconds.
    pub(crate) times: Histogram<u64>,
    pub(crate) first: Option<Instant>,
    pub(crate) last: Instant,
}

impl Arrivals {
    /// A second, from the phase's start to its last arrival.
    pub(crate) fn rate(&self, start: Instant) -> f64 {
        self.count as f64 / self.last.saturating_duration_since(start).as_secs_f64().max(1e-6)
    }

    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        self.times.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// All that a receiver knows.
pub(super) struct Tally {
    projects: usize,
    urls: usize,
    /// By stream and URL: the number that comes next.
    next: Vec<u64>,
    /// All deliveries since the receiver was started.
    pub(super) total: u64,
    duplicates: u64,
    disordered: u64,
    strange: u64,
    start: Instant,
    /// All but the first so many of each hundred projects are measured.
    unmeasured: usize,
    arrivals: Arrivals,
}

impl Tally {
    pub(super) fn new(projects: usize, streams: usize, urls: usize) -> Result<Self> {
        let start = Instant::now();
        Ok(Self {
            projects,
            urls,
            next: vec![0; streams * urls],
            total: 0,
            duplicates: 0,
            disordered: 0,
            strange: 0,
            start,
            unmeasured: 0,
            arrivals: Arrivals { count: 0, times: Histogram::new(3)?, first: None, last: start },
        })
    }

    /// What is measured from now on; the order is that of all phases.
    pub(super) fn begin(&mut self, start: Instant, unmeasured: usize) {
        self.start = start;
        self.unmeasured = unmeasured;
        self.arrivals.count = 0;
        self.arrivals.times.reset();
        self.arrivals.first = None;
        self.arrivals.last = start;
    }

    pub(super) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    pub(super) fn note(&mut self, (project, url): (usize, usize), marks: Option<Marks>, now: Instant) {
        let place = marks.filter(|marks| url < self.urls && marks.stream % self.projects == project);
        let next = place.and_then(|marks| self.next.get_mut(marks.stream * self.urls + url));
        let (Some(marks), Some(next)) = (marks, next) else {
            self.strange += 1;
            return;
        };
        if marks.number < *next {
            self.duplicates += 1;
            return;
        }
        if marks.number > *next {
            self.disordered += 1;
        }
        *next = marks.number + 1;
        self.total += 1;
        if project % 100 >= self.unmeasured {
            let total = u64::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX);
            // Bounded by how long a run may take.
            let _ = self.arrivals.times.record(total.saturating_sub(marks.posted));
            self.arrivals.count += 1;
            self.arrivals.first.get_or_insert(now);
            self.arrivals.last = now;
        }
    }

    /// Fails if something came twice, out of order or not from here.
    pub(super) fn check(&self) -> Result<()> {
        let Self { total, duplicates, disordered, strange, .. } = self;
        if duplicates + disordered + strange > 0 {
            bail!(
                "of {total} deliveries {disordered} came out of order; {duplicates} came twice, {strange} were none of ours"
            );
        }
        Ok(())
    }
}

/// How long it took from the first arrival to the last, for one arrival less.
pub(crate) fn between(arrivals: &Arrivals) -> Option<(u64, Duration)> {
    let took = arrivals.last.saturating_duration_since(arrivals.first?);
    Some((arrivals.count.checked_sub(1)?, took))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(tally: &mut Tally, url: usize, number: u64) {
        tally.note((1, url), Some(Marks { stream: 3, number, posted: 0 }), Instant::now());
    }

    #[test]
    fn once_and_in_order_at_each_url_is_right_and_nothing_else() {
        let mut tally = Tally::new(2, 4, 2).expect("a tally");
        for number in 0..3 {
            note(&mut tally, 0, number);
            note(&mut tally, 1, number);
        }
        tally.check().expect("all is well");
        assert_eq!(tally.total, 6);
        note(&mut tally, 1, 2);
        assert!(tally.check().is_err(), "twice");
        let mut tally = Tally::new(2, 4, 2).expect("a tally");
        note(&mut tally, 0, 1);
        assert!(tally.check().is_err(), "its first is missing");
        let mut tally = Tally::new(2, 4, 2).expect("a tally");
        tally.note((0, 0), Some(Marks { stream: 3, number: 0, posted: 0 }), Instant::now());
        assert!(tally.check().is_err(), "another project's");
    }
}

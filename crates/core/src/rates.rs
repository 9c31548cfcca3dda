//! How attempts went over a span of time: how many, how they ended, how long they took. Counted from samples, so that a
//! webhook with a million attempts costs no more to look at than one with a hundred.

use crate::time::Millis;

/// How an attempt ended, as far as a plot shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Answered with 2xx.
    Taken,
    /// Answered such that a repetition does not help: 3xx, and 4xx but 408 and 429.
    Refused,
    /// Answered such that it is tried again: 408, 429 and 5xx.
    Failed,
    /// Not answered.
    Silent,
}

impl Outcome {
    /// All of them, in the order in which a plot stacks them.
    pub const ALL: [Self; 4] = [Self::Taken, Self::Refused, Self::Failed, Self::Silent];

    /// What a status means; `None` is no answer.
    pub fn of(status: Option<u16>) -> Self {
        match status {
            None => Self::Silent,
            Some(200..=299) => Self::Taken,
            Some(408 | 429 | 500..) => Self::Failed,
            Some(_) => Self::Refused,
        }
    }
}

/// One attempt that was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// When it started.
    pub started_at: Millis,
    /// How long it took, in milliseconds.
    pub total_ms: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// A span of time in stretches of one width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Where it begins.
    pub from: Millis,
    /// The width of a stretch in milliseconds.
    pub width: i64,
    /// How many stretches.
    pub stretches: u16,
    /// At most so many attempts of each are looked at: its first ones.
    pub most: u16,
}

impl Span {
    /// The last stretches up to now, on whole multiples of their width, so that a plot that is drawn again a moment later
    /// is the same one and a bit.
    pub fn until(now: Millis, width: i64, stretches: u16, most: u16) -> Self {
        let end = now.0.div_euclid(width).saturating_add(1).saturating_mul(width);
        Self { from: Millis(end.saturating_sub(width.saturating_mul(i64::from(stretches)))), width, stretches, most }
    }

    /// Where a stretch begins.
    pub fn begin(&self, stretch: usize) -> Millis {
        let stretch = i64::try_from(stretch).unwrap_or(i64::MAX);
        Millis(self.from.0.saturating_add(self.width.saturating_mul(stretch)))
    }

    /// Where it ends.
    pub fn end(&self) -> Millis {
        self.begin(usize::from(self.stretches))
    }
}

/// What was seen of one stretch.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Stretch {
    /// Its first attempts, in their order.
    pub samples: Vec<Sample>,
    /// When the last attempt of it started, where there may be more than were looked at.
    pub last: Option<Millis>,
}

impl Stretch {
    /// How many attempts one sample stands for: more than one where there were more than were looked at. Those are taken
    /// to have come as fast as the first ones, until the last.
    fn weight(&self) -> f64 {
        let (Some(first), Some(seen), Some(last)) = (self.samples.first(), self.samples.last(), self.last) else {
            return 1.0;
        };
        let since_first = |at: Millis| (at.0 - first.started_at.0).max(0) as f64;
        let (seen, all) = (since_first(seen.started_at), since_first(last));
        if all <= seen {
            return 1.0;
        }
        let count = self.samples.len() as f64;
        (1.0 + (count - 1.0).max(1.0) * all / seen.max(1.0)) / count
    }
}

/// What was seen of a span.
#[derive(Clone, PartialEq, Debug)]
pub struct Rates {
    /// The span.
    pub span: Span,
    /// What was seen of each stretch of it.
    pub stretches: Vec<Stretch>,
}

/// A stretch, or several, in numbers.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Summary {
    /// How many attempts.
    pub attempts: u64,
    /// Not all were looked at: the numbers are what the first ones of each stretch tell.
    pub estimated: bool,
    /// How many ended so, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 4],
    /// Half of them took no longer, in milliseconds.
    pub p50: Option<u32>,
    /// Nineteen of twenty took no longer.
    pub p95: Option<u32>,
}

impl Summary {
    /// The share that was taken, from 0 to 1; `None` of nothing.
    pub fn taken(&self) -> Option<f64> {
        (self.attempts > 0).then(|| self.outcomes[0] as f64 / self.attempts as f64)
    }
}

impl Rates {
    /// One stretch in numbers.
    pub fn stretch(&self, at: usize) -> Summary {
        self.sum(at..at + 1)
    }

    /// All of it in numbers.
    pub fn whole(&self) -> Summary {
        self.sum(0..self.stretches.len())
    }

    /// The last stretches in numbers.
    pub fn last(&self, stretches: usize) -> Summary {
        self.sum(self.stretches.len().saturating_sub(stretches)..self.stretches.len())
    }

    fn sum(&self, range: std::ops::Range<usize>) -> Summary {
        let mut weighed: Vec<(u32, f64)> = Vec::new();
        let (mut outcomes, mut estimated) = ([0.0; 4], false);
        for at in range {
            let Some(stretch) = self.stretches.get(at) else { continue };
            let weight = stretch.weight();
            estimated |= weight > 1.0;
            for sample in &stretch.samples {
                weighed.push((sample.total_ms, weight));
                let place = Outcome::ALL.iter().position(|outcome| *outcome == sample.outcome).unwrap_or(0);
                outcomes[place] += weight;
            }
        }
        weighed.sort_unstable_by_key(|(millis, _)| *millis);
        let whole: f64 = weighed.iter().map(|(_, weight)| weight).sum();
        let percentile = |share: f64| {
            let mut seen = 0.0;
            let reached = weighed.iter().find(|(_, weight)| {
                seen += weight;
                seen >= whole * share
            });
            reached.or(weighed.last()).map(|(millis, _)| *millis)
        };
        let outcomes = outcomes.map(|count| count.round() as u64);
        Summary { attempts: outcomes.iter().sum(), estimated, outcomes, p50: percentile(0.5), p95: percentile(0.95) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { from: Millis(1_000), width: 100, stretches: 2, most: 4 };

    fn sample(at: i64, total_ms: u32, status: Option<u16>) -> Sample {
        Sample { started_at: Millis(at), total_ms, outcome: Outcome::of(status) }
    }

    fn whole(samples: Vec<Sample>) -> Stretch {
        Stretch { samples, last: None }
    }

    #[test]
    fn what_was_looked_at_whole_is_counted_exactly() {
        let first = vec![sample(1_000, 10, Some(200)), sample(1_050, 30, Some(404)), sample(1_099, 20, None)];
        let rates = Rates { span: SPAN, stretches: vec![whole(first), Stretch::default()] };
        let whole = rates.whole();
        assert_eq!((whole.attempts, whole.estimated, whole.outcomes), (3, false, [1, 1, 0, 1]));
        assert_eq!((whole.p50, whole.p95), (Some(20), Some(30)));
        assert_eq!((rates.stretch(1), rates.last(1)), (Summary::default(), Summary::default()));
        assert_eq!(Summary::default().taken(), None);
    }

    #[test]
    fn a_stretch_with_more_than_is_looked_at_goes_on_as_it_began_until_its_last_attempt() {
        let rates = |last| {
            let samples = (0..4).map(|at| sample(1_104 + at * 5, 10, Some(200))).collect();
            let busy = Stretch { samples, last: Some(Millis(last)) };
            Rates { span: SPAN, stretches: vec![whole(vec![sample(1_000, 90, Some(503))]), busy] }
        };
        // One every 5 ms are twenty, and the other stretch has one.
        let summary = rates(1_199).whole();
        assert_eq!((summary.attempts, summary.estimated, summary.outcomes), (21, true, [20, 0, 1, 0]));
        assert_eq!((summary.p50, summary.p95), (Some(10), Some(10)), "by their weight, not by their number");
        assert!(!rates(1_199).stretch(0).estimated);
        // A burst that ended is no bigger than it was.
        let burst = rates(1_124).stretch(1);
        assert_eq!((burst.attempts, burst.estimated), (5, true));
        let all = rates(1_119).stretch(1);
        assert_eq!((all.attempts, all.estimated), (4, false), "there were no more");
    }

    #[test]
    fn many_attempts_in_one_moment_are_no_reason_to_divide_by_nothing() {
        let samples = vec![sample(1_000, 1, None); 4];
        let stretch = Stretch { samples, last: Some(Millis(1_002)) };
        let rates = Rates { span: SPAN, stretches: vec![stretch] };
        assert_eq!(rates.whole().attempts, 7);
        let single = Stretch { samples: vec![sample(1_000, 1, None)], last: Some(Millis(1_010)) };
        assert_eq!(Rates { span: SPAN, stretches: vec![single] }.whole().attempts, 11);
    }

    #[test]
    fn a_span_ends_with_the_stretch_of_now() {
        let span = Span::until(Millis(1_234), 100, 3, 9);
        assert_eq!((span.from, span.begin(2), span.end()), (Millis(1_000), Millis(1_200), Millis(1_300)));
        assert_eq!(Span::until(Millis(1_299), 100, 3, 9), span);
    }

    #[test]
    fn statuses_mean_what_deliveries_take_them_for() {
        let of = |status| Outcome::of(Some(status));
        assert_eq!((of(204), of(301), of(404)), (Outcome::Taken, Outcome::Refused, Outcome::Refused));
        assert_eq!((of(408), of(429), of(503)), (Outcome::Failed, Outcome::Failed, Outcome::Failed));
    }
}

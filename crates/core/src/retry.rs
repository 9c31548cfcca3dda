//! The schedule of waits: the one module that knows the `backoff` crate.
//!
//! `backoff` is asked for by the product's owner and no longer maintained; `deny.toml` explains the exception. Only
//! its growth is used (factor and cap, no jitter and no clock of its own), so that replacing it is a change to
//! [`Schedule::new`] alone. Chance comes in as an argument.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

use crate::chance::Chance;

/// The numbers of a schedule, all of them settings.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Policy {
    /// The first wait.
    pub initial: Duration,
    /// How much longer each wait is than the one before it; at least 1.
    pub factor: f64,
    /// The longest wait.
    pub cap: Duration,
    /// Attempts in all, the first included; at least 1.
    pub attempts: u32,
}

impl Default for Policy {
    /// The contract's: 200 ms, 1 s, 5 s, 10 s, 10 s.
    fn default() -> Self {
        Self { initial: Duration::from_millis(200), factor: 5.0, cap: Duration::from_secs(10), attempts: 6 }
    }
}

/// Waits that grow to a cap, worked out once.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    waits: Vec<u64>,
    cap: u64,
}

/// Waits worked out ahead; past them the wait is the cap. A factor of 1.1 from 1 ms reaches 10 minutes in 140.
const STEPS: u32 = 160;

impl Schedule {
    /// The schedule of a policy.
    pub fn new(policy: &Policy) -> Self {
        let mut growth = ExponentialBackoff {
            current_interval: policy.initial,
            initial_interval: policy.initial,
            randomization_factor: 0.0,
            multiplier: policy.factor,
            max_interval: policy.cap,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        let cap = millis(policy.cap);
        let waits = (0..STEPS)
            .map(|_| growth.next_backoff().map_or(cap, millis).min(cap))
            .scan(false, |capped, wait| {
                let past = *capped;
                *capped = wait >= cap;
                (!past).then_some(wait)
            })
            .collect();
        Self { waits, cap }
    }

    /// The longest wait that can be drawn, in milliseconds.
    pub fn longest(&self) -> u64 {
        self.cap.saturating_add(self.cap / 2)
    }

    /// The wait after `failed` attempts (1, 2, …), in milliseconds, drawn evenly from ±50 %. A wish of the endpoint
    /// that is longer is honoured up to the cap.
    pub fn wait(&self, failed: u32, wish: Option<u64>, chance: &mut dyn Chance) -> u64 {
        let step = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
        let base = self.waits.get(step).copied().unwrap_or(self.cap);
        let drawn = (base as f64 * (0.5 + chance.unit())) as u64;
        drawn.max(wish.unwrap_or(0).min(self.cap))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Seeded;

    struct Fixed(f64);

    impl Chance for Fixed {
        fn next(&mut self) -> u64 {
            0
        }
        fn unit(&mut self) -> f64 {
            self.0
        }
    }

    #[test]
    fn the_default_waits_are_the_contracts() {
        let schedule = Schedule::new(&Policy::default());
        let waits: Vec<u64> = (1..=5).map(|failed| schedule.wait(failed, None, &mut Fixed(0.5))).collect();
        assert_eq!(waits, [200, 1_000, 5_000, 10_000, 10_000]);
        assert_eq!(schedule.wait(u32::MAX, None, &mut Fixed(0.5)), 10_000);
    }

    #[test]
    fn waits_are_drawn_evenly_from_half_to_one_and_a_half() {
        let schedule = Schedule::new(&Policy::default());
        let mut chance = Seeded::new(1);
        let draws: Vec<u64> = (0..4_000).map(|_| schedule.wait(2, None, &mut chance)).collect();
        assert!(draws.iter().all(|wait| (500..1_500).contains(wait)));
        for quarter in 0..4 {
            let low = 500 + quarter * 250;
            let share = draws.iter().filter(|wait| (low..low + 250).contains(*wait)).count();
            assert!((850..1_150).contains(&share), "{share} of 4,000 in [{low}, {})", low + 250);
        }
    }

    #[test]
    fn the_endpoints_wish_is_honoured_up_to_the_cap() {
        let schedule = Schedule::new(&Policy::default());
        assert_eq!(schedule.wait(1, Some(3_000), &mut Fixed(0.5)), 3_000);
        assert_eq!(schedule.wait(1, Some(3_600_000), &mut Fixed(0.5)), 10_000);
        assert_eq!(schedule.wait(2, Some(1), &mut Fixed(0.5)), 1_000);
    }
}

//! Chance, from a seed.

use spectrum_webhook_core::chance::{Chance as _, Seeded};
use uuid::Uuid;

/// A source of chance with a sequence of its own.
#[derive(Clone, Debug)]
pub struct Dice(Seeded);

impl Dice {
    /// The sequence that a seed stands for.
    pub fn new(seed: u64) -> Self {
        Self(Seeded::new(seed))
    }

    /// A sequence that shares nothing with this one from here on.
    pub fn fork(&mut self) -> Self {
        Self::new(self.0.next())
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high.saturating_sub(low) + 1)
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn per_mille(&mut self, times: u64) -> bool {
        self.0.below(1_000) < times
    }

    /// One of these; the list must not be empty.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = self.0.below(from.len() as u64);
        from[usize::try_from(at).unwrap_or(0)].clone()
    }

    /// A random id.
    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.0.next(), self.0.next())
    }

    /// 32 random bytes.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.next().to_le_bytes());
        }
        bytes
    }

    /// How long something takes, in milliseconds: mostly little, now and then long.
    pub fn latency(&mut self) -> u64 {
        match self.range(0, 99) {
            0..=79 => self.range(1, 5),
            80..=94 => self.range(5, 60),
            95..=98 => self.range(60, 500),
            _ => self.range(500, 2_500),
        }
    }

    /// What the pure parts draw from.
    pub fn chance(&mut self) -> &mut Seeded {
        &mut self.0
    }
}

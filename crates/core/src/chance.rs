//! Chance as an argument: whoever decides by it can be replayed from a seed.

/// A source of evenly spread numbers.
pub trait Chance: Send {
    /// The next 64 bits.
    fn next(&mut self) -> u64;

    /// A number in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        // 53 bits are what a double holds exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `[0, below)`; 0 when `below` is 0.
    fn below(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.next() % below }
    }
}

/// SplitMix64: small, quick and good enough for jitter and for simulations; never for secrets.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The sequence that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Chance for Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

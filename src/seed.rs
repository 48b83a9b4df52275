//! Named, independent random streams from one seed.
//!
//! Every random decision of a run takes its stream by name, so that adding a consumer never
//! shifts the decisions of another. Streams are ChaCha8 (`rand_chacha`), whose output is stable.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The seed of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

/// One stream of random decisions.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Seed {
    /// The stream called `name`; the same seed and name give the same stream for ever.
    #[must_use]
    pub fn stream(self, name: &str) -> Stream {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&self.0.to_le_bytes());
        key[8..16].copy_from_slice(&fnv1a(name.as_bytes()).to_le_bytes());
        Stream(ChaCha8Rng::from_seed(key))
    }
}

impl Stream {
    /// Uniform over all of `u64`.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound` (0 if `bound` is 0), without modulo bias worth naming.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A position in a slice of `len` elements; `len` must not be 0.
    pub fn index(&mut self, len: usize) -> usize {
        debug_assert!(len > 0, "cannot choose from nothing");
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Puts the elements in a random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

/// 64-bit FNV-1a, to turn a name into stream key material.
#[must_use]
pub const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash ^= bytes[at] as u64;
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_are_independent_of_each_other() {
        let draw = |name: &str| Seed(7).stream(name).bits();
        assert_eq!(draw("load"), draw("load"));
        assert_ne!(draw("load"), draw("schedule"));
        assert_ne!(draw("load"), Seed(8).stream("load").bits());
    }

    #[test]
    fn below_stays_below_and_a_shuffle_keeps_the_elements() {
        let mut stream = Seed(1).stream("test");
        assert!((0..1000).all(|_| stream.below(7) < 7));
        let mut items: Vec<u32> = (0..50).collect();
        stream.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}

//! Hash tables whose behaviour is the same in every run.
//!
//! The standard hasher is seeded at random, which breaks replay; this one is a fixed multiply and
//! fold over 64-bit words. Iteration order must still not reach any output: these tables are for
//! look-ups on hot paths (interning, checking).

use std::hash::{BuildHasherDefault, Hasher};

/// A hash map with a fixed hasher.
#[expect(
    clippy::disallowed_types,
    reason = "the hasher is fixed, and nothing iterates over these maps"
)]
pub type FixedMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<FixedHasher>>;

/// A hash set with a fixed hasher.
pub type FixedSet<K> = std::collections::HashSet<K, BuildHasherDefault<FixedHasher>>;

/// Multiply and fold: not against adversaries, fast for short keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedHasher(u64);

/// Odd, with well spread bits (the fraction of the golden ratio).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl FixedHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ FACTOR) * u128::from(FACTOR);
        // Both halves carry entropy of all bits: fold them.
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for FixedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0_u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length keeps "a" and "a\0" apart.
        self.mix(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_i64(&mut self, word: i64) {
        self.mix(word as u64);
    }

    fn write_u128(&mut self, word: u128) {
        self.mix(word as u64);
        self.mix((word >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, BuildHasherDefault};

    #[test]
    fn the_hash_of_a_key_is_the_same_for_ever() {
        let build = BuildHasherDefault::<FixedHasher>::default();
        assert_eq!(build.hash_one(7_u64), build.hash_one(7_u64));
        assert_ne!(build.hash_one("a"), build.hash_one("a\0"));
        assert_eq!(build.hash_one(1_i64), 2_361_070_584_089_566_796);
    }

    #[test]
    fn neighbouring_numbers_spread_over_the_low_bits() {
        let build = BuildHasherDefault::<FixedHasher>::default();
        let mut low: Vec<u64> = (0..256_i64).map(|n| build.hash_one(n) & 0xff).collect();
        low.sort_unstable();
        low.dedup();
        assert!(low.len() > 120, "only {} of 256 slots", low.len());
    }
}

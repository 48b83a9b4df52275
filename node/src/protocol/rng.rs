//! Seeded jitter: the SplitMix64 generator of Steele, Lea and Flood (OOPSLA 2014).

use super::zxid::Nanos;

/// A stream of numbers that depends on its seed alone.
#[derive(Debug, Clone)]
pub(super) struct Rng {
    state: u64,
}

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A length of time in `low ..= high`. The bias of the remainder does not matter for jitter.
    pub(super) const fn between(&mut self, low: Nanos, high: Nanos) -> Nanos {
        let span = high.0.saturating_sub(low.0).saturating_add(1);
        Nanos(low.0 + self.next() % span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_bounds_and_repeats_with_its_seed() {
        let (mut one, mut two) = (Rng::new(7), Rng::new(7));
        for _ in 0..1000 {
            let drawn = one.between(Nanos(10), Nanos(20));
            assert!((10..=20).contains(&drawn.0));
            assert_eq!(drawn, two.between(Nanos(10), Nanos(20)));
        }
        assert_eq!(one.between(Nanos(5), Nanos(5)), Nanos(5));
    }
}

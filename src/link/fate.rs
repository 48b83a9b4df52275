//! Fates: random decisions about data on a link that depend on nothing but seed, link and index.
//!
//! A fate is a number in `[0, 1)`. Since no generator state is shared, the decision about the
//! tenth frame is the same whatever happened on other links and however threads were scheduled.

use super::rule::LinkId;
use crate::seed::{Seed, fnv1a};

/// The key from which all fates of one link follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FateKey(u64);

/// For which kind of decision a fate is drawn; each kind has its own sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// Whether a frame vanishes.
    Frame,
    /// Whether a frame comes twice.
    Double,
    /// Whether a frame is overtaken by the next.
    Late,
    /// Whether a bit of a frame is flipped,
    Flip,
    /// and which one.
    FlippedBit,
    /// Whether a segment is lost and must be sent again.
    Segment,
    /// Whether the bytes of a segment are deleted.
    Delete,
    /// Whether a bit of a segment is flipped,
    SegmentFlip,
    /// and which one.
    SegmentBit,
    /// How far a delay deviates from its middle.
    Jitter,
}

impl FateKey {
    /// The key of `link` in a run with this seed.
    #[must_use]
    pub fn new(seed: Seed, link: LinkId) -> Self {
        Self(mix(seed.0 ^ mix(fnv1a(link.to_string().as_bytes()))))
    }

    /// The `index`-th fate of one kind, uniform in `[0, 1)`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    #[must_use]
    pub fn draw(self, kind: Draw, index: u64) -> f64 {
        let bits = mix(mix(self.0 ^ kind.salt()).wrapping_add(index));
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The `index`-th fate of one kind, uniform in `0..below`; `below` is above 0 and less than
    /// 2^32, so that a draw hits each value alike.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "the product lies between 0 and `below`, which is small"
    )]
    pub(super) fn draw_below(self, kind: Draw, index: u64, below: u64) -> u64 {
        ((self.draw(kind, index) * below as f64) as u64).min(below.saturating_sub(1))
    }
}

impl Draw {
    const fn salt(self) -> u64 {
        match self {
            Self::Frame => 0,
            Self::Double => fnv1a(b"double"),
            Self::Late => fnv1a(b"late"),
            Self::Flip => fnv1a(b"flip"),
            Self::FlippedBit => fnv1a(b"flipped bit"),
            Self::Segment => fnv1a(b"segment"),
            Self::Delete => fnv1a(b"delete"),
            Self::SegmentFlip => fnv1a(b"segment flip"),
            Self::SegmentBit => fnv1a(b"segment bit"),
            Self::Jitter => fnv1a(b"jitter"),
        }
    }
}

/// Whether the `index`-th frame (from 0, counted over the whole run) that crosses `link` vanishes
/// when the link loses this share of its frames.
#[must_use]
pub fn frame_is_lost(seed: Seed, link: LinkId, index: u64, loss: f64) -> bool {
    FateKey::new(seed, link).draw(Draw::Frame, index) < loss
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use crate::link::Endpoint;

    fn link(from: u8, to: u8) -> LinkId {
        LinkId::new(Endpoint::Node(NodeId(from)), Endpoint::Node(NodeId(to)))
    }

    #[test]
    fn a_fate_repeats_and_differs_between_links_seeds_and_directions() {
        let fates = |seed, link| -> Vec<bool> {
            (0..64)
                .map(|index| frame_is_lost(Seed(seed), link, index, 0.5))
                .collect()
        };
        assert_eq!(fates(1, link(1, 2)), fates(1, link(1, 2)));
        assert_ne!(fates(1, link(1, 2)), fates(1, link(2, 1)));
        assert_ne!(fates(1, link(1, 2)), fates(1, link(1, 3)));
        assert_ne!(fates(1, link(1, 2)), fates(2, link(1, 2)));
    }

    #[test]
    fn the_share_of_lost_frames_is_the_loss_asked_for() {
        for (loss, low, high) in [(0.0, 0, 0), (0.3, 2_850, 3_150), (1.0, 10_000, 10_000)] {
            let lost = (0..10_000)
                .filter(|index| frame_is_lost(Seed(9), link(1, 2), *index, loss))
                .count();
            assert!((low..=high).contains(&lost), "{lost} of 10000 at {loss}");
        }
    }

    #[test]
    fn what_is_lost_at_a_low_rate_is_also_lost_at_a_higher_one() {
        for index in 0..1_000 {
            if frame_is_lost(Seed(3), link(2, 3), index, 0.1) {
                assert!(frame_is_lost(Seed(3), link(2, 3), index, 0.4));
            }
        }
    }
}

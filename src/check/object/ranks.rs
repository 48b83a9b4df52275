//! Ranks: where what the reads show leaves one order only, does it agree with real time?
//!
//! Every operation has a *rank*. Those of a lower rank must take effect before those of a higher
//! one, and those of one rank in any order. Such an order exists unless some operation had
//! returned before one of a lower rank began.

use super::problem::Item;

/// An item and its rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked {
    pub(super) rank: usize,
    pub(super) number: usize,
}

/// Two items against the order of ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misplaced {
    /// It belongs before the other, and began only after that had returned.
    pub(super) late: Ranked,
    pub(super) early: Ranked,
}

/// The first two items that contradict the order of ranks.
pub(super) fn misplaced(mut ranked: Vec<Ranked>, items: &[Item]) -> Option<Misplaced> {
    ranked.sort_unstable();
    let mut late: Option<Ranked> = None;
    for group in ranked.chunk_by(|one, other| one.rank == other.rank) {
        if let Some(late) = late {
            let begun = &items[late.number];
            let early = (group.iter()).find(|early| items[early.number].is_before(begun));
            if let Some(early) = early {
                return Some(Misplaced {
                    late,
                    early: *early,
                });
            }
        }
        let last = group.iter().copied().chain(late);
        late = last.max_by_key(|ranked| items[ranked.number].invoked);
    }
    None
}

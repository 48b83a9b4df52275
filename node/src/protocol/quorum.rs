//! Majorities of a fixed set of voters.

use super::zxid::Zxid;

/// The fewest of `voters` that meet every other such set.
pub(super) const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The greatest transaction that `quorum` of these have reached; zero if there are fewer.
pub(super) fn reached_by(quorum: usize, mut reached: Vec<Zxid>) -> Zxid {
    reached.sort_unstable_by(|a, b| b.cmp(a));
    match quorum.checked_sub(1) {
        Some(index) => reached.get(index).copied().unwrap_or(Zxid::ZERO),
        None => Zxid::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_majorities_always_meet() {
        for voters in 1..20 {
            assert!(2 * majority(voters) > voters);
            assert!(2 * (majority(voters) - 1) <= voters);
        }
    }

    #[test]
    fn a_transaction_is_reached_when_a_quorum_is_there_or_beyond() {
        let at = |counters: &[u32]| {
            counters
                .iter()
                .map(|&c| Zxid::new(1, c))
                .collect::<Vec<_>>()
        };
        assert_eq!(reached_by(2, at(&[5, 9, 2])), Zxid::new(1, 5));
        assert_eq!(reached_by(3, at(&[5, 9, 2])), Zxid::new(1, 2));
        assert_eq!(reached_by(3, at(&[5, 9])), Zxid::ZERO);
    }
}

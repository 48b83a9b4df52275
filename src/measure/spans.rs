//! Sets of time: unions of half-open intervals.
//!
//! *Span*: one interval `[from, to)`. Invariant of [`Spans`]: its spans are sorted, disjoint,
//! not adjacent and not empty.

use crate::clock::Nanos;

/// One interval `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
}

/// A set of instants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

impl Span {
    pub(super) const fn new(from: Nanos, to: Nanos) -> Self {
        Self { from, to }
    }

    pub(super) const fn length(self) -> Nanos {
        self.to.since(self.from)
    }

    pub(super) fn contains(self, time: Nanos) -> bool {
        self.from <= time && time < self.to
    }

    /// Whether the closed interval `[from, to]` touches it.
    pub(super) fn touches(self, from: Nanos, to: Nanos) -> bool {
        self.from <= to && from < self.to
    }
}

impl FromIterator<Span> for Spans {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut sorted: Vec<Span> = spans.into_iter().filter(|s| s.from < s.to).collect();
        sorted.sort();
        let mut merged: Vec<Span> = Vec::with_capacity(sorted.len());
        for span in sorted {
            match merged.last_mut() {
                Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }
}

impl Spans {
    pub(super) fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.0.iter().copied()
    }

    #[cfg(test)]
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, time: Nanos) -> bool {
        self.containing(time).is_some()
    }

    /// The span around an instant.
    pub(super) fn containing(&self, time: Nanos) -> Option<Span> {
        let after = self.0.partition_point(|span| span.from <= time);
        self.0[..after]
            .last()
            .copied()
            .filter(|span| span.contains(time))
    }

    /// Whether any instant of `[from, to]` is in the set.
    pub(super) fn touches(&self, from: Nanos, to: Nanos) -> bool {
        let after = self.0.partition_point(|span| span.from <= to);
        self.0[..after]
            .last()
            .is_some_and(|span| span.touches(from, to))
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        let (mut a, mut b) = (self.0.as_slice(), other.0.as_slice());
        while let (Some(x), Some(y)) = (a.first(), b.first()) {
            both.push(Span::new(x.from.max(y.from), x.to.min(y.to)));
            if x.to <= y.to {
                a = &a[1..];
            } else {
                b = &b[1..];
            }
        }
        both.into_iter().collect()
    }

    /// What is within `window` and not in the set.
    pub(super) fn complement(&self, window: Span) -> Self {
        let mut rest = Vec::new();
        let mut from = window.from;
        for span in self.iter() {
            rest.push(Span::new(from, span.from.min(window.to)));
            from = from.max(span.to);
        }
        rest.push(Span::new(from, window.to));
        rest.into_iter().collect()
    }

    /// The length of all spans together.
    pub(super) fn total(&self) -> Nanos {
        self.iter()
            .fold(Nanos::ZERO, |sum, span| sum + span.length())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans(pairs: &[(u64, u64)]) -> Spans {
        pairs
            .iter()
            .map(|&(from, to)| Span::new(Nanos(from), Nanos(to)))
            .collect()
    }

    #[test]
    fn touching_spans_merge_and_empty_ones_vanish() {
        assert_eq!(spans(&[(5, 9), (1, 3), (3, 5), (20, 20)]), spans(&[(1, 9)]));
    }

    fn any_spans() -> impl Strategy<Value = Spans> {
        prop::collection::vec((0u64..40, 0u64..12), 0..6).prop_map(|pairs| {
            pairs
                .iter()
                .map(|&(from, length)| Span::new(Nanos(from), Nanos(from + length)))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn set_operations_agree_with_membership(a in any_spans(), b in any_spans()) {
            let window = Span::new(Nanos(3), Nanos(45));
            let rest = a.complement(window);
            let mut inside = 0;
            for time in (0..60).map(Nanos) {
                inside += u64::from(a.contains(time));
                prop_assert_eq!(
                    a.union(&b).contains(time),
                    a.contains(time) || b.contains(time)
                );
                prop_assert_eq!(
                    a.intersection(&b).contains(time),
                    a.contains(time) && b.contains(time)
                );
                prop_assert_eq!(
                    rest.contains(time),
                    window.contains(time) && !a.contains(time)
                );
                prop_assert_eq!(a.touches(time, time), a.contains(time));
            }
            prop_assert_eq!(a.total(), Nanos(inside));
        }
    }
}

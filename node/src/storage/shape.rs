//! Which transactions a log holds, without the transactions: the last of each epoch is enough.

use crate::protocol::zxid::Zxid;

/// The transactions behind a base, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    base: Zxid,
    /// The last transaction of each epoch, rising.
    ends: Vec<Zxid>,
}

impl Shape {
    /// Nothing behind `base`.
    pub(super) const fn new(base: Zxid) -> Self {
        Self {
            base,
            ends: Vec::new(),
        }
    }

    /// Appends a transaction if it follows the last; tells whether it did.
    #[must_use]
    pub(super) fn push(&mut self, zxid: Zxid) -> bool {
        let last = self.last();
        if !zxid.follows(last) {
            return false;
        }
        match self.ends.last_mut() {
            Some(end) if end.epoch() == zxid.epoch() => *end = zxid,
            _ => self.ends.push(zxid),
        }
        true
    }

    /// Removes everything behind `after`, which must not lie before the base.
    pub(super) fn truncate(&mut self, after: Zxid) {
        while let Some(end) = self.ends.pop_if(|end| *end > after) {
            let kept = end.min(after);
            let previous = self.last();
            if kept.epoch() == end.epoch() && kept > previous && kept.counter() > 0 {
                self.ends.push(kept);
            }
        }
    }

    /// Forgets what lies at or before `base`.
    pub(super) fn forget(&mut self, base: Zxid) {
        self.base = base;
        self.ends.retain(|end| *end > base);
    }

    /// The last transaction at or before `zxid`; `None` before the base.
    pub(super) fn floor(&self, zxid: Zxid) -> Option<Zxid> {
        if zxid < self.base {
            return None;
        }
        let mut shape = self.clone();
        shape.truncate(zxid);
        Some(shape.last())
    }

    pub(super) const fn base(&self) -> Zxid {
        self.base
    }

    /// The last transaction, or the base.
    pub(super) fn last(&self) -> Zxid {
        self.ends.last().copied().unwrap_or(self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        let mut shape = Shape::new(Zxid::new(1, 5));
        for (epoch, counters) in [(1, 6..=9), (3, 1..=2), (4, 1..=7)] {
            for counter in counters {
                assert!(shape.push(Zxid::new(epoch, counter)));
            }
        }
        shape
    }

    #[test]
    fn only_what_follows_is_appended() {
        let mut shape = shape();
        assert_eq!(
            (shape.base(), shape.last()),
            (Zxid::new(1, 5), Zxid::new(4, 7))
        );
        assert!(!shape.push(Zxid::new(4, 9)) && !shape.push(Zxid::new(3, 3)));
        assert!(shape.push(Zxid::new(4, 8)));
    }

    #[test]
    fn the_floor_is_the_last_transaction_that_is_held() {
        let shape = shape();
        let cases = [
            ((1, 4), None),
            ((1, 5), Some((1, 5))),
            ((1, 7), Some((1, 7))),
            ((2, 3), Some((1, 9))),
            ((3, 0), Some((1, 9))),
            ((3, 9), Some((3, 2))),
            ((9, 9), Some((4, 7))),
        ];
        for ((epoch, counter), expected) in cases {
            let expected = expected.map(|(epoch, counter)| Zxid::new(epoch, counter));
            assert_eq!(shape.floor(Zxid::new(epoch, counter)), expected);
        }
    }

    #[test]
    fn a_cut_shape_goes_on_behind_the_cut() {
        let mut shape = shape();
        shape.truncate(Zxid::new(3, 1));
        assert_eq!(shape.last(), Zxid::new(3, 1));
        assert!(shape.push(Zxid::new(3, 2)) && shape.push(Zxid::new(7, 1)));
        shape.forget(Zxid::new(3, 1));
        assert_eq!(
            (shape.base(), shape.last()),
            (Zxid::new(3, 1), Zxid::new(7, 1))
        );
        shape.truncate(Zxid::new(3, 1));
        assert_eq!(shape.last(), Zxid::new(3, 1));
    }
}

//! The identifiers of the protocol: nodes, connections, transactions and the time they share.
//!
//! A [`Zxid`] orders all transactions: the epoch in its upper half names the leader that proposed
//! it, the counter in its lower half its place under that leader. Within one epoch the counters
//! of a log are 1, 2, 3 … without a gap.

use std::fmt;

/// A voter of the cluster, displayed as `n1`, `n2` …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(pub u8);

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A transport connection to a peer, numbered by the shell and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One batch of disk operations, numbered by the core and rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The highest counter of an epoch. Before it is passed the leader gives up and a new epoch
/// begins, so that a counter never runs over into the epoch.
pub const COUNTER_LIMIT: u32 = 0xffff_0000;

/// The place of a transaction in the one history: the epoch above, the counter below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub u64);

impl Zxid {
    /// Before every transaction.
    pub const ZERO: Self = Self(0);

    /// The `counter`-th transaction of `epoch`.
    #[must_use]
    pub const fn new(epoch: u32, counter: u32) -> Self {
        Self(((epoch as u64) << 32) | counter as u64)
    }

    /// The epoch in which it was proposed.
    #[must_use]
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Its place within the epoch, from 1.
    #[must_use]
    pub const fn counter(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// Whether `self` may stand directly behind `previous` in a log: the next counter of the same
    /// epoch, or the first of a later one.
    #[must_use]
    pub const fn follows(self, previous: Self) -> bool {
        if self.epoch() == previous.epoch() {
            self.0 == previous.0 + 1 && self.counter() != 0
        } else {
            self.epoch() > previous.epoch() && self.counter() == 1
        }
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch(), self.counter())
    }
}

/// An instant of the node's monotonic clock, or a length of time, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Later than everything.
    pub const NEVER: Self = Self(u64::MAX);

    /// From whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// From whole microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros * 1_000)
    }

    /// `self + length`, never past [`Nanos::NEVER`].
    #[must_use]
    pub const fn after(self, length: Self) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// `self − earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zxid_keeps_epoch_and_counter_apart() {
        let zxid = Zxid::new(7, 9);
        assert_eq!((zxid.epoch(), zxid.counter()), (7, 9));
        assert_eq!(zxid.to_string(), "7.9");
        assert!(Zxid::new(2, 1) > Zxid::new(1, u32::MAX));
    }

    #[test]
    fn only_the_next_counter_or_the_first_of_a_later_epoch_follows() {
        let last = Zxid::new(3, 5);
        assert!(Zxid::new(3, 6).follows(last));
        assert!(Zxid::new(4, 1).follows(last));
        assert!(Zxid::new(9, 1).follows(last));
        assert!(Zxid::new(1, 1).follows(Zxid::ZERO));
        for wrong in [
            Zxid::new(3, 5),
            Zxid::new(3, 7),
            Zxid::new(4, 2),
            Zxid::new(4, 0),
            Zxid::new(2, 1),
        ] {
            assert!(!wrong.follows(last), "{wrong}");
        }
    }
}

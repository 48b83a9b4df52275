//! What ended a search before it knew.

use std::fmt;

/// Which limit ended the search, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) struct Limit {
    pub(in crate::check) what: What,
    /// Returns explained so far.
    pub(in crate::check) done: usize,
    /// Returns in all.
    pub(in crate::check) of: usize,
}

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum What {
    /// So many steps.
    Steps(u64),
    /// So many configurations held.
    Configurations(usize),
    /// The time was over.
    Time,
    /// More operations pending than the search can tell apart.
    Pending(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Steps(steps) => write!(f, "the search gave up after {steps} steps")?,
            What::Configurations(held) => {
                write!(f, "the search gave up holding {held} configurations")?;
            }
            What::Time => f.write_str("the time for the search was over")?,
            What::Pending(slots) => write!(f, "more than {slots} operations were pending at once")?,
        }
        write!(
            f,
            ", with {} of {} operations explained",
            self.done, self.of
        )
    }
}

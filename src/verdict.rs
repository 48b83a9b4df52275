//! The three-valued verdict: pass, unknown, fail. Merging keeps the worst.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a check concluded. `Unknown` is an honest answer, never a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds, and enough was looked at to say so.
    Pass,
    /// Nothing was proved either way.
    Unknown,
    /// It does not hold.
    Fail,
}

impl Verdict {
    /// The worse of two.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        self.max(other)
    }

    /// The word in results files: `pass`, `unknown`, `fail`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Fail, Pass, Unknown};

    #[test]
    fn merging_keeps_the_worst() {
        assert_eq!(Pass.merge(Unknown), Unknown);
        assert_eq!(Fail.merge(Unknown), Fail);
        assert_eq!(Pass.merge(Pass), Pass);
    }
}

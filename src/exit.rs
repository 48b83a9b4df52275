//! Exit codes: what a script or a CI job reads first.

use crate::verdict::Verdict;

/// How the command ended. The numbers are part of the public interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every check passed and every fault landed.
    Pass = 0,
    /// A safety check failed: a violation or a lost write.
    Safety = 1,
    /// Usage or plan error; nothing was started.
    Usage = 2,
    /// Inconclusive: budget exhausted, a fault that did not land, too little load, noise.
    Inconclusive = 3,
    /// An objective was missed: a time limit or a regression.
    Objective = 4,
    /// The run could not be set up: port, program or permission missing.
    Setup = 5,
    /// A bug in chaos itself.
    Bug = 70,
    /// Interrupted by SIGINT; faults healed, partial results written.
    Interrupted = 130,
    /// Interrupted by SIGTERM; faults healed, partial results written.
    Terminated = 143,
}

impl Exit {
    /// The number given to the operating system.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The worse of two, for several plans: 1 > 70 > 5 > 4 > 3 > 0; an interruption beats all.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.rank() >= other.rank() {
            self
        } else {
            other
        }
    }

    /// The exit for the verdicts of the safety checks and of the objectives.
    #[must_use]
    pub fn of(safety: Verdict, objectives: Verdict) -> Self {
        match (safety, objectives) {
            (Verdict::Fail, _) => Self::Safety,
            (_, Verdict::Fail) => Self::Objective,
            (Verdict::Pass, Verdict::Pass) => Self::Pass,
            (Verdict::Unknown, _) | (_, Verdict::Unknown) => Self::Inconclusive,
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Inconclusive => 1,
            Self::Objective => 2,
            Self::Setup => 3,
            Self::Usage => 4,
            Self::Bug => 5,
            Self::Safety => 6,
            Self::Terminated => 7,
            Self::Interrupted => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_outranks_an_objective_and_an_objective_outranks_unknown() {
        assert_eq!(Exit::of(Verdict::Fail, Verdict::Fail), Exit::Safety);
        assert_eq!(Exit::of(Verdict::Unknown, Verdict::Fail), Exit::Objective);
        assert_eq!(
            Exit::of(Verdict::Pass, Verdict::Unknown),
            Exit::Inconclusive
        );
        assert_eq!(Exit::of(Verdict::Pass, Verdict::Pass), Exit::Pass);
        assert_eq!(Exit::Objective.merge(Exit::Safety), Exit::Safety);
        assert_eq!(Exit::Setup.merge(Exit::Objective), Exit::Setup);
    }
}

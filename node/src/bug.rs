//! Planted bugs: known mistakes that this node can be told to make, so that the checks which should
//! notice them can be tried.
//!
//! Each breaks one rule, at the place where that rule is kept; where a second check of the same
//! rule would hide it, that check is off as well. A node has no bug unless it is started with
//! `--allow-bugs --bug NAME`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described by its line of BUGS")]
pub enum Bug {
    EpochBeforeHistory,
    AckNewLeaderBeforeFsync,
    LogThreadSurvivesShutdown,
    HoleInDiff,
    AckBeforeFsync,
    CommitWithoutQuorum,
    StaleReadAfterPause,
    NoPreVote,
    VoteIgnoresLog,
    NoTruncate,
    WrongEpochAccepted,
    LostSessionEphemerals,
    SkippedSyncForwarding,
    SelfAckBeforeFsync,
    SecondPromise,
    MessageToFormerRole,
}

/// What there is to know of a bug.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// The bug.
    pub bug: Bug,
    /// Its name on the command line.
    pub name: &'static str,
    /// What the node does wrong.
    pub breaks: &'static str,
    /// Where ZooKeeper had it, or where the rule comes from.
    pub source: &'static str,
}

/// All bugs, in the order of their declaration.
pub const BUGS: &[Planted] = &[
    Planted {
        bug: Bug::EpochBeforeHistory,
        name: "epoch-before-history",
        breaks: "a follower writes the new epoch before the history that belongs to it",
        source: "ZOOKEEPER-4643",
    },
    Planted {
        bug: Bug::AckNewLeaderBeforeFsync,
        name: "ack-newleader-before-fsync",
        breaks: "a follower acknowledges its leader's history before it is durable",
        source: "ZOOKEEPER-4646, ZOOKEEPER-3911",
    },
    Planted {
        bug: Bug::LogThreadSurvivesShutdown,
        name: "log-thread-survives-shutdown",
        breaks: "a node that loses its leader forgets what it is still writing to its log",
        source: "ZOOKEEPER-4712",
    },
    Planted {
        bug: Bug::HoleInDiff,
        name: "hole-in-diff",
        breaks: "a leader leaves the first transaction out of a longer DIFF, and nobody notices",
        source: "ZOOKEEPER-4925",
    },
    Planted {
        bug: Bug::AckBeforeFsync,
        name: "ack-before-fsync",
        breaks: "a follower acknowledges a proposal before it is durable",
        source: "ZOOKEEPER-4646 (forceSync=no)",
    },
    Planted {
        bug: Bug::CommitWithoutQuorum,
        name: "commit-without-quorum",
        breaks: "a leader commits what one node less than a quorum has",
        source: "Zab, phase 3",
    },
    Planted {
        bug: Bug::StaleReadAfterPause,
        name: "stale-read-after-pause",
        breaks: "a leader answers linearizable reads and sync without asking whether it still leads",
        source: "ZOOKEEPER-2136 (sync without a quorum)",
    },
    Planted {
        bug: Bug::NoPreVote,
        name: "no-pre-vote",
        breaks: "a node with a living leader leaves it for any candidate that asks",
        source: "Raft thesis, section 9.6",
    },
    Planted {
        bug: Bug::VoteIgnoresLog,
        name: "vote-ignores-log",
        breaks: "neither election nor discovery prefers the longer history",
        source: "Zab, phases 0 and 1",
    },
    Planted {
        bug: Bug::NoTruncate,
        name: "no-truncate",
        breaks: "a follower keeps transactions that its leader does not have",
        source: "ZOOKEEPER-3526, ZOOKEEPER-2845",
    },
    Planted {
        bug: Bug::WrongEpochAccepted,
        name: "wrong-epoch-accepted",
        breaks: "a follower takes part in epochs older than it promised, and leaders do not ask",
        source: "ZOOKEEPER-2307",
    },
    Planted {
        bug: Bug::LostSessionEphemerals,
        name: "lost-session-ephemerals",
        breaks: "a node restored from a snapshot does not know which session owns its ephemerals",
        source: "ZOOKEEPER-2355",
    },
    Planted {
        bug: Bug::SkippedSyncForwarding,
        name: "skipped-sync-forwarding",
        breaks: "a follower is not sent what is proposed while it receives the history",
        source: "Zab, phase 2 (startForwarding)",
    },
    Planted {
        bug: Bug::SelfAckBeforeFsync,
        name: "self-ack-before-fsync",
        breaks: "a leader counts itself before its own log is durable",
        source: "Zab, phase 3",
    },
    Planted {
        bug: Bug::SecondPromise,
        name: "second-promise",
        breaks: "a follower promises the same epoch to two leaders",
        source: "Zab, phase 1",
    },
    Planted {
        bug: Bug::MessageToFormerRole,
        name: "message-to-former-role",
        breaks: "a node listens to what was said in a former role, its own or the sender's",
        source: "ZOOKEEPER-4685",
    },
];

/// A set of bugs, empty by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bugs(u32);

/// A name that no bug has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no bug `{name}`; did you mean `{nearest}`?")]
pub struct UnknownBug {
    /// What was written.
    pub name: String,
    /// The most similar name that exists.
    pub nearest: &'static str,
}

impl Bug {
    /// Its line of the registry.
    #[must_use]
    pub fn planted(self) -> &'static Planted {
        // The registry has one line for each, in this order; a test holds it to that.
        &BUGS[self as usize]
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.planted().name
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, UnknownBug> {
        let found = BUGS.iter().find(|planted| planted.name == name);
        found.map(|planted| planted.bug).ok_or_else(|| {
            let names = BUGS.iter().map(|planted| planted.name);
            let nearest = names.min_by_key(|known| distance(name, known));
            UnknownBug {
                name: name.to_owned(),
                nearest: nearest.unwrap_or_default(),
            }
        })
    }
}

impl Bugs {
    /// A node that keeps every rule.
    pub const NONE: Self = Self(0);

    /// These and `bug`.
    #[must_use]
    pub const fn with(self, bug: Bug) -> Self {
        Self(self.0 | 1 << bug as u32)
    }

    /// Whether `bug` is planted.
    #[must_use]
    #[inline]
    pub const fn has(self, bug: Bug) -> bool {
        self.0 >> bug as u32 & 1 == 1
    }

    /// Whether none is planted.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those planted, in the order of the registry.
    pub fn iter(self) -> impl Iterator<Item = Bug> {
        BUGS.iter()
            .map(|planted| planted.bug)
            .filter(move |&bug| self.has(bug))
    }
}

impl fmt::Display for Bugs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<&str> = self.iter().map(Bug::name).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Bugs {
    type Err = UnknownBug;

    /// From names with commas between them, or `none`.
    fn from_str(names: &str) -> Result<Self, UnknownBug> {
        names
            .split(',')
            .filter(|name| *name != "none")
            .map(str::parse)
            .collect()
    }
}

impl FromIterator<Bug> for Bugs {
    fn from_iter<T: IntoIterator<Item = Bug>>(bugs: T) -> Self {
        bugs.into_iter().fold(Self::NONE, Self::with)
    }
}

/// How many letters must be inserted, removed or replaced (Levenshtein).
fn distance(one: &str, two: &str) -> usize {
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (above, a) in one.bytes().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, b) in two.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_its_line_and_an_own_name() {
        for (index, planted) in BUGS.iter().enumerate() {
            assert_eq!(planted.bug as usize, index);
            assert_eq!(planted.name.parse(), Ok(planted.bug));
            assert!(!planted.breaks.is_empty() && !planted.source.is_empty());
        }
    }

    #[test]
    fn a_set_has_what_was_planted_and_nothing_else() {
        assert!(Bugs::default().is_empty());
        let bugs: Bugs = [Bug::NoTruncate, Bug::HoleInDiff].into_iter().collect();
        assert!(bugs.has(Bug::NoTruncate) && !bugs.has(Bug::NoPreVote));
        assert_eq!(
            bugs.iter().collect::<Vec<_>>(),
            [Bug::HoleInDiff, Bug::NoTruncate]
        );
        for written in [bugs, Bugs::NONE] {
            assert_eq!(written.to_string().parse(), Ok(written));
        }
    }

    #[test]
    fn the_plan_reference_lists_every_bug() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plan-reference.md");
        let text = std::fs::read_to_string(path).unwrap();
        let listed = text.lines().skip_while(|line| *line != "## Planted bugs");
        let listed: Vec<&str> = listed.filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = BUGS
            .iter()
            .map(|it| format!("| `{}` | {} | {} |", it.name, it.breaks, it.source))
            .collect();
        assert_eq!(listed[..BUGS.len()], expected[..]);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let error = "no-prevote".parse::<Bug>().unwrap_err();
        assert_eq!(error.nearest, "no-pre-vote");
        let error = "ack_before_fsync".parse::<Bug>().unwrap_err();
        assert_eq!(error.nearest, "ack-before-fsync");
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}

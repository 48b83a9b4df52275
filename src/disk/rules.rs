//! Which call meets what. Pure: it counts calls and answers.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// A kind of call, as the file system sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `open` of a file that exists.
    Open,
    /// `open` that makes a file, `mkdir`, `symlink`, `link`.
    Create,
    /// `read`, as far as it is not answered from the page cache.
    Read,
    /// `write`.
    Write,
    /// `ftruncate`, `fallocate`.
    Truncate,
    /// `fsync`, `fdatasync`, also of a folder; a write to a file opened with `O_SYNC`.
    Fsync,
    /// `rename`.
    Rename,
    /// `unlink`, `rmdir`.
    Remove,
}

impl Op {
    /// All kinds with their names in plans.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("open", Self::Open),
        ("create", Self::Create),
        ("read", Self::Read),
        ("write", Self::Write),
        ("truncate", Self::Truncate),
        ("fsync", Self::Fsync),
        ("rename", Self::Rename),
        ("remove", Self::Remove),
    ];
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(_, op)| op == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

/// An error that a disk gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Failure {
    /// The medium does not work.
    Eio,
    /// No space is left.
    Enospc,
    /// The quota is used up.
    Edquot,
    /// The file system was remounted for reading only, as ext4 does after an error.
    Erofs,
}

impl Failure {
    /// All with their names.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("EIO", Self::Eio),
        ("ENOSPC", Self::Enospc),
        ("EDQUOT", Self::Edquot),
        ("EROFS", Self::Erofs),
    ];
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(_, failure)| failure == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

/// Which calls are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Of this kind; `None`: of every kind for which the act makes sense.
    pub op: Option<Op>,
    /// On a file of this name, or of this path from the disk's root if it has a slash; `*` stands
    /// for any part of a name. `None`: on any file.
    pub file: Option<String>,
    /// From this one on, counted from 1 when the rule comes into force.
    pub nth: u64,
}

impl Calls {
    /// Every call of this kind.
    #[must_use]
    pub const fn every(op: Op) -> Self {
        Self {
            op: Some(op),
            file: None,
            nth: 1,
        }
    }

    fn mean(&self, op: Op, path: &str) -> bool {
        let file = || {
            self.file.as_deref().is_none_or(|pattern| {
                if pattern.contains('/') {
                    matches(pattern, path)
                } else {
                    matches(pattern, path.rsplit('/').next().unwrap_or(path))
                }
            })
        };
        self.op.is_none_or(|meant| meant == op) && file()
    }
}

/// A write of which the disk keeps only some parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// Into how many equal parts it is divided.
    pub parts: u32,
    /// Which of them reach the disk, from 1.
    pub keep: Vec<u32>,
}

/// What happens to these calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// They take so much longer.
    Stall(Nanos),
    /// They fail and change nothing.
    Fail(Failure),
    /// No space is left: what would make anything grow fails with ENOSPC.
    Full,
    /// The power fails at the nth: nothing is answered any more.
    PowerFails {
        /// The call itself is still done.
        after: bool,
        /// The call is a write of which only parts are done.
        torn: Option<Torn>,
    },
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Which calls.
    pub calls: Calls,
    /// What happens to them.
    pub act: Act,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.act {
            Act::Stall(by) => write!(f, "{by} slower")?,
            Act::Fail(failure) => write!(f, "{failure}")?,
            Act::Full => f.write_str("full")?,
            Act::PowerFails { torn: None, .. } => f.write_str("power fails")?,
            Act::PowerFails { torn: Some(_), .. } => f.write_str("power fails in the write")?,
        }
        if let Some(op) = self.calls.op {
            write!(f, ", {op}")?;
        }
        if let Some(file) = &self.calls.file {
            write!(f, " of {file}")?;
        }
        if self.calls.nth > 1 {
            write!(f, " from the {}. on", self.calls.nth)?;
        }
        Ok(())
    }
}

/// How often a rule was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// Calls of the kind that it means.
    pub calls: u64,
    /// Calls to which it did something.
    pub hits: u64,
}

/// What happens to one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// It takes so much longer.
    pub(super) stall: Nanos,
    /// It fails.
    pub(super) fails: Option<Failure>,
    /// The power fails by this rule; before or after the call, or in the middle of it.
    pub(super) power_fails: Option<(u64, bool, Option<Torn>)>,
}

/// All rules of a disk, with what they have met.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: BTreeMap<u64, (Rule, Met)>,
}

impl Rules {
    /// These rules are in force, by number; those that were already go on counting.
    pub(super) fn set(&mut self, rules: BTreeMap<u64, Rule>) {
        let mut before = std::mem::take(&mut self.rules);
        for (number, rule) in rules {
            let met = match before.remove(&number) {
                Some((same, met)) if same == rule => met,
                _ => Met::default(),
            };
            self.rules.insert(number, (rule, met));
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How often each was met.
    pub(super) fn met(&self) -> BTreeMap<u64, Met> {
        let met = |(number, (_, met)): (&u64, &(Rule, Met))| (*number, *met);
        self.rules.iter().map(met).collect()
    }

    /// Whether no space is left.
    pub(super) fn is_full(&self) -> bool {
        self.rules.values().any(|(rule, _)| rule.act == Act::Full)
    }

    /// A call comes: `path` from the disk's root, `grows` if it needs space.
    pub(super) fn meet(&mut self, op: Op, path: &str, grows: bool) -> Verdict {
        let mut verdict = Verdict::default();
        for (number, (rule, met)) in &mut self.rules {
            if !rule.calls.mean(op, path) || (rule.act == Act::Full && !grows) {
                continue;
            }
            met.calls += 1;
            if met.calls < rule.calls.nth {
                continue;
            }
            match &rule.act {
                Act::Stall(by) => verdict.stall = verdict.stall + *by,
                Act::Fail(failure) => verdict.fails = verdict.fails.or(Some(*failure)),
                Act::Full => verdict.fails = verdict.fails.or(Some(Failure::Enospc)),
                Act::PowerFails { after, torn } => {
                    if met.calls > rule.calls.nth || verdict.power_fails.is_some() {
                        continue;
                    }
                    verdict.power_fails = Some((*number, *after, torn.clone()));
                }
            }
            met.hits += 1;
        }
        verdict
    }
}

/// Whether `*` in `pattern` can stand for parts without a slash so that it becomes `text`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|tail| {
            let reach = tail.find('/').unwrap_or(tail.len());
            (0..=reach)
                .filter(|end| tail.is_char_boundary(*end))
                .any(|end| matches(rest, &tail[end..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[(Option<Op>, Option<&str>, u64, Act)]) -> Rules {
        let mut rules = Rules::default();
        let numbered = list
            .iter()
            .enumerate()
            .map(|(number, (op, file, nth, act))| {
                let calls = Calls {
                    op: *op,
                    file: file.map(str::to_owned),
                    nth: *nth,
                };
                let act = act.clone();
                (number as u64, Rule { calls, act })
            });
        rules.set(numbered.collect());
        rules
    }

    #[test]
    fn an_error_comes_from_the_nth_call_of_that_file_on() {
        let mut rules = rules(&[(Some(Op::Fsync), Some("log.*"), 3, Act::Fail(Failure::Eio))]);
        let mut fails = |op, path| rules.meet(op, path, false).fails.is_some();
        assert!(!fails(Op::Fsync, "log.1"));
        assert!(!fails(Op::Write, "log.1"));
        assert!(!fails(Op::Fsync, "snap"));
        assert!(!fails(Op::Fsync, "deep/log.2"));
        assert!(fails(Op::Fsync, "log.1"));
        assert!(fails(Op::Fsync, "log.2"));
        let met = rules.met()[&0];
        assert_eq!((met.calls, met.hits), (4, 2));
    }

    #[test]
    fn the_power_fails_once() {
        let act = Act::PowerFails {
            after: false,
            torn: None,
        };
        let mut rules = rules(&[(Some(Op::Write), None, 2, act)]);
        let mut fails = || rules.meet(Op::Write, "a", true).power_fails.is_some();
        assert_eq!([fails(), fails(), fails()], [false, true, false]);
    }

    #[test]
    fn a_full_disk_takes_what_needs_no_space() {
        let mut rules = rules(&[(None, None, 1, Act::Full)]);
        assert!(rules.is_full());
        assert_eq!(rules.meet(Op::Write, "a", false).fails, None);
        let grown = rules.meet(Op::Write, "a", true);
        assert_eq!(grown.fails, Some(Failure::Enospc));
        assert_eq!(rules.met()[&0].calls, 1);
    }

    #[test]
    fn stalls_add_up_and_counts_go_on_where_a_rule_stays() {
        let by = Act::Stall(Nanos::from_millis(20));
        let mut both = rules(&[(None, None, 1, by.clone()), (Some(Op::Read), None, 1, by)]);
        assert_eq!(
            both.meet(Op::Read, "a", false).stall,
            Nanos::from_millis(40)
        );
        assert_eq!(
            both.meet(Op::Open, "a", false).stall,
            Nanos::from_millis(20)
        );
        let stays = both.rules[&0].0.clone();
        both.set(BTreeMap::from([(0, stays)]));
        assert_eq!(both.met()[&0].hits, 2);
        assert_eq!(both.met().len(), 1);
    }

    #[test]
    fn patterns_match_within_one_name() {
        for (pattern, text, fits) in [
            ("wal", "wal", true),
            ("wal*", "wal-0001", true),
            ("*.log", "a.log", true),
            ("*.log", "a.logs", false),
            ("a*c*e", "abcde", true),
            ("member/*/0*", "member/wal/0-1", true),
            ("member/*", "member/wal/0", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}

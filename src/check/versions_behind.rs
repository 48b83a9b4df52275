//! Staleness in versions: how many acknowledged updates each read certainly missed.
//!
//! An update is *missed* by a read if it certainly came after the one that the read saw, and was
//! acknowledged before the read began. It came after if its version is higher, where versions are
//! trusted, or if it began when the value seen was certainly there. What nobody can order is not
//! counted, so each number is a lower bound; 0 for every read of a linearizable history.

use super::sources::{Source, Sources, observed, tick};
use super::{CheckResult, Class};
use crate::history::{History, Value};
use crate::verdict::Verdict;

/// How far behind the reads were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsBehind {
    /// Pass: no read missed anything. Unknown: no read could be judged.
    pub verdict: Verdict,
    /// How many updates each read that could be judged missed, in ascending order.
    pub missed: Vec<u64>,
    /// The first read that missed most, as an index into `History::operations`, and how many.
    pub worst: Option<(usize, u64)>,
}

/// Counts what each read missed; keys hold `initial` at the start.
#[must_use]
pub fn versions_behind(history: &History, initial: Value) -> VersionsBehind {
    let sources = Sources::of(history, initial);
    let mut keys: Vec<Key> = history.keys.iter().map(|_| Key::default()).collect();
    for (index, operation) in (0..).zip(&history.operations) {
        let key = &mut keys[operation.key.0 as usize];
        if operation.is_acknowledged_update() {
            key.updates.push(index);
        }
        // Failed CASes that tell what they saw included.
        if observed(operation).is_some() {
            key.reads.push(index);
        }
    }
    let mut counts: Vec<(usize, u64)> = Vec::new();
    for key in &keys {
        key.count(history, &sources, &mut counts);
    }
    counts.sort_unstable();
    let worst = (counts.iter().copied())
        .reduce(|worst, next| if next.1 > worst.1 { next } else { worst })
        .filter(|(_, missed)| *missed > 0);
    let mut missed: Vec<u64> = counts.into_iter().map(|(_, missed)| missed).collect();
    missed.sort_unstable();
    let verdict = match (worst, missed.len()) {
        (Some(_), _) => Verdict::Fail,
        (None, 0) => Verdict::Unknown,
        (None, _) => Verdict::Pass,
    };
    VersionsBehind {
        verdict,
        missed,
        worst,
    }
}

impl VersionsBehind {
    /// How many updates the worst read missed.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.missed.last().copied().unwrap_or(0)
    }

    /// The nearest-rank percentile; `None` if no read could be judged.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Option<u64> {
        let rank = (self.missed.len() * percent).div_ceil(100).max(1);
        self.missed.get(rank - 1).copied()
    }

    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        let measured = match (self.percentile(50), self.percentile(99)) {
            (Some(p50), Some(p99)) => format!(
                "p50 {p50}, p99 {p99}, max {}, n {}",
                self.max(),
                self.missed.len()
            ),
            _ => "no reads".to_owned(),
        };
        let reason = match (self.worst, self.verdict) {
            (Some((_, 1)), _) => "the worst read missed an acknowledged update".to_owned(),
            (Some((_, most)), _) => format!("the worst read missed {most} acknowledged updates"),
            (None, Verdict::Unknown) => "no read could be judged".to_owned(),
            (None, Verdict::Pass | Verdict::Fail) => String::new(),
        };
        CheckResult {
            name: "stale_versions".to_owned(),
            class: Class::Safety,
            verdict: self.verdict,
            limit: "0".to_owned(),
            measured,
            reason,
        }
    }
}

/// The acknowledged updates and the observations of one key.
#[derive(Debug, Default)]
struct Key {
    updates: Vec<u32>,
    reads: Vec<u32>,
}

/// A read: it missed the updates that come at `after` or later in the order.
#[derive(Debug, Clone, Copy)]
struct Question {
    begun: u64,
    after: usize,
    read: usize,
}

impl Key {
    /// Counts by time and by version; both are lower bounds, the larger one stands.
    fn count(&self, history: &History, sources: &Sources, counts: &mut Vec<(usize, u64)>) {
        let mut by_begin: Vec<(u64, u32)> = (self.updates.iter())
            .map(|update| {
                (
                    tick(history.operations[*update as usize].invoked.0),
                    *update,
                )
            })
            .collect();
        let mut by_version: Vec<(i64, u32)> = (self.updates.iter())
            .filter_map(|update| Some((sources.version(*update)?, *update)))
            .collect();
        by_begin.sort_unstable();
        by_version.sort_unstable();
        let (mut times, mut versions) = (Vec::new(), Vec::new());
        let mut judged = Vec::new();
        for read in &self.reads {
            let operation = &history.operations[*read as usize];
            let (since, version) = match sources.source(operation) {
                Some(Source::Update(update)) => (sources.since(update), sources.version(update)),
                Some(Source::Initial) => (0, Some(i64::MIN)),
                Some(Source::Nowhere | Source::Unclear) | None => continue,
            };
            let question = |after: usize| Question {
                begun: tick(operation.invoked.0),
                after,
                read: judged.len(),
            };
            times.push(question(
                by_begin.partition_point(|(begun, _)| *begun <= since),
            ));
            if let Some(own) = version {
                versions.push(question(by_version.partition_point(|(v, _)| *v <= own)));
            }
            judged.push((*read as usize, 0));
        }
        let ends = |updates: Vec<u32>| -> Vec<u64> {
            let end = |update: u32| tick(history.operations[update as usize].completed.0);
            updates.into_iter().map(end).collect()
        };
        let times_ends = ends(by_begin.into_iter().map(|(_, update)| update).collect());
        let versions_ends = ends(by_version.into_iter().map(|(_, update)| update).collect());
        for (ends, questions) in [(times_ends, times), (versions_ends, versions)] {
            for (read, missed) in answer(&ends, questions) {
                judged[read].1 = missed.max(judged[read].1);
            }
        }
        counts.extend(judged);
    }
}

/// For each question how many of the updates from `after` on ended before it began: a tree of
/// partial sums over the order, filled as time goes on.
fn answer(ends: &[u64], mut questions: Vec<Question>) -> Vec<(usize, u64)> {
    let mut by_end: Vec<(u64, usize)> = ends.iter().copied().zip(0..).collect();
    by_end.sort_unstable();
    questions.sort_unstable_by_key(|question| question.begun);
    let mut sums = vec![0_u64; ends.len() + 1];
    let mut ended = by_end.into_iter().peekable();
    let mut all = 0;
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        while let Some((_, place)) = ended.next_if(|(end, _)| *end < question.begun) {
            all += 1;
            let mut at = place + 1;
            while at < sums.len() {
                sums[at] += 1;
                at += at & at.wrapping_neg();
            }
        }
        let (mut before, mut at) = (0, question.after);
        while at > 0 {
            before += sums[at];
            at -= at & at.wrapping_neg();
        }
        answers.push((question.read, all - before));
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::super::testing::ok;
    use super::*;
    use crate::history::Action;

    #[test]
    fn the_line_tells_the_distribution_and_the_worst() {
        let write = |value| {
            let from = value as u64 * 10;
            ok(Action::Write(Value(value)), from, from + 1, None)
        };
        let read = |value, from| ok(Action::Read, from, from + 1, Some(Value(value)));
        let mut operations: Vec<_> = (1..5).map(write).collect();
        operations.extend([read(4, 50), read(1, 60), read(3, 70)]);
        let history = History {
            keys: vec!["k1".to_owned()],
            operations,
            ..History::default()
        };
        let found = versions_behind(&history, Value::NIL);
        assert_eq!((found.worst, found.max()), (Some((5, 3)), 3));
        let line = found.result();
        assert_eq!(line.measured, "p50 1, p99 3, max 3, n 3");
        assert_eq!(line.reason, "the worst read missed 3 acknowledged updates");
    }
}

//! Stale reads: values older than a write that was acknowledged before the read began.
//!
//! A value is *overwritten* at the earliest acknowledgement of an update that certainly came after
//! it: one with a higher version, or one that began after the value had certainly been there (its
//! own write was acknowledged, or somebody had seen it). A read that begins later is stale by that
//! much. What cannot be told (a value written twice, or never) is not counted as read at all.
//!
//! A stale read and a lost write look alike from here; `lost_writes` tells them apart.

use super::{CheckResult, Class};
use crate::clock::Nanos;
use crate::history::{Action, FixedMap, History, Operation, Outcome, Value};
use crate::verdict::Verdict;

/// How stale the reads were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staleness {
    /// Pass only if no read is stale and some could be judged.
    pub verdict: Verdict,
    /// Reads that could be judged (failed CASes that tell what they saw included).
    pub reads: usize,
    /// The stale ones, in the order of invocation.
    pub stale: Vec<StaleRead>,
}

/// One stale read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleRead {
    /// As an index into `History::operations`.
    pub operation: usize,
    /// The first acknowledged update after the value read, as an index.
    pub overwritten_by: usize,
    /// From that acknowledgement to the beginning of the read.
    pub staleness: Nanos,
}

/// One register: acknowledged updates in two orders.
#[derive(Debug, Default)]
struct Timeline {
    /// By invocation; with the earliest acknowledgement from here on.
    by_begin: Vec<(u64, Acknowledged)>,
    /// By version; likewise.
    by_version: Vec<(i64, Acknowledged)>,
    /// Since when each value was certainly there (0 = before everything); `None` if it was written
    /// more than once.
    since: FixedMap<Value, Option<u64>>,
}

/// An acknowledgement: when, and of which operation.
type Acknowledged = (Nanos, usize);

/// Finds the stale reads of a history whose keys hold `initial` at the start.
#[must_use]
pub fn stale_reads(history: &History, initial: Value) -> Staleness {
    let mut keys: Vec<Timeline> = history
        .keys
        .iter()
        .map(|_| Timeline::new(initial))
        .collect();
    for (index, operation) in history.operations.iter().enumerate() {
        keys[operation.key.0 as usize].add_update(index, operation);
    }
    for operation in &history.operations {
        keys[operation.key.0 as usize].add_sight(operation);
    }
    keys.iter_mut().for_each(Timeline::settle);
    let (mut reads, mut stale) = (0, Vec::new());
    for (index, operation) in history.operations.iter().enumerate() {
        let Some(seen) = observed(operation) else {
            continue;
        };
        let timeline = &keys[operation.key.0 as usize];
        let Some(overwritten) = timeline.overwritten(seen, operation.version) else {
            continue;
        };
        reads += 1;
        if let Some((time, by)) = overwritten
            && time < operation.invoked
        {
            stale.push(StaleRead {
                operation: index,
                overwritten_by: by,
                staleness: operation.invoked.since(time),
            });
        }
    }
    let verdict = match (stale.len(), reads) {
        (1.., _) => Verdict::Fail,
        (0, 0) => Verdict::Unknown,
        (0, _) => Verdict::Pass,
    };
    Staleness {
        verdict,
        reads,
        stale,
    }
}

impl Staleness {
    /// The longest staleness.
    #[must_use]
    pub fn worst(&self) -> Option<StaleRead> {
        self.stale.iter().copied().max_by_key(|read| read.staleness)
    }

    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        let reason = match (self.verdict, self.worst()) {
            (_, Some(worst)) => format!("the worst read was stale by {}", worst.staleness),
            (Verdict::Unknown, None) => "no read could be judged".to_owned(),
            (Verdict::Pass | Verdict::Fail, None) => String::new(),
        };
        CheckResult {
            name: "stale_reads".to_owned(),
            class: Class::Safety,
            verdict: self.verdict,
            limit: "0".to_owned(),
            measured: format!("{} of {} reads", self.stale.len(), self.reads),
            reason,
        }
    }
}

impl Timeline {
    fn new(initial: Value) -> Self {
        let mut timeline = Self::default();
        timeline.since.insert(initial, Some(0));
        timeline
    }

    fn add_update(&mut self, index: usize, operation: &Operation) {
        let (Action::Write(value) | Action::Cas { to: value, .. }) = operation.action else {
            return;
        };
        let since = match operation.outcome {
            Outcome::Ok => tick(operation.completed),
            Outcome::Info => u64::MAX,
            Outcome::Fail => return,
        };
        let is_new = !self.since.contains_key(&value);
        self.since.insert(value, is_new.then_some(since));
        if operation.outcome == Outcome::Ok {
            let acknowledged = (operation.completed, index);
            self.by_begin.push((tick(operation.invoked), acknowledged));
            if let Some(version) = operation.version {
                self.by_version.push((version, acknowledged));
            }
        }
    }

    /// Somebody saw a value: it was there by then.
    fn add_sight(&mut self, operation: &Operation) {
        let is_cas = operation.outcome == Outcome::Ok;
        let seen = match operation.action {
            Action::Cas { from, .. } if is_cas => Some(from),
            _ => observed(operation),
        };
        if let Some(Some(since)) = seen.and_then(|value| self.since.get_mut(&value)) {
            *since = tick(operation.completed).min(*since);
        }
    }

    fn settle(&mut self) {
        self.by_begin.sort_unstable();
        self.by_version.sort_unstable();
        let mut earliest = (Nanos::MAX, usize::MAX);
        for (_, acknowledged) in self.by_begin.iter_mut().rev() {
            earliest = earliest.min(*acknowledged);
            *acknowledged = earliest;
        }
        earliest = (Nanos::MAX, usize::MAX);
        for (_, acknowledged) in self.by_version.iter_mut().rev() {
            earliest = earliest.min(*acknowledged);
            *acknowledged = earliest;
        }
    }

    /// When the value was overwritten for certain, if it was; the outer `None` = cannot be told.
    fn overwritten(&self, seen: Value, version: Option<i64>) -> Option<Option<Acknowledged>> {
        let since = self.since.get(&seen).copied().flatten();
        let by_time = since.map(|since| {
            let after = self.by_begin.partition_point(|(begin, _)| *begin <= since);
            self.by_begin
                .get(after)
                .map(|(_, acknowledged)| *acknowledged)
        });
        let by_version = version.map(|own| {
            let after = self.by_version.partition_point(|(other, _)| *other <= own);
            self.by_version
                .get(after)
                .map(|(_, acknowledged)| *acknowledged)
        });
        match (by_time, by_version) {
            (Some(a), Some(b)) => Some(a.into_iter().chain(b).min()),
            (one, other) => one.or(other),
        }
    }
}

/// An instant after 0, which is before everything.
const fn tick(time: Nanos) -> u64 {
    time.0.saturating_add(1)
}

/// The value that an operation saw and did not change.
fn observed(operation: &Operation) -> Option<Value> {
    match (operation.action, operation.outcome) {
        (Action::Read, Outcome::Ok) | (Action::Cas { .. }, Outcome::Fail) => operation.seen,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ok;
    use super::*;

    fn write(value: i64, from: u64, to: u64) -> Operation {
        ok(Action::Write(Value(value)), from, to, None)
    }

    fn read(value: i64, from: u64, to: u64) -> Operation {
        ok(Action::Read, from, to, Some(Value(value)))
    }

    fn judge(operations: Vec<Operation>) -> Staleness {
        let history = History {
            keys: vec!["k1".to_owned()],
            errors: vec![],
            values: crate::history::Values::default(),
            operations,
        };
        stale_reads(&history, Value::NIL)
    }

    #[test]
    fn a_read_of_an_overwritten_value_is_stale_since_the_acknowledgement() {
        let found = judge(vec![write(1, 0, 10), write(2, 20, 30), read(1, 75, 80)]);
        assert_eq!(found.verdict, Verdict::Fail);
        assert_eq!(
            found.stale,
            [StaleRead {
                operation: 2,
                overwritten_by: 1,
                staleness: Nanos(45)
            }]
        );
    }

    #[test]
    fn a_read_concurrent_with_the_overwriting_is_not_stale() {
        let found = judge(vec![write(1, 0, 10), write(2, 20, 30), read(1, 30, 80)]);
        assert_eq!((found.verdict, found.reads), (Verdict::Pass, 1));
        // The two writes are concurrent: either may have come last.
        let found = judge(vec![write(1, 0, 10), write(2, 10, 12), read(1, 75, 80)]);
        assert_eq!(found.verdict, Verdict::Pass);
    }

    #[test]
    fn a_write_of_unknown_outcome_counts_from_when_it_was_seen() {
        let info = Operation {
            outcome: Outcome::Info,
            ..write(1, 0, 10)
        };
        let late = vec![info.clone(), write(2, 20, 30), read(1, 75, 80)];
        assert_eq!(judge(late).verdict, Verdict::Pass);
        let early = vec![info, read(1, 11, 12), write(2, 20, 30), read(1, 75, 80)];
        assert_eq!(judge(early).worst().map(|worst| worst.operation), Some(3));
    }

    #[test]
    fn versions_decide_where_times_cannot() {
        let mut operations = vec![write(1, 0, 30), write(2, 0, 30), read(1, 31, 40)];
        assert_eq!(judge(operations.clone()).verdict, Verdict::Pass);
        for (operation, version) in operations.iter_mut().zip([1, 2, 1]) {
            operation.version = Some(version);
        }
        assert_eq!(judge(operations).stale.len(), 1);
    }

    #[test]
    fn absent_after_an_acknowledged_write_is_stale() {
        let nil = ok(Action::Read, 20, 30, Some(Value::NIL));
        assert_eq!(judge(vec![write(1, 0, 10), nil]).stale.len(), 1);
    }

    #[test]
    fn values_written_twice_cannot_be_judged() {
        let found = judge(vec![write(1, 0, 10), write(1, 20, 30), read(1, 75, 80)]);
        assert_eq!((found.verdict, found.reads), (Verdict::Unknown, 0));
    }
}

//! ZooKeeper's promise: linearizable updates, and clients that never go back.
//!
//! Plain reads may be served by a replica that lags. Judged for linearizability they would be
//! reported as errors; here they are held to what is promised: one order of updates that is
//! consistent with real time and that every session follows.
//!
//! *Synced* reads go through the leader or after a `sync`: they must be linearizable with the
//! updates. *Local* reads need not be fresh. A failed CAS counts as a read of its kind: systems
//! without a compare-and-set read first and then write on condition.
//!
//! *Zxid*: a version that counts the updates of all keys together. Then a session that has seen one
//! key at a version must not see another as it was before.

use std::collections::{BTreeMap, BTreeSet};

use super::linearizable::{self, Budget, Linearizability};
use super::one_order::{self, OneOrder};
use super::sessions;
use super::sources::{Source, Sources, tick};
use super::{CheckResult, Class, Evidence};
use crate::history::{History, Outcome, Value};
use crate::id::ProcessId;
use crate::model::Register;
use crate::verdict::Verdict;

/// What the reads of a history promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reads {
    /// As fresh as the replica that was asked.
    #[default]
    Local,
    /// Linearizable.
    Synced,
}

/// What the versions of a history count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// The updates of each key.
    #[default]
    PerKey,
    /// The updates of all keys.
    Zxid,
}

/// What was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// By the reads.
    pub reads: Reads,
    /// By the versions.
    pub versions: Versions,
    /// The value of every key before its first operation.
    pub initial: Value,
}

/// What became of the promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeper {
    /// Fail: a part is violated. Pass: every part that counts was decided.
    pub verdict: Verdict,
    /// The parts, each as a line of a report.
    pub parts: Vec<CheckResult>,
    /// Of the first violated part.
    pub evidence: Option<Evidence>,
}

/// Judges a history by ZooKeeper's promise.
#[must_use]
pub fn zookeeper(history: &History, promise: Promise, budget: &Budget<'_>) -> ZooKeeper {
    let sources = Sources::of(history, promise.initial);
    let (updates, mut evidence) = updates(history, promise, budget);
    let order = one_order::judge(history, &sources);
    let sessions = sessions::judge(history, &sources);
    let versions = version_order(history);
    let mut parts = vec![updates, order_result(&order)];
    // One order that every session follows implies the guarantees; here they only add a plainer
    // proof, and what versions alone show.
    let mut extras = vec![sessions.result(), versions.result("version_order")];
    evidence = evidence
        .or_else(|| sessions.evidence().cloned())
        .or(order.evidence)
        .or(versions.evidence);
    if promise.versions == Versions::Zxid {
        let across = across_keys(history, &sources);
        extras.push(across.result("across_keys"));
        evidence = evidence.or(across.evidence);
    }
    let decided = parts.iter().map(|part| part.verdict);
    let mut verdict = decided.fold(Verdict::Pass, Verdict::merge);
    if extras.iter().any(|part| part.verdict == Verdict::Fail) {
        verdict = Verdict::Fail;
    }
    parts.append(&mut extras);
    ZooKeeper {
        verdict,
        parts,
        evidence,
    }
}

impl Default for Promise {
    /// Local reads, versions per key, nothing there at the start.
    fn default() -> Self {
        Self {
            reads: Reads::default(),
            versions: Versions::default(),
            initial: Value::NIL,
        }
    }
}

impl ZooKeeper {
    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        let worst = self.parts.iter().find(|part| part.verdict == self.verdict);
        let reason = match (self.verdict, worst) {
            (Verdict::Pass, _) | (_, None) => String::new(),
            (_, Some(part)) => format!("{}: {}", part.name, part.reason),
        };
        let measured: Vec<&str> = (self.parts.iter().take(2))
            .map(|part| part.measured.as_str())
            .collect();
        line("zookeeper", self.verdict, measured.join("; "), reason)
    }
}

/// Some operations were judged, and some of them violate a rule.
#[derive(Debug, Default)]
struct Counted {
    judged: usize,
    violating: usize,
    evidence: Option<Evidence>,
}

impl Counted {
    fn violate(&mut self, evidence: impl FnOnce() -> Evidence) {
        self.violating += 1;
        if self.evidence.is_none() {
            self.evidence = Some(evidence());
        }
    }

    fn result(&self, name: &str) -> CheckResult {
        let verdict = match (self.violating, self.judged) {
            (1.., _) => Verdict::Fail,
            (0, 0) => Verdict::Unknown,
            (0, _) => Verdict::Pass,
        };
        let measured = format!("{} of {} violate it", self.violating, self.judged);
        let reason = match (&self.evidence, self.judged) {
            (Some(evidence), _) => evidence.sentence.clone(),
            (None, 0) => "the history has too few versions".to_owned(),
            (None, _) => String::new(),
        };
        line(name, verdict, measured, reason)
    }
}

/// Whether updates, and reads that promise it, are linearizable.
fn updates(
    history: &History,
    promise: Promise,
    budget: &Budget<'_>,
) -> (CheckResult, Option<Evidence>) {
    let register = Register {
        initial: promise.initial,
    };
    let judge = |history: &History| linearizable::check(history, &register, budget);
    let finish = |found: Linearizability| {
        let mut result = found.result();
        "updates".clone_into(&mut result.name);
        (result, found.evidence)
    };
    if promise.reads == Reads::Synced {
        return finish(judge(history));
    }
    let is_update = |index: &usize| {
        let operation = &history.operations[*index];
        operation.action.is_update() && operation.outcome != Outcome::Fail
    };
    let kept: Vec<usize> = (0..history.operations.len()).filter(is_update).collect();
    let part = History {
        keys: history.keys.clone(),
        errors: history.errors.clone(),
        values: history.values.clone(),
        operations: (kept.iter())
            .map(|index| history.operations[*index].clone())
            .collect(),
    };
    let mut found = judge(&part);
    if let Some(evidence) = &mut found.evidence {
        evidence.renumber(|index| kept[index]);
    }
    finish(found)
}

fn order_result(order: &OneOrder) -> CheckResult {
    let reason = match (&order.evidence, order.unclear, order.sights) {
        (Some(evidence), ..) => evidence.sentence.clone(),
        (None, _, 0) => "nobody observed anything".to_owned(),
        (None, 0, _) => String::new(),
        (None, unclear, _) => format!(
            "values that several updates wrote were seen {unclear} times, and no version tells which"
        ),
    };
    let measured = format!("{} observations by sessions", order.sights);
    line("one_order", order.verdict, measured, reason)
}

/// Whether the versions told for the updates of a key are distinct and grow with real time.
fn version_order(history: &History) -> Counted {
    let mut keys: Vec<Vec<(i64, usize)>> = history.keys.iter().map(|_| Vec::new()).collect();
    for (index, operation) in history.operations.iter().enumerate() {
        if let Some(version) = operation
            .version
            .filter(|_| operation.is_acknowledged_update())
        {
            keys[operation.key.0 as usize].push((version, index));
        }
    }
    let mut found = Counted::default();
    for versions in &mut keys {
        versions.sort_unstable();
        // The update with a lower version that began last.
        let mut latest: Option<(i64, usize)> = None;
        let mut before: Option<(i64, usize)> = None;
        for (version, index) in versions.iter().copied() {
            found.judged += 1;
            let operation = &history.operations[index];
            let twin = before.filter(|(lower, _)| *lower == version);
            before = Some((version, index));
            if let Some((_, other)) = twin {
                found.violate(|| told(history, [other, index], "both were told one version"));
            } else if let Some((_, other)) = latest
                && operation.completed < history.operations[other].invoked
            {
                let why = "the one that ended first was told the higher version";
                found.violate(|| told(history, [index, other], why));
            }
            let is_later =
                |(_, other): (i64, usize)| history.operations[other].invoked <= operation.invoked;
            if latest.is_none_or(is_later) {
                latest = Some((version, index));
            }
        }
    }
    found
}

fn told(history: &History, pair: [usize; 2], why: &str) -> Evidence {
    let tell = |index: usize| {
        let operation = &history.operations[index];
        let call = crate::model::Call::from(operation).describe(&history.values);
        let version = operation.version.unwrap_or_default();
        format!("process {}'s {call} (version {version})", operation.process)
    };
    let key = history.key_name(history.operations[pair[0]].key);
    let sentence = format!("{} and {} on {key}: {why}", tell(pair[0]), tell(pair[1]));
    Evidence::new(key.to_owned(), pair.to_vec(), sentence)
}

/// Whether a session that has seen one key at a zxid sees another as it was before.
fn across_keys(history: &History, sources: &Sources) -> Counted {
    let mut updates: Vec<BTreeSet<(i64, u32)>> =
        history.keys.iter().map(|_| BTreeSet::new()).collect();
    for (index, operation) in (0..).zip(&history.operations) {
        if let Some(version) = sources.version(index) {
            updates[operation.key.0 as usize].insert((version, index));
        }
    }
    let mut found = Counted::default();
    // What each session knows best: the zxid, who learned it, and until when the session worked.
    let mut sessions: BTreeMap<ProcessId, (i64, u32, u64)> = BTreeMap::new();
    for (index, operation) in (0..).zip(&history.operations) {
        if operation.outcome == Outcome::Info {
            continue;
        }
        let seen = match sources.source(operation) {
            Some(Source::Update(update)) => sources.version(update),
            Some(Source::Initial) => Some(i64::MIN),
            Some(Source::Nowhere | Source::Unclear) | None => None,
        };
        let session = sessions
            .entry(operation.process)
            .or_insert((i64::MIN, index, 0));
        let is_next = session.2 < tick(operation.invoked.0) && session.0 > i64::MIN;
        if let Some(seen) = seen.filter(|_| is_next) {
            found.judged += 1;
            let after = (seen, u32::MAX);
            let missed = updates[operation.key.0 as usize].range(after..).next();
            if let Some((_, update)) = missed.filter(|(version, _)| *version <= session.0) {
                let operations = [session.1, *update, index].map(|index| index as usize);
                found.violate(|| missed_update(history, operations, session.0));
            }
        }
        session.2 = tick(operation.completed.0).max(session.2);
        for version in [seen, sources.version(index)].into_iter().flatten() {
            if version > session.0 {
                (session.0, session.1) = (version, index);
            }
        }
    }
    found
}

fn missed_update(history: &History, operations: [usize; 3], zxid: i64) -> Evidence {
    let [_, update, read] = operations.map(|index| &history.operations[index]);
    let describe = |operation| crate::model::Call::from(operation).describe(&history.values);
    let key = history.key_name(read.key);
    let mut indices = operations.to_vec();
    indices.sort_unstable();
    indices.dedup();
    let sentence = format!(
        "process {} had seen zxid {zxid} on another key, then did {} on {key}, from before {} with \
         a lower zxid",
        read.process,
        describe(read),
        describe(update),
    );
    Evidence::new(key.to_owned(), indices, sentence)
}

fn line(name: &str, verdict: Verdict, measured: String, reason: String) -> CheckResult {
    CheckResult {
        name: name.to_owned(),
        class: Class::Safety,
        verdict,
        limit: String::new(),
        measured,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ok;
    use super::*;
    use crate::history::{Action, KeyId, Operation};

    fn of(process: u64, mut operation: Operation) -> Operation {
        operation.process = ProcessId(process);
        operation
    }

    fn write(value: i64, from: u64, to: u64) -> Operation {
        ok(Action::Write(Value(value)), from, to, None)
    }

    fn read(value: i64, from: u64) -> Operation {
        ok(Action::Read, from, from + 1, Some(Value(value)))
    }

    fn history(operations: Vec<Operation>) -> History {
        History {
            keys: vec!["k1".to_owned(), "k2".to_owned()],
            operations,
            ..History::default()
        }
    }

    fn judge(operations: Vec<Operation>, promise: Promise) -> ZooKeeper {
        zookeeper(&history(operations), promise, &Budget::without_clock(1))
    }

    #[test]
    fn a_stale_read_is_allowed_unless_reads_are_synced() {
        let operations = vec![
            of(1, write(1, 0, 1)),
            of(1, write(2, 10, 11)),
            of(2, read(1, 20)),
        ];
        let found = judge(operations.clone(), Promise::default());
        assert_eq!(found.verdict, Verdict::Pass);
        let synced = Promise {
            reads: Reads::Synced,
            ..Promise::default()
        };
        assert_eq!(judge(operations, synced).verdict, Verdict::Fail);
    }

    #[test]
    fn two_sessions_that_see_updates_in_different_orders_contradict_each_other() {
        let operations = vec![
            of(1, write(1, 0, 30)),
            of(2, write(2, 0, 30)),
            of(3, read(1, 10)),
            of(4, read(2, 10)),
            of(3, read(2, 20)),
            of(4, read(1, 20)),
        ];
        let found = judge(operations, Promise::default());
        let line = found.result();
        assert_eq!(line.verdict, Verdict::Fail);
        insta::assert_snapshot!(line.reason, @"one_order: no order of the updates of k1 explains what every session saw: process 3 went from 1 to 2, but process 4 went from 2 to 1");
        insta::assert_snapshot!(line.measured, @"2 operations on 1 key; 4 observations by sessions");
    }

    #[test]
    fn values_that_repeat_leave_it_unknown_and_versions_resolve_them() {
        let mut operations = vec![
            of(1, write(1, 0, 1)),
            of(1, write(2, 2, 3)),
            of(1, write(1, 4, 5)),
            of(2, read(1, 6)),
        ];
        let line = judge(operations.clone(), Promise::default()).result();
        assert_eq!(line.verdict, Verdict::Unknown);
        insta::assert_snapshot!(line.reason, @"one_order: values that several updates wrote were seen 1 times, and no version tells which");
        for (operation, version) in operations.iter_mut().zip([1, 2, 3, 1]) {
            operation.version = Some(version);
        }
        let found = judge(operations, Promise::default());
        assert_eq!(found.verdict, Verdict::Pass);
    }

    #[test]
    fn one_version_for_two_updates_is_a_lost_write() {
        let mut operations = vec![of(1, write(1, 0, 1)), of(2, write(2, 2, 3))];
        for operation in &mut operations {
            operation.version = Some(7);
        }
        let line = judge(operations, Promise::default()).result();
        insta::assert_snapshot!(line.reason, @"version_order: process 1's write 1 (version 7) and process 2's write 2 (version 7) on k1: both were told one version");
    }

    #[test]
    fn a_session_that_saw_one_key_at_a_zxid_must_not_see_another_as_before() {
        let mut operations = vec![
            of(1, write(1, 0, 1)),
            of(1, write(2, 2, 3)),
            of(2, read(2, 4)),
            of(2, read(i64::MIN, 6)),
        ];
        operations[1].key = KeyId(1);
        operations[2].key = KeyId(1);
        for (operation, version) in operations.iter_mut().zip([1, 2, 2]) {
            operation.version = Some(version);
        }
        let zxid = Promise {
            versions: Versions::Zxid,
            ..Promise::default()
        };
        let line = judge(operations.clone(), zxid).result();
        insta::assert_snapshot!(line.reason, @"across_keys: process 2 had seen zxid 2 on another key, then did read → nil on k1, from before write 1 with a lower zxid");
        // Versions of each key say nothing across keys.
        assert_ne!(judge(operations, Promise::default()).verdict, Verdict::Fail);
    }
}

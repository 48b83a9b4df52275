//! The registry of weaker promises: what a history can be judged by besides linearizability.

use super::linearizable::Budget;
use super::zookeeper::{Promise, Reads, zookeeper};
use super::{CheckResult, Evidence, session_guarantees, time_behind, versions_behind};
use crate::history::{History, Value};
use crate::model::Call;

/// What the check of a weaker promise found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeakFound {
    /// The lines of the report; the first sums up the others.
    pub checks: Vec<CheckResult>,
    /// Of the first violation.
    pub evidence: Option<Evidence>,
}

/// Judges a history whose keys are absent at the start.
pub type WeakCheck = fn(&History, &Budget<'_>) -> WeakFound;

/// Every weaker promise: its name, what it says, and its check.
pub const WEAK: &[(&str, &str, WeakCheck)] = &[
    (
        "zookeeper",
        "linearizable updates, and sessions that never go back; reads may be stale",
        |history, budget| by_zookeeper(history, Reads::Local, budget),
    ),
    (
        "zookeeper_synced",
        "the same with reads that were synced first: they must be fresh",
        |history, budget| by_zookeeper(history, Reads::Synced, budget),
    ),
    (
        "sessions",
        "each session sees its own writes, never goes back, and writes in order",
        by_sessions,
    ),
    (
        "staleness",
        "how many updates the reads missed, and how far in time they lagged",
        by_staleness,
    ),
];

fn by_zookeeper(history: &History, reads: Reads, budget: &Budget<'_>) -> WeakFound {
    let promise = Promise {
        reads,
        ..Promise::default()
    };
    let found = zookeeper(history, promise, budget);
    let mut checks = vec![found.result()];
    checks.extend(found.parts);
    WeakFound {
        checks,
        evidence: found.evidence,
    }
}

fn by_sessions(history: &History, _: &Budget<'_>) -> WeakFound {
    let found = session_guarantees(history, Value::NIL);
    let mut checks = vec![found.result()];
    checks.extend(found.guarantees.iter().map(super::GuaranteeFound::result));
    WeakFound {
        evidence: found.evidence().cloned(),
        checks,
    }
}

fn by_staleness(history: &History, budget: &Budget<'_>) -> WeakFound {
    let versions = versions_behind(history, Value::NIL);
    let time = time_behind(history, Value::NIL, budget);
    let worst = (versions.worst)
        .map(|(index, missed)| (index, format!("missed {missed} acknowledged updates")));
    let latest =
        (time.attained_by).map(|index| (index, format!("had to be moved back by {}", time.delta)));
    let evidence = worst.or(latest).map(|(index, how)| {
        let read = &history.operations[index];
        let key = history.key_name(read.key);
        let call = Call::from(read).describe(&history.values);
        Evidence {
            key: key.to_owned(),
            operations: vec![index],
            sentence: format!("process {}'s {call} on {key} {how}", read.process),
            attempt: None,
        }
    });
    WeakFound {
        checks: vec![versions.result(), time.result()],
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ok;
    use super::*;
    use crate::history::Action;
    use crate::verdict::Verdict;

    #[test]
    fn every_check_sums_up_and_a_history_without_operations_is_unknown() {
        let budget = Budget::without_clock(1);
        for (name, summary, check) in WEAK {
            assert!(!summary.is_empty());
            let found = check(&History::default(), &budget);
            assert_eq!(found.checks[0].verdict, Verdict::Unknown, "{name}");
            assert!(!found.checks[0].reason.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_stale_read_is_told_by_number_and_time() {
        let write = |value: i64, from| ok(Action::Write(Value(value)), from, from + 1, None);
        let read = ok(Action::Read, 75, 80, Some(Value(1)));
        let history = History {
            keys: vec!["k1".to_owned()],
            operations: vec![write(1, 10), write(2, 20), read],
            ..History::default()
        };
        let found = by_staleness(&history, &Budget::without_clock(1));
        let lines: Vec<String> = (found.checks.iter())
            .map(|line| format!("{}: {} ({})", line.name, line.measured, line.reason))
            .collect();
        insta::assert_snapshot!(lines[0], @"stale_versions: p50 1, p99 1, max 1, n 1 (the worst read missed an acknowledged update)");
        insta::assert_snapshot!(lines[1], @"stale_time: 54 ns on 1 key (reads must be moved back by 54 ns)");
        let sentence = found.evidence.map(|evidence| evidence.sentence);
        insta::assert_snapshot!(sentence.unwrap_or_default(), @"process 0's read → 1 on k1 missed 1 acknowledged updates");
    }
}

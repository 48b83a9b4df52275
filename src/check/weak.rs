//! The registry of weaker promises: what a history can be judged by besides linearizability.

use super::linearizable::Budget;
use super::zookeeper::{Promise, Reads, zookeeper};
use super::{CheckResult, Evidence, session_guarantees, time_behind, versions_behind};
use crate::history::{History, Value};

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
    let evidence = versions.worst.map(|(index, missed)| {
        let read = &history.operations[index];
        let key = history.key_name(read.key);
        let call = crate::model::Call::from(read).describe(&history.values);
        Evidence {
            key: key.to_owned(),
            operations: vec![index],
            sentence: format!(
                "process {} did {call} on {key} and missed {missed} acknowledged updates",
                read.process
            ),
        }
    });
    WeakFound {
        checks: vec![versions.result(), time.result()],
        evidence,
    }
}

//! Percentiles of few samples, and the latency of one operation.
//!
//! Few samples (one per trial) are ranked exactly; many (one per operation) go to histograms.

use crate::clock::Nanos;
use crate::history::{Action, Operation, Outcome};

/// Samples in ascending order.
#[derive(Debug, Clone)]
pub(super) struct Ranked(Vec<f64>);

impl Ranked {
    pub(super) fn new(samples: &[f64]) -> Self {
        let mut sorted: Vec<f64> = samples.iter().copied().filter(|s| !s.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Self(sorted)
    }

    /// The smallest sample that at least `per_mille` of 1000 samples do not exceed: nearest rank,
    /// so that every figure shown was really measured, and the same as assertions are judged by.
    pub(super) fn at(&self, per_mille: usize) -> Option<f64> {
        let rank = (self.0.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.0.get(rank).copied()
    }

    pub(super) fn max(&self) -> Option<f64> {
        self.0.last().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// How an operation ended, as the charts tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Ok,
    /// A compare-and-set that was answered: the value was another one. It fails, and nothing is
    /// wrong.
    Differs,
    Info,
    Fail,
}

impl Ending {
    pub(super) fn of(operation: &Operation) -> Self {
        let answered = matches!(operation.action, Action::Cas { .. }) && operation.seen.is_some();
        match operation.outcome {
            Outcome::Ok => Self::Ok,
            Outcome::Info => Self::Info,
            Outcome::Fail if answered => Self::Differs,
            Outcome::Fail => Self::Fail,
        }
    }
}

/// From the instant it was meant to start to its completion; an operation that never completed
/// has the time-out, the least it can have taken.
pub(super) fn latency(operation: &Operation, timeout: Nanos) -> Nanos {
    if operation.completed == Nanos::MAX {
        timeout
    } else {
        operation.completed - operation.latency_origin()
    }
}

/// When an operation was over, for charts: its completion, or the end of its client's patience.
pub(super) fn over(operation: &Operation, timeout: Nanos) -> Nanos {
    if operation.completed == Nanos::MAX {
        operation.latency_origin() + timeout
    } else {
        operation.completed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cas_that_was_answered_is_no_failure_in_a_chart() {
        let mut history = crate::report::sample::small().history;
        let nil = history.values.text("other");
        let mut operation = history.operations.remove(0);
        (operation.outcome, operation.seen) = (Outcome::Fail, Some(nil));
        operation.action = Action::Cas { from: nil, to: nil };
        assert_eq!(Ending::of(&operation), Ending::Differs);
        operation.seen = None;
        assert_eq!(Ending::of(&operation), Ending::Fail);
        (operation.action, operation.seen) = (Action::Read, Some(nil));
        assert_eq!(Ending::of(&operation), Ending::Fail);
    }

    #[test]
    fn a_percentile_is_always_a_sample() {
        let ranked = Ranked::new(&[30.0, 10.0, 20.0]);
        assert_eq!(ranked.at(0), Some(10.0));
        assert_eq!(ranked.at(500), Some(20.0));
        assert_eq!(ranked.at(990), Some(30.0));
        assert_eq!(ranked.max(), Some(30.0));
        assert_eq!(Ranked::new(&[]).at(500), None);
        assert_eq!(Ranked::new(&[f64::NAN]).len(), 0);
    }
}

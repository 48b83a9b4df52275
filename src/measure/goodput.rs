//! Service as before: baseline, the return to it, and the operations lost on the way.
//!
//! *Window*: 500 ms. *Goodput*: answered operations; a CAS that saw another value was answered.
//! *Error*: an operation without a certain answer, or refused. *Baseline* of a fault: the latest
//! seconds of load before it in which no fault was in force or in its aftermath. Trials may leave
//! only fractions of a window between them, so it is a mean over that time, not over windows; and
//! what was meant to start in that time counts, not what ended in it, lest a backlog of the last
//! fault pass for normal service.

use crate::clock::Nanos;
use crate::history::{Action, History, Operation, Outcome};

use super::spans::{Span, Spans};

/// The operations of the load.
#[derive(Debug)]
pub(super) struct Completions {
    /// Those that ended within it, in the order of their completion.
    done: Vec<Completion>,
    /// All, in the order of their intended start.
    meant: Vec<Completion>,
    load: Span,
}

#[derive(Debug, Clone, Copy)]
struct Completion {
    /// The instant by which its list is ordered.
    at: Nanos,
    latency: Nanos,
    answered: bool,
}

/// Service without faults, per window of [`WINDOW`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Baseline {
    /// Operations meant to start in a window that were answered.
    pub(super) goodput: f64,
    /// p99 of latency.
    pub(super) p99: Nanos,
    /// Share of operations that were errors.
    pub(super) errors: f64,
}

impl Completions {
    pub(super) fn new(history: &History, load: Span) -> Self {
        let mut done = Vec::new();
        let mut meant = Vec::new();
        for operation in &history.operations {
            let origin = operation.latency_origin();
            let of = |at: Nanos| Completion {
                at,
                latency: operation.completed.since(origin),
                answered: is_answered(operation),
            };
            if load.contains(operation.completed) {
                done.push(of(operation.completed));
            }
            if load.contains(origin) {
                meant.push(of(origin));
            }
        }
        done.sort_by_key(|completion| completion.at);
        meant.sort_by_key(|completion| completion.at);
        Self { done, meant, load }
    }

    /// The baseline before `origin`; `None` if there was too little undisturbed load.
    pub(super) fn baseline(&self, origin: Nanos, disturbed: &Spans) -> Option<Baseline> {
        let before = Span::new(self.load.from, origin.min(self.load.to));
        let clean: Vec<Span> = disturbed.complement(before).iter().collect();
        let mut length = Nanos::ZERO;
        let mut meant = Vec::new();
        for span in clean.into_iter().rev() {
            let wanted = BASELINE_MOST.since(length);
            let from = span.from.max(span.to.since(wanted));
            meant.extend_from_slice(within(&self.meant, from, span.to));
            length = length + span.to.since(from);
        }
        let answered = real(answered(&meant));
        (length >= BASELINE_LEAST && answered > 0.0).then(|| Baseline {
            goodput: answered * WINDOW.as_secs_f64() / length.as_secs_f64(),
            p99: p99(&meant),
            errors: errors(&meant),
        })
    }

    /// The smallest t from `origin` on, in steps of 50 ms, from which service was as in the
    /// baseline for 3 s that end by `limit`.
    pub(super) fn steady_again(
        &self,
        origin: Nanos,
        limit: Nanos,
        baseline: Baseline,
    ) -> Option<Nanos> {
        let starts = limit.since(origin + WINDOW).0 / STEP.0 + 1;
        if limit < origin + WINDOW {
            return None;
        }
        let good: Vec<bool> = (0..starts)
            .map(|step| {
                let from = origin + Nanos(step * STEP.0);
                is_as_before(within(&self.done, from, from + WINDOW), baseline)
            })
            .collect();
        let stride = usize::try_from(WINDOW.0 / STEP.0).unwrap_or(1);
        let held = |start: usize| {
            (0..HOLD_WINDOWS).all(|window| good.get(start + window * stride) == Some(&true))
        };
        (0..good.len())
            .find(|&start| held(start))
            .map(|start| Nanos(start as u64 * STEP.0))
    }

    /// Operations lost within `[from, to)` against the baseline; never negative, because a
    /// backlog answered later is not a gain.
    pub(super) fn lost(&self, from: Nanos, to: Nanos, baseline: Baseline) -> f64 {
        let windows = to.since(from).as_secs_f64() / WINDOW.as_secs_f64();
        let expected = baseline.goodput * windows;
        (expected - real(answered(within(&self.done, from, to)))).max(0.0)
    }
}

/// Those of `[from, to)` in an ordered list.
fn within(list: &[Completion], from: Nanos, to: Nanos) -> &[Completion] {
    let first = list.partition_point(|completion| completion.at < from);
    let last = list.partition_point(|completion| completion.at < to);
    &list[first..last.max(first)]
}

fn is_answered(operation: &Operation) -> bool {
    match operation.outcome {
        Outcome::Ok => true,
        Outcome::Fail => {
            matches!(operation.action, Action::Cas { .. })
                && (operation.seen.is_some() || operation.error.is_none())
        }
        Outcome::Info => false,
    }
}

fn is_as_before(window: &[Completion], baseline: Baseline) -> bool {
    real(answered(window)) >= 0.9 * baseline.goodput
        && p99(window).0 <= 2 * baseline.p99.0
        && errors(window) <= baseline.errors + 0.001
}

fn answered(window: &[Completion]) -> usize {
    window
        .iter()
        .filter(|completion| completion.answered)
        .count()
}

fn errors(window: &[Completion]) -> f64 {
    if window.is_empty() {
        return 0.0;
    }
    1.0 - real(answered(window)) / real(window.len())
}

/// Nearest rank; zero of nothing.
fn p99(window: &[Completion]) -> Nanos {
    let mut latencies: Vec<Nanos> = window.iter().map(|completion| completion.latency).collect();
    if latencies.is_empty() {
        return Nanos::ZERO;
    }
    let rank = (latencies.len() * 99).div_ceil(100) - 1;
    *latencies.select_nth_unstable(rank).1
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of operations is far below 2^53"
)]
const fn real(count: usize) -> f64 {
    count as f64
}

const WINDOW: Nanos = Nanos::from_millis(500);
/// Resolution of recover.steady.
const STEP: Nanos = Nanos::from_millis(50);
/// Service must be as before for this many windows in a row: 3 s.
const HOLD_WINDOWS: usize = 6;
/// A baseline looks at the latest clean time up to this much.
const BASELINE_MOST: Nanos = Nanos::from_secs(3);
/// Less clean time than this says nothing about the service.
const BASELINE_LEAST: Nanos = Nanos::from_millis(100);

#[cfg(test)]
mod tests {
    use super::super::stream::{Stream, ms};
    use super::*;

    /// 100 op/s of 1 ms, nothing from 3 s to 3.7 s.
    fn dip() -> Stream {
        let mut s = Stream::steady(3);
        s.phase(30, "load");
        s.writes(40, 3000, 10);
        s.kill(3000, 1);
        s.writes(3700, 9000, 10);
        s.phase(9000, "drain");
        s
    }

    #[test]
    fn steady_is_when_six_windows_in_a_row_are_as_before() {
        let measured = dip().measure();
        // From 3.7 s on all windows are full; one that begins 50 ms earlier holds 45 of 50.
        assert_eq!(measured.trials[0].recover_steady, Some(ms(650)));
        let lost = measured.trials[0].goodput_dip.unwrap();
        assert!((67.0..=71.0).contains(&lost), "{lost}");
    }

    #[test]
    fn a_relapse_within_three_seconds_starts_the_count_again() {
        let mut s = dip();
        for at in 5000..5020 {
            s.write(at, at + 100, Outcome::Info);
        }
        let steady = s.measure().trials[0].recover_steady.unwrap();
        assert!((ms(2080)..=ms(2150)).contains(&steady), "{steady}");
    }

    #[test]
    fn slow_answers_and_errors_are_not_service_as_before() {
        // Full goodput all the time, but until 5 s also one slow answer or error every 40 ms.
        let steady = |outcome: Outcome, took: u64| {
            let mut s = Stream::steady(3);
            s.writes(40, 9000, 10);
            s.kill(3000, 1);
            for at in (3000..5000).step_by(40) {
                s.write(at, at + took, outcome);
            }
            s.phase(9000, "drain");
            s.measure().trials[0].recover_steady
        };
        assert_eq!(steady(Outcome::Ok, 1), Some(ms(0)));
        assert_eq!(steady(Outcome::Ok, 9), Some(ms(2000)));
        assert_eq!(steady(Outcome::Info, 1), Some(ms(2000)));
    }

    #[test]
    fn a_window_too_short_to_tell_is_censored() {
        let mut s = dip();
        s.kill(5000, 2);
        let measured = s.measure();
        assert_eq!(measured.trials[0].recover_steady, None);
        assert_eq!(measured.metrics["recover.steady"].samples[0], 2000e6);
        assert!(measured.metrics["recover.steady"].censored >= 1);
    }

    #[test]
    fn the_baseline_skips_disturbed_time() {
        let s = dip();
        let completions = Completions::new(s.history(), Span::new(ms(30), ms(9000)));
        let disturbed = [Span::new(ms(3000), ms(4000))].into_iter().collect();
        let after = completions.baseline(ms(4300), &disturbed).unwrap();
        assert!((after.goodput - 50.0).abs() < 1.5, "{after:?}");
        assert_eq!(after.p99, ms(1));
        assert_eq!(completions.baseline(ms(100), &disturbed), None);
    }

    #[test]
    fn short_gaps_between_disturbances_add_up_to_a_baseline() {
        let mut s = Stream::steady(3);
        s.writes(0, 1000, 10);
        let completions = Completions::new(s.history(), Span::new(ms(0), ms(1000)));
        let disturbed = [(0, 200), (300, 600), (700, 900)]
            .map(|(from, to)| Span::new(ms(from), ms(to)))
            .into_iter()
            .collect();
        let found = completions.baseline(ms(1000), &disturbed).unwrap();
        assert!((found.goodput - 50.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_backlog_worked_off_after_a_fault_is_no_part_of_the_baseline() {
        let mut s = Stream::steady(3);
        s.writes(600, 1000, 10);
        let mut history = s.history().clone();
        // A second worth of operations meant for the fault, all answered right after it.
        for at in (0..600).step_by(10) {
            let mut late = history.operations[0].clone();
            late.intended = Some(ms(at));
            history.operations.push(late);
        }
        let completions = Completions::new(&history, Span::new(ms(0), ms(1000)));
        let disturbed = [Span::new(ms(0), ms(600))].into_iter().collect();
        let found = completions.baseline(ms(1000), &disturbed).unwrap();
        assert!((found.goodput - 50.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_cas_that_saw_another_value_was_answered() {
        use crate::history::Value;
        let mut s = Stream::steady(3);
        let cas = Action::Cas {
            from: Value(1),
            to: Value(2),
        };
        s.operation(cas, ms(100), ms(101), Outcome::Fail);
        s.operation(cas, ms(102), ms(103), Outcome::Info);
        s.write(104, 105, Outcome::Fail);
        let completions = Completions::new(s.history(), Span::new(ms(0), ms(500)));
        assert_eq!(answered(within(&completions.done, ms(0), ms(500))), 1);
    }
}

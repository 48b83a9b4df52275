//! Latency as histograms: nanoseconds, three significant digits, from the intended start.
//!
//! *Phase* of an operation: `fault` if it was in flight between a fault and the end of that
//! fault's window, else `steady`. Nothing slow or failed is dropped: an operation that was given
//! up counts with the time until then, one without completion with the time until the end.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::clock::Nanos;
use crate::history::{Event, History, Operation};

use super::Context;
use super::record::LatencySummary;
use super::spans::{Span, Spans};
use super::timeline::Timeline;

/// Histograms by op kind (`all`, `read`, `write`, `cas`), then by phase (`all`, `steady`,
/// `fault`).
pub type LatencyHistograms = BTreeMap<&'static str, BTreeMap<&'static str, Histogram<u64>>>;

/// The latencies of operations that ended within one interval, by op kind (`all` included).
#[derive(Debug)]
pub struct LatencyInterval {
    /// Its beginning.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
    /// By op kind: `all`, `read`, `write`, `cas`; only those that occurred.
    pub histograms: BTreeMap<&'static str, Histogram<u64>>,
}

/// The latency of every operation that began under load, by op kind and phase.
#[must_use]
pub fn latency_histograms(
    history: &History,
    events: &[Event],
    context: &Context,
) -> LatencyHistograms {
    let timeline = Timeline::new(events, context);
    histograms(history, &timeline)
}

/// Calls `each` for every interval of length `every` from the begin of the load to its end, in
/// order, empty ones included. One interval is in memory at a time.
///
/// # Panics
/// If `every` is zero.
pub fn latency_intervals(
    history: &History,
    events: &[Event],
    context: &Context,
    every: Nanos,
    each: &mut dyn FnMut(&LatencyInterval),
) {
    assert!(every > Nanos::ZERO, "an interval has a length");
    let timeline = Timeline::new(events, context);
    let load = timeline.load;
    let mut done: Vec<(Nanos, &Operation)> = under_load(history, load)
        .map(|operation| (operation.completed.min(load.to), operation))
        .collect();
    done.sort_by_key(|(completed, _)| *completed);
    let mut rest = done.as_slice();
    let mut from = load.from;
    while from < load.to || !rest.is_empty() {
        let to = from + every;
        let count = rest.partition_point(|(completed, _)| *completed < to);
        let (now, later) = rest.split_at(count);
        rest = later;
        let mut interval = LatencyInterval {
            from,
            to,
            histograms: BTreeMap::new(),
        };
        for (_, operation) in now {
            for kind in ["all", operation.action.word()] {
                let histogram = interval.histograms.entry(kind).or_insert_with(empty);
                record(histogram, latency(operation, load.to));
            }
        }
        each(&interval);
        from = to;
    }
}

pub(super) fn histograms(history: &History, timeline: &Timeline<'_>) -> LatencyHistograms {
    let faults: Spans = timeline
        .faults
        .iter()
        .filter(|fault| !fault.missed)
        .map(|fault| Span::new(fault.asked_at, Nanos(fault.end.0 + 1)))
        .collect();
    let mut all = LatencyHistograms::new();
    for operation in under_load(history, timeline.load) {
        let end = operation.completed.min(timeline.load.to);
        let phase = if faults.touches(operation.latency_origin(), end) {
            "fault"
        } else {
            "steady"
        };
        let nanos = latency(operation, timeline.load.to);
        for kind in ["all", operation.action.word()] {
            let phases = all.entry(kind).or_default();
            for phase in ["all", phase] {
                record(phases.entry(phase).or_insert_with(empty), nanos);
            }
        }
    }
    all
}

/// The figures that reports print.
pub(super) fn summaries(
    histograms: &LatencyHistograms,
) -> BTreeMap<String, BTreeMap<String, LatencySummary>> {
    let phases = |phases: &BTreeMap<&'static str, Histogram<u64>>| {
        phases
            .iter()
            .map(|(phase, one)| ((*phase).to_owned(), summary(one)))
            .collect()
    };
    histograms
        .iter()
        .map(|(kind, by_phase)| ((*kind).to_owned(), phases(by_phase)))
        .collect()
}

fn summary(histogram: &Histogram<u64>) -> LatencySummary {
    LatencySummary {
        n: histogram.len(),
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
    }
}

fn under_load(history: &History, load: Span) -> impl Iterator<Item = &Operation> {
    history
        .operations
        .iter()
        .filter(move |operation| load.contains(operation.invoked))
}

fn latency(operation: &Operation, load_end: Nanos) -> u64 {
    let end = if operation.completed == Nanos::MAX {
        load_end
    } else {
        operation.completed
    };
    end.since(operation.latency_origin()).0.clamp(1, LONGEST)
}

fn empty() -> Histogram<u64> {
    Histogram::new(3).expect("three significant digits are allowed")
}

fn record(histogram: &mut Histogram<u64>, nanos: u64) {
    histogram
        .record(nanos)
        .expect("the histogram grows to every value up to an hour");
}

/// An hour in nanoseconds: longer than any time-out.
const LONGEST: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use crate::history::{Action, Outcome, TrialOutcome};

    use super::super::stream::{Stream, ms};
    use super::*;

    #[test]
    fn an_operation_in_flight_during_a_fault_belongs_to_it() {
        let mut s = Stream::steady(3);
        s.write(100, 101, Outcome::Ok);
        s.write(990, 1500, Outcome::Info);
        s.kill(1000, 1);
        s.write(1010, 1012, Outcome::Ok);
        s.operation(Action::Read, ms(1020), Nanos::MAX, Outcome::Info);
        s.phase(2000, "drain");
        s.write(2001, 2002, Outcome::Ok);
        let latency = s.measure().latency;
        assert_eq!(latency["write"]["steady"].n, 1);
        assert_eq!(latency["write"]["fault"].n, 2);
        assert_eq!(latency["all"]["all"].n, 4);
        let close = |got: u64, want: u64| got.abs_diff(want) <= want / 1000;
        assert!(close(latency["write"]["fault"].max, 510_000_000));
        assert!(close(latency["read"]["all"].max, 980_000_000));
    }

    #[test]
    fn an_operation_begun_during_a_fault_belongs_to_it_even_if_it_ends_later() {
        let mut s = Stream::steady(3);
        s.trial_begin(900, 1);
        s.kill(1000, 1);
        s.trial_end(1200, 1, TrialOutcome::Completed);
        s.write(1100, 1300, Outcome::Ok);
        s.write(1250, 1300, Outcome::Ok);
        s.phase(2000, "drain");
        let latency = s.measure().latency;
        assert_eq!(latency["write"]["fault"].n, 1);
        assert_eq!(latency["write"]["steady"].n, 1);
    }

    #[test]
    fn latency_counts_from_the_intended_start() {
        let mut s = Stream::steady(3);
        s.write(100, 101, Outcome::Ok);
        let mut history = s.history().clone();
        history.operations[0].intended = Some(ms(40));
        s.phase(500, "drain");
        let all = latency_histograms(&history, s.events(), s.context());
        assert!(all["write"]["all"].max() >= 60_900_000);
    }

    #[test]
    fn intervals_cover_the_load_without_gaps_and_hold_every_operation_once() {
        let mut s = Stream::steady(3);
        s.writes(40, 3500, 10);
        s.operation(Action::Read, ms(100), Nanos::MAX, Outcome::Info);
        s.phase(3500, "drain");
        let (mut next, mut total) = (ms(30), 0);
        latency_intervals(
            s.history(),
            s.events(),
            s.context(),
            ms(1000),
            &mut |interval| {
                assert_eq!(interval.from, next);
                next = interval.to;
                total += interval.histograms.get("all").map_or(0, Histogram::len);
            },
        );
        assert!(next >= ms(3500));
        assert_eq!(total, s.history().operations.len() as u64);
    }
}

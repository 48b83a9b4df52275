//! Judging an assertion by what was measured.
//!
//! *Judgement*: a verdict with its reason. Invariants: what has no samples is unknown, never
//! passed; a censored sample can break a limit but never keep one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::verdict::Verdict;

use super::bounds::{Bounds, bounds, compare, precise};
use super::contrast::{Measured, within};
use super::metric::{Aggregate, Class, MetricInfo, Sampling};
use super::objective::{Assertion, Comparator, Comparison, Subject, Within};
use super::record::{LatencySummary, Measurements, Metric, Unit};

/// What a checker concluded, by the name of its predicate (`linearizable`, `zookeeper`,
/// `converged` …) or of its metric (`lost_writes`, `stale_reads`, `stale_versions` …).
pub type Predicates = BTreeMap<String, Predicate>;

/// The conclusion of one checker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predicate {
    /// Its verdict. For a metric: `Unknown` if its count may be too low.
    pub verdict: Verdict,
    /// What was looked at, for people: `32 keys, 119396 ops, 0.08 s`.
    pub measured: String,
    /// Why it failed or is unknown; empty when passed.
    pub reason: String,
    /// How many were found, for a metric.
    pub count: Option<u64>,
}

/// What became of one assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The assertion as written.
    pub name: String,
    /// The conclusion.
    pub verdict: Verdict,
    /// The limit, for people: `<= 2s`; empty for a predicate.
    pub limit: String,
    /// What was measured, for people: `41.0 ms, n 10`.
    pub measured: String,
    /// Why it failed or is unknown; empty when passed.
    pub reason: String,
    /// Decides the exit code.
    pub class: Class,
}

/// Judges one assertion.
#[must_use]
pub fn evaluate(
    assertion: &Assertion,
    measurements: &Measurements,
    predicates: &Predicates,
) -> Judgement {
    let (limit, finding) = match &assertion.subject {
        Subject::Predicate { name, .. } => (String::new(), judge_predicate(name, predicates)),
        Subject::Comparison(comparison) => (
            format!("{} {}", comparison.op.symbol(), comparison.limit_text),
            judge_comparison(comparison, measurements, predicates),
        ),
        Subject::Within(within) => (
            limit_of(within),
            Finding::unknown("there is no baseline to compare with"),
        ),
    };
    finding.on(assertion, limit)
}

/// Judges one assertion, which may be about a baseline.
#[must_use]
pub fn evaluate_beside(
    assertion: &Assertion,
    measured: &Measured,
    baseline: &Measured,
) -> Option<Judgement> {
    let Subject::Within(within) = &assertion.subject else {
        return None;
    };
    let finding = within::judge(within, measured, baseline);
    Some(finding.on(assertion, limit_of(within)))
}

fn limit_of(within: &Within) -> String {
    format!("within {:.0}% of baseline", within.tolerance * 100.0)
}

/// A verdict in the making.
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) measured: String,
    pub(super) reason: String,
}

impl Finding {
    pub(super) const fn of(verdict: Verdict, measured: String, reason: String) -> Self {
        Self {
            verdict,
            measured,
            reason,
        }
    }

    fn on(self, assertion: &Assertion, limit: String) -> Judgement {
        Judgement {
            name: assertion.text.clone(),
            verdict: self.verdict,
            limit,
            measured: self.measured,
            reason: self.reason,
            class: assertion.class(),
        }
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Unknown,
            measured: String::new(),
            reason: reason.into(),
        }
    }
}

fn judge_predicate(name: &str, predicates: &Predicates) -> Finding {
    match predicates.get(name) {
        None => Finding::unknown(format!("`{name}` was not checked")),
        Some(predicate) => Finding {
            verdict: predicate.verdict,
            measured: predicate.measured.clone(),
            reason: predicate.reason.clone(),
        },
    }
}

fn judge_comparison(
    comparison: &Comparison,
    measurements: &Measurements,
    predicates: &Predicates,
) -> Finding {
    let info = comparison.metric;
    if let Some(predicate) = predicates.get(info.name) {
        return judge_checked(comparison, predicate);
    }
    if info.sampling == Sampling::Histogram {
        return judge_latency(comparison, measurements);
    }
    let Some(metric) = measurements.metrics.get(info.name) else {
        return Finding::unknown(not_measured(info));
    };
    judge_samples(comparison, metric)
}

/// A metric that a checker counted.
fn judge_checked(comparison: &Comparison, predicate: &Predicate) -> Finding {
    let finding = Finding {
        verdict: predicate.verdict,
        measured: predicate.measured.clone(),
        reason: predicate.reason.clone(),
    };
    let Some(count) = predicate.count else {
        // Without a number only the strictest limit can be judged by the verdict alone.
        let strictest = comparison.limit == 0.0
            && matches!(comparison.op, Comparator::Equal | Comparator::AtMost);
        return if strictest || finding.verdict == Verdict::Unknown {
            finding
        } else {
            Finding::unknown(format!("`{}` was not counted", comparison.metric.name))
        };
    };
    let low = precise(count);
    let high = if predicate.verdict == Verdict::Unknown {
        f64::INFINITY
    } else {
        low
    };
    let verdict = compare(comparison.op, Bounds { low, high }, comparison.limit);
    Finding {
        verdict,
        measured: if finding.measured.is_empty() {
            count.to_string()
        } else {
            finding.measured
        },
        reason: match verdict {
            Verdict::Pass => String::new(),
            _ if !finding.reason.is_empty() => finding.reason,
            _ => missed(comparison, &count.to_string()),
        },
    }
}

fn judge_latency(comparison: &Comparison, measurements: &Measurements) -> Finding {
    let name = comparison.metric.name;
    let mut parts = name.split('.').skip(1);
    let op = parts.next().unwrap_or("all");
    let phase = parts.next().unwrap_or("all");
    let summary = measurements
        .latency
        .get(op)
        .and_then(|phases| phases.get(phase));
    let Some(summary) = summary.filter(|summary| summary.n > 0) else {
        return Finding::unknown(format!("no operation was recorded for `{name}`"));
    };
    let value = precise(latency_value(summary, comparison.aggregate));
    let shown = show(comparison, value);
    let verdict = compare(
        comparison.op,
        Bounds {
            low: value,
            high: value,
        },
        comparison.limit,
    );
    Finding {
        verdict,
        measured: format!("{shown}, n {}", summary.n),
        reason: reason(comparison, verdict, &shown),
    }
}

const fn latency_value(summary: &LatencySummary, aggregate: Aggregate) -> u64 {
    match aggregate {
        Aggregate::P50 => summary.p50,
        Aggregate::P90 => summary.p90,
        Aggregate::P99 => summary.p99,
        Aggregate::P999 => summary.p999,
        Aggregate::Count => summary.n,
        Aggregate::Max | Aggregate::Min | Aggregate::Mean | Aggregate::Total => summary.max,
    }
}

/// Why nothing can be said if more than half of the trials were noisy.
pub(super) fn too_noisy(metric: &Metric) -> Option<String> {
    let all = metric.noisy + metric.samples.len();
    let noisy = metric.noisy;
    (noisy * 2 > all).then(|| {
        format!(
            "the harness was late in {noisy} of {all} trials: their timing is not to be trusted"
        )
    })
}

fn judge_samples(comparison: &Comparison, metric: &Metric) -> Finding {
    let info = comparison.metric;
    let n = metric.samples.len();
    if let Some(reason) = too_noisy(metric) {
        return Finding::unknown(reason);
    }
    if metric.samples.is_empty() && !is_zero_without_samples(info, comparison.aggregate) {
        return Finding::unknown(not_measured(info));
    }
    let bounds = bounds(metric, comparison.aggregate);
    let verdict = compare(comparison.op, bounds, comparison.limit);
    let shown = if bounds.high > bounds.low {
        format!(">= {}", show(comparison, bounds.low))
    } else {
        show(comparison, bounds.low)
    };
    let mut measured = shown.clone();
    if info.sampling != Sampling::Run && comparison.aggregate != Aggregate::Count {
        measured.push_str(&format!(", n {n}"));
    }
    if metric.censored > 0 {
        measured.push_str(&format!(", {} censored", metric.censored));
    }
    if metric.noisy > 0 {
        measured.push_str(&format!(", {} noisy left out", metric.noisy));
    }
    Finding {
        verdict,
        measured,
        reason: match verdict {
            Verdict::Unknown => format!(
                "{} of {n} trials ended before it happened: the truth may lie beyond the limit",
                metric.censored
            ),
            Verdict::Pass | Verdict::Fail => reason(comparison, verdict, &shown),
        },
    }
}

/// Whether "watched, and it did not occur" answers the question with zero.
fn is_zero_without_samples(info: &MetricInfo, aggregate: Aggregate) -> bool {
    info.sampling == Sampling::Occurrence
        && info.name != "harness_lag"
        && info.name != "sync.node"
        && !matches!(aggregate, Aggregate::Min | Aggregate::Mean)
}

fn reason(comparison: &Comparison, verdict: Verdict, shown: &str) -> String {
    match verdict {
        Verdict::Pass => String::new(),
        Verdict::Unknown | Verdict::Fail => missed(comparison, shown),
    }
}

fn missed(comparison: &Comparison, shown: &str) -> String {
    format!(
        "{} {} is {shown}, not {} {}",
        comparison.metric.name,
        comparison.aggregate,
        comparison.op.symbol(),
        comparison.limit_text
    )
}

fn not_measured(info: &MetricInfo) -> String {
    let why = match info.name {
        name if name.starts_with("outage") || name.starts_with("availability") => {
            "no probes ran: give the plan a `probe:`"
        }
        "detect.evict" => "no fault of a follower was evicted by a leader",
        "harness_lag" => "the harness did not sample its own timers",
        _ => match info.sampling {
            Sampling::Trial => "no trial shows it",
            Sampling::Checked => "it was not checked",
            Sampling::Occurrence | Sampling::Run | Sampling::Histogram => "nothing shows it",
        },
    };
    format!("`{}` has no samples: {why}", info.name)
}

/// A number of the metric for people.
fn show(comparison: &Comparison, value: f64) -> String {
    if comparison.aggregate == Aggregate::Count {
        return format!("{value:.0}");
    }
    match comparison.metric.unit {
        Unit::Ns => whole(value).to_string(),
        // Two digits past the nines that matter: 99.97 %, never 100 % for a little less.
        Unit::Ratio => format!("{:.3} %", (value * 1e5).floor() / 1e3),
        Unit::Count => format!("{value:.0}"),
        Unit::Ops => format!("{value:.1}"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a length is never negative, and the cast saturates"
)]
fn whole(ns: f64) -> Nanos {
    Nanos(ns.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(unit: Unit, samples: &[f64], censored: usize) -> Metric {
        Metric {
            unit,
            samples: samples.to_vec(),
            censored,
            noisy: 0,
        }
    }

    fn judge_with(text: &str, name: &str, metric: Metric) -> Judgement {
        let measurements = Measurements {
            metrics: [(name.to_owned(), metric)].into(),
            ..Measurements::default()
        };
        evaluate(
            &Assertion::parse(text).unwrap(),
            &measurements,
            &Predicates::new(),
        )
    }

    fn judge_ms(text: &str, samples: &[f64], censored: usize) -> Verdict {
        let ns: Vec<f64> = samples.iter().map(|ms| ms * 1e6).collect();
        let name = text.split(' ').next().unwrap();
        judge_with(text, name, metric(Unit::Ns, &ns, censored)).verdict
    }

    fn checked(verdict: Verdict, count: Option<u64>) -> Predicates {
        let predicate = Predicate {
            verdict,
            measured: "59204 writes".to_owned(),
            reason: String::new(),
            count,
        };
        [("lost_writes".to_owned(), predicate)].into()
    }

    #[test]
    fn a_percentile_is_the_nearest_rank_and_never_interpolated() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(judge_ms("recover.first p50 == 5ms", &ten, 0), Verdict::Pass);
        assert_eq!(judge_ms("recover.first p90 == 9ms", &ten, 0), Verdict::Pass);
        assert_eq!(
            judge_ms("recover.first p99 == 10ms", &ten, 0),
            Verdict::Pass
        );
        assert_eq!(judge_ms("recover.first min == 1ms", &ten, 0), Verdict::Pass);
        assert_eq!(
            judge_ms("recover.first mean == 5500us", &ten, 0),
            Verdict::Pass
        );
        assert_eq!(
            judge_ms("recover.first total == 55ms", &ten, 0),
            Verdict::Pass
        );
        assert_eq!(
            judge_ms("recover.first count == 10", &ten, 0),
            Verdict::Pass
        );
        assert_eq!(judge_ms("recover.first p99 <= 9ms", &ten, 0), Verdict::Fail);
    }

    #[test]
    fn without_samples_the_verdict_is_unknown_and_never_pass() {
        for text in [
            "recover.first p99 <= 1h",
            "outage.write min <= 1h",
            "sync.node max <= 1h",
        ] {
            assert_eq!(judge_ms(text, &[], 0), Verdict::Unknown, "{text}");
        }
        let nothing = evaluate(
            &Assertion::parse("outage.write max <= 5s").unwrap(),
            &Measurements::default(),
            &Predicates::new(),
        );
        assert_eq!(nothing.verdict, Verdict::Unknown);
        assert_eq!(
            nothing.reason,
            "`outage.write` has no samples: no probes ran: give the plan a `probe:`"
        );
    }

    #[test]
    fn what_was_watched_and_did_not_occur_counts_as_zero() {
        assert_eq!(judge_ms("outage.write max <= 5s", &[], 0), Verdict::Pass);
        assert_eq!(judge_ms("dual_leader p99 <= 500ms", &[], 0), Verdict::Pass);
    }

    #[test]
    fn a_censored_sample_can_break_a_limit_but_never_keep_one() {
        let samples = [10.0, 11.0, 12.0, 5000.0];
        assert_eq!(
            judge_ms("recover.first max <= 4s", &samples, 1),
            Verdict::Fail
        );
        assert_eq!(
            judge_ms("recover.first max <= 6s", &samples, 1),
            Verdict::Unknown
        );
        assert_eq!(
            judge_ms("recover.first p50 <= 20ms", &samples, 1),
            Verdict::Pass
        );
        assert_eq!(
            judge_ms("recover.first mean <= 6s", &samples, 1),
            Verdict::Unknown
        );
        assert_eq!(
            judge_ms("recover.first max >= 1s", &samples, 1),
            Verdict::Pass
        );
        assert_eq!(
            judge_ms("recover.first max == 6s", &samples, 1),
            Verdict::Unknown
        );
        assert_eq!(
            judge_ms("recover.first max == 4s", &samples, 1),
            Verdict::Fail
        );
        assert_eq!(
            judge_ms("recover.first min <= 20ms", &[10.0], 1),
            Verdict::Unknown
        );
    }

    #[test]
    fn timing_is_unknown_when_over_half_of_the_trials_are_noisy() {
        let mut quiet = metric(Unit::Ns, &[1e6, 1e6], 0);
        quiet.noisy = 2;
        let half = judge_with("elect max <= 1s", "elect", quiet.clone());
        assert_eq!(half.verdict, Verdict::Pass);
        assert_eq!(half.measured, "1.00 ms, n 2, 2 noisy left out");
        quiet.noisy = 3;
        assert_eq!(
            judge_with("elect max <= 1s", "elect", quiet).verdict,
            Verdict::Unknown
        );
    }

    #[test]
    fn a_checked_count_of_an_undecided_checker_is_only_a_lower_bound() {
        let judge = |text: &str, predicates: &Predicates| {
            let assertion = Assertion::parse(text).unwrap();
            evaluate(&assertion, &Measurements::default(), predicates).verdict
        };
        let zero = "lost_writes == 0";
        assert_eq!(judge(zero, &checked(Verdict::Pass, Some(0))), Verdict::Pass);
        assert_eq!(judge(zero, &checked(Verdict::Pass, None)), Verdict::Pass);
        assert_eq!(
            judge(zero, &checked(Verdict::Unknown, Some(0))),
            Verdict::Unknown
        );
        assert_eq!(
            judge(zero, &checked(Verdict::Unknown, Some(1))),
            Verdict::Fail
        );
        assert_eq!(judge(zero, &checked(Verdict::Fail, None)), Verdict::Fail);
        assert_eq!(
            judge("lost_writes <= 3", &checked(Verdict::Fail, Some(2))),
            Verdict::Pass
        );
        assert_eq!(
            judge("lost_writes <= 3", &checked(Verdict::Fail, None)),
            Verdict::Unknown
        );
        assert_eq!(judge(zero, &Predicates::new()), Verdict::Unknown);
    }

    #[test]
    fn a_predicate_that_nobody_checked_is_unknown() {
        let assertion = Assertion::parse("linearizable").unwrap();
        let judged = evaluate(&assertion, &Measurements::default(), &Predicates::new());
        assert_eq!(judged.verdict, Verdict::Unknown);
        assert_eq!(judged.class, Class::Safety);
    }

    #[test]
    fn latency_is_judged_by_its_histogram() {
        let summary = LatencySummary {
            n: 100,
            p99: 5_000_000,
            ..LatencySummary::default()
        };
        let phases = [("fault".to_owned(), summary)].into();
        let measurements = Measurements {
            latency: [("write".to_owned(), phases)].into(),
            ..Measurements::default()
        };
        let judge = |text: &str| {
            evaluate(
                &Assertion::parse(text).unwrap(),
                &measurements,
                &Predicates::new(),
            )
        };
        assert_eq!(
            judge("latency.write.fault p99 <= 5ms").verdict,
            Verdict::Pass
        );
        let missed = judge("latency.write.fault p99 < 5ms");
        assert_eq!(missed.verdict, Verdict::Fail);
        assert_eq!(
            missed.reason,
            "latency.write.fault p99 is 5.00 ms, not < 5ms"
        );
        assert_eq!(judge("latency.write p99 < 5ms").verdict, Verdict::Unknown);
    }

    #[test]
    fn a_share_a_little_below_one_is_never_shown_as_all() {
        let share = metric(Unit::Ratio, &[0.999_999], 0);
        let judged = judge_with("availability.write >= 100%", "availability.write", share);
        assert_eq!(judged.verdict, Verdict::Fail);
        assert_eq!(judged.measured, "99.999 %");
    }
}

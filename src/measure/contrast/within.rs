//! Judging `metric [aggregate] within N% of baseline`.

use super::table::{Measured, resolution, side};
use super::{Change, Question, contrast};
use crate::measure::judge::Finding;
use crate::measure::metric::{Aggregate, Sampling};
use crate::measure::objective::Within;
use crate::measure::record::{LatencySummary, Metric, Unit};
use crate::seed::{Seed, Stream};
use crate::verdict::Verdict;

/// Judges a metric against a baseline.
///
/// The median is compared by ranks (see [`contrast`]). Any other aggregate is compared by drawing
/// both sides again and again from their own samples (Efron's bootstrap, percentile interval).
/// Latency, of which each run has one distribution only, must not exceed the slowest run of the
/// baseline by more than the tolerance.
pub(in crate::measure) fn judge(
    within: &Within,
    measured: &Measured,
    baseline: &Measured,
) -> Finding {
    if within.metric.sampling == Sampling::Histogram {
        return judge_latency(within, measured, baseline);
    }
    let name = within.metric.name;
    let [now, then] = [measured, baseline].map(|side| side.metrics.get(name));
    let Some(then) = then.filter(|metric| !metric.samples.is_empty()) else {
        return Finding::unknown(format!("the baseline has no samples of `{name}`"));
    };
    let Some(now) = now else {
        return Finding::unknown(format!("`{name}` was not measured"));
    };
    if now.samples.is_empty() {
        let watched = within.metric.sampling == Sampling::Occurrence;
        return if watched {
            Finding::of(Verdict::Pass, "none, n 0".to_owned(), String::new())
        } else {
            Finding::unknown(format!("`{name}` has no samples"))
        };
    }
    let found = match within.aggregate {
        Aggregate::P50 => by_ranks(within, now, then, measured),
        _ => by_drawing(within, now, then),
    };
    found.finding(within, now, then)
}

/// A ratio with the interval that is not refuted.
#[derive(Debug, Clone, Copy)]
struct Found {
    change: Change,
    ratio: f64,
    interval: [f64; 2],
}

impl Found {
    fn finding(self, within: &Within, now: &Metric, then: &Metric) -> Finding {
        let percent = |ratio: f64| {
            if ratio.is_finite() {
                format!("{:+.0} %", (ratio - 1.0) * 100.0)
            } else {
                "+∞".to_owned()
            }
        };
        let [low, high] = self.interval;
        let measured = format!(
            "{} ({} to {}), n {} and {}",
            percent(self.ratio),
            percent(low),
            percent(high),
            now.samples.len(),
            then.samples.len()
        );
        let name = within.metric.name;
        match self.change {
            Change::Worse => {
                let reason = format!(
                    "{name} {} is {} above the baseline: beyond chance and beyond {:.0} %",
                    within.aggregate,
                    percent(self.ratio).trim_start_matches('+'),
                    within.tolerance * 100.0
                );
                Finding::of(Verdict::Fail, measured, reason)
            }
            Change::Unclear { more } if self.ratio > 1.0 + within.tolerance => {
                let reason = format!(
                    "inconclusive: about {more} more trials would tell whether {name} is worse"
                );
                Finding::of(Verdict::Unknown, measured, reason)
            }
            Change::Unclear { .. } | Change::Same | Change::Better => {
                Finding::of(Verdict::Pass, measured, String::new())
            }
        }
    }
}

fn by_ranks(within: &Within, now: &Metric, then: &Metric, measured: &Measured) -> Found {
    let question = Question {
        tolerance: within.tolerance,
        resolution: resolution(within.metric, measured.probe_every),
        alpha: ALPHA,
        larger_is_worse: within.metric.unit != Unit::Ratio,
    };
    let Some(made) = contrast(side(then), side(now), question) else {
        // No trial of either side ever came to its end.
        return Found {
            change: Change::Unclear { more: 1 },
            ratio: f64::INFINITY,
            interval: [0.0, f64::INFINITY],
        };
    };
    Found {
        change: made.change,
        ratio: made.ratio,
        interval: made.interval,
    }
}

fn by_drawing(within: &Within, now: &Metric, then: &Metric) -> Found {
    let mut stream = Seed(0).stream(within.metric.name);
    let of = |samples: &mut Vec<f64>| aggregate(within.aggregate, samples);
    let ratio = of(&mut now.samples.clone()) / of(&mut then.samples.clone());
    let mut ratios: Vec<f64> = (0..DRAWINGS)
        .map(|_| {
            let mut one = drawn(&now.samples, &mut stream);
            let mut other = drawn(&then.samples, &mut stream);
            of(&mut one) / of(&mut other)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let tail = (DRAWINGS as f64 * ALPHA / 2.0) as usize;
    let interval = [ratios[tail], ratios[DRAWINGS - 1 - tail]];
    let most = 1.0 + within.tolerance;
    let n = now.samples.len().min(then.samples.len());
    // An interval of so few samples promises more than it knows.
    let is_sure = n >= FEW && interval[0] > 1.0;
    let change = if ratio > most && is_sure {
        Change::Worse
    } else if interval[1] <= most {
        Change::Same
    } else {
        let half = (interval[1] / interval[0].max(f64::MIN_POSITIVE)).ln() / 2.0;
        let factor = (half / ratio.max(most).ln()).powi(2);
        let more = (n as f64 * (factor - 1.0)).clamp(1.0, 1e5);
        Change::Unclear {
            more: more as usize,
        }
    };
    Found {
        change,
        ratio,
        interval,
    }
}

fn drawn(samples: &[f64], stream: &mut Stream) -> Vec<f64> {
    let draw = |_| samples[stream.index(samples.len())];
    (0..samples.len()).map(draw).collect()
}

/// The nearest rank, as everywhere.
fn aggregate(aggregate: Aggregate, samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    match aggregate.per_mille() {
        Some(per_mille) => {
            let rank = (samples.len() * per_mille as usize).div_ceil(1000);
            samples[rank.saturating_sub(1)]
        }
        None => samples.iter().sum::<f64>() / samples.len() as f64,
    }
}

fn judge_latency(within: &Within, measured: &Measured, baseline: &Measured) -> Finding {
    let name = within.metric.name;
    let value = |latency: &std::collections::BTreeMap<_, std::collections::BTreeMap<_, _>>| {
        let mut parts = name.split('.').skip(1);
        let phases = latency.get(parts.next()?);
        let summary: &LatencySummary = phases?.get(parts.next().unwrap_or("all"))?;
        (summary.n > 0).then_some(match within.aggregate {
            Aggregate::P90 => summary.p90,
            Aggregate::P99 => summary.p99,
            Aggregate::P999 => summary.p999,
            Aggregate::Max => summary.max,
            _ => summary.p50,
        })
    };
    let now = measured.latency.iter().filter_map(value).max();
    let then = baseline.latency.iter().filter_map(value);
    let runs = then.clone().count();
    let (Some(now), Some(then)) = (now, then.max()) else {
        return Finding::unknown(format!("`{name}` is not on both sides"));
    };
    let ratio = now as f64 / (then as f64).max(1.0);
    let text = format!(
        "{} against {} of {runs} runs",
        crate::clock::Nanos(now),
        crate::clock::Nanos(then)
    );
    if ratio <= 1.0 + within.tolerance {
        return Finding::of(Verdict::Pass, text, String::new());
    }
    let reason = format!(
        "{name} {} is {:.0} % above the slowest run of the baseline",
        within.aggregate,
        (ratio - 1.0) * 100.0
    );
    Finding::of(Verdict::Fail, text, reason)
}

/// One line that is wrong in a hundred nights.
const ALPHA: f64 = 0.01;

/// Enough for the tails of an interval at [`ALPHA`].
const DRAWINGS: usize = 4_000;

/// Fewer samples on a side decide nothing by drawing.
const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::objective::{Assertion, Subject};

    fn side_of(name: &str, samples: &[f64]) -> Measured {
        let metric = Metric {
            unit: Unit::Ns,
            samples: samples.iter().map(|ms| ms * 1e6).collect(),
            censored: 0,
            noisy: 0,
        };
        Measured {
            metrics: [(name.to_owned(), metric)].into(),
            ..Measured::default()
        }
    }

    fn judged(text: &str, now: &[f64], then: &[f64]) -> Finding {
        let Subject::Within(within) = Assertion::parse(text).unwrap().subject else {
            panic!("{text} is no comparison with a baseline");
        };
        let name = within.metric.name;
        judge(&within, &side_of(name, now), &side_of(name, then))
    }

    fn near(middle: f64) -> Vec<f64> {
        (0..20)
            .map(|i| middle * (0.9 + 0.01 * f64::from(i)))
            .collect()
    }

    #[test]
    fn worse_is_fail_and_the_same_is_pass_for_every_aggregate() {
        for aggregate in ["", "p50 ", "p90 ", "p99 ", "max ", "mean "] {
            let text = format!("recover.first {aggregate}within 10% of baseline");
            let worse = judged(&text, &near(150.0), &near(100.0));
            assert_eq!(worse.verdict, Verdict::Fail, "{text}: {}", worse.measured);
            let same = judged(&text, &near(101.0), &near(100.0));
            assert_eq!(same.verdict, Verdict::Pass, "{text}: {}", same.measured);
            let better = judged(&text, &near(50.0), &near(100.0));
            assert_eq!(better.verdict, Verdict::Pass, "{text}");
        }
    }

    #[test]
    fn what_few_trials_cannot_tell_is_unknown_and_says_how_many_would() {
        let found = judged("elect within 10% of baseline", &[150.0], &near(100.0));
        assert_eq!(found.verdict, Verdict::Unknown);
        insta::assert_snapshot!(found.reason, @"inconclusive: about 5 more trials would tell whether elect is worse");
        let found = judged(
            "elect p90 within 10% of baseline",
            &[150.0, 160.0],
            &near(100.0),
        );
        assert_eq!(found.verdict, Verdict::Unknown);
    }

    #[test]
    fn without_samples_nothing_is_known_but_an_outage_that_did_not_occur_is_no_worse() {
        let line = "recover.first within 10% of baseline";
        assert_eq!(judged(line, &[], &near(1.0)).verdict, Verdict::Unknown);
        assert_eq!(judged(line, &near(1.0), &[]).verdict, Verdict::Unknown);
        let line = "outage.write within 10% of baseline";
        assert_eq!(judged(line, &[], &near(1.0)).verdict, Verdict::Pass);
    }

    #[test]
    fn latency_is_held_against_the_slowest_run_of_the_baseline() {
        let run = |p99| {
            let summary = LatencySummary {
                n: 100,
                p99,
                ..LatencySummary::default()
            };
            [("read".to_owned(), [("steady".to_owned(), summary)].into())].into()
        };
        let Subject::Within(within) =
            Assertion::parse("latency.read.steady p99 within 20% of baseline")
                .unwrap()
                .subject
        else {
            panic!("it is a comparison with a baseline");
        };
        let baseline = Measured {
            latency: vec![run(1_000_000), run(2_000_000)],
            ..Measured::default()
        };
        let judged = |p99| {
            let now = Measured {
                latency: vec![run(p99)],
                ..Measured::default()
            };
            judge(&within, &now, &baseline)
        };
        assert_eq!(judged(2_400_000).verdict, Verdict::Pass);
        let worse = judged(2_500_000);
        assert_eq!(worse.verdict, Verdict::Fail);
        insta::assert_snapshot!(worse.reason, @"latency.read.steady p99 is 25 % above the slowest run of the baseline");
    }
}

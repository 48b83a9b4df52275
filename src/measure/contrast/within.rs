//! Judging `metric [aggregate] within N% of baseline`.

use super::table::{Measured, resolution, side};
use super::{Change, Question, contrast, percent, ratio_of};
use crate::measure::judge::{Finding, too_noisy};
use crate::measure::metric::{Aggregate, Sampling};
use crate::measure::objective::Within;
use crate::measure::record::{LatencySummary, Metric};
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
    let Some(now) = now else {
        return Finding::unknown(format!("`{name}` was not measured"));
    };
    if let Some(reason) = too_noisy(now) {
        return Finding::unknown(reason);
    }
    let Some(then) = then.filter(|metric| !metric.samples.is_empty()) else {
        return Finding::unknown(format!("the baseline has no samples of `{name}`"));
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
    /// Nothing can be said; about so many more trials would change that.
    const fn nothing(more: usize) -> Self {
        Self {
            change: Change::Unclear { more },
            ratio: f64::INFINITY,
            interval: [0.0, f64::INFINITY],
        }
    }

    fn finding(self, within: &Within, now: &Metric, then: &Metric) -> Finding {
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
            // Few samples refute nothing: then even a ratio that looks good is no proof.
            Change::Unclear { more }
                if self.ratio > 1.0 + within.tolerance || high.is_infinite() =>
            {
                let plural = if more == 1 { "" } else { "s" };
                let reason = format!(
                    "inconclusive: about {more} more trial{plural} would tell whether {name} is worse"
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
    };
    let Some(made) = contrast(side(then), side(now), question) else {
        // No trial of either side ever came to its end.
        return Found::nothing(1);
    };
    Found {
        change: made.change,
        ratio: made.ratio,
        interval: made.interval,
    }
}

fn by_drawing(within: &Within, now: &Metric, then: &Metric) -> Found {
    // Nobody knows how long a censored sample is: it is without end.
    let [now, then] = [now, then].map(|metric| side(metric).ordered());
    let n = now.len().min(then.len());
    if n < FEW {
        return Found::nothing(FEW - n);
    }
    let of = |samples: &[f64]| aggregate(within.aggregate, samples);
    let (over, under) = (of(&now), of(&then));
    if over.is_infinite() && under.is_infinite() {
        return Found::nothing(n);
    }
    let ratio = ratio_of(over, under);
    let mut stream = Seed(0).stream(within.metric.name);
    let mut ratios: Vec<f64> = (0..DRAWINGS)
        .map(|_| {
            let one = of(&drawn(&now, &mut stream));
            ratio_of(one, of(&drawn(&then, &mut stream)))
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let tail = (DRAWINGS as f64 * ALPHA / 2.0) as usize;
    let interval = [ratios[tail], ratios[DRAWINGS - 1 - tail]];
    let most = 1.0 + within.tolerance;
    let change = if ratio > most && interval[0] > 1.0 {
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

/// As many samples, drawn from these, in order.
fn drawn(samples: &[f64], stream: &mut Stream) -> Vec<f64> {
    let draw = |_| samples[stream.index(samples.len())];
    let mut drawn: Vec<f64> = (0..samples.len()).map(draw).collect();
    drawn.sort_by(f64::total_cmp);
    drawn
}

/// The nearest rank of what is in order, as everywhere.
fn aggregate(aggregate: Aggregate, samples: &[f64]) -> f64 {
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
    use crate::measure::record::Unit;

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

    /// The same with as many of the samples of this run censored or left out as noisy.
    fn judged_with(text: &str, now: &[f64], censored: usize, noisy: usize) -> Finding {
        let Subject::Within(within) = Assertion::parse(text).unwrap().subject else {
            panic!("{text} is no comparison with a baseline");
        };
        let name = within.metric.name;
        let mut side = side_of(name, now);
        let metric = side.metrics.get_mut(name).unwrap();
        (metric.censored, metric.noisy) = (censored, noisy);
        judge(&within, &side, &side_of(name, &near(100.0)))
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
    fn a_trial_that_never_ended_is_no_short_one() {
        // Cut off early, and shorter than anything in the baseline.
        let short = near(10.0);
        for aggregate in ["p50 ", "p90 ", "p99 ", "max ", "mean "] {
            let text = format!("recover.first {aggregate}within 10% of baseline");
            let ended = judged_with(&text, &short, 0, 0);
            assert_eq!(ended.verdict, Verdict::Pass, "{text}: {}", ended.measured);
            let none = judged_with(&text, &short, 20, 0);
            assert_eq!(none.verdict, Verdict::Fail, "{text}: {}", none.measured);
        }
        let p90 = "recover.first p90 within 10% of baseline";
        assert_eq!(judged_with(p90, &short, 12, 0).verdict, Verdict::Fail);
        assert_eq!(judged_with(p90, &short, 6, 0).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_few_good_samples_prove_nothing() {
        for aggregate in ["p50 ", "p90 ", "max "] {
            let text = format!("recover.first {aggregate}within 10% of baseline");
            let found = judged(&text, &[90.0], &near(100.0));
            assert_eq!(
                found.verdict,
                Verdict::Unknown,
                "{text}: {}",
                found.measured
            );
        }
    }

    #[test]
    fn a_run_whose_trials_were_mostly_noisy_is_unknown() {
        let text = "recover.first within 10% of baseline";
        assert_eq!(
            judged_with(text, &near(100.0), 0, 20).verdict,
            Verdict::Pass
        );
        let noisy = judged_with(text, &near(100.0), 0, 21);
        assert_eq!(noisy.verdict, Verdict::Unknown);
        assert!(noisy.reason.starts_with("the harness was late in 21 of 41"));
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

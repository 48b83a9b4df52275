//! All metrics of two runs against each other.

use std::collections::BTreeMap;

use super::{Change, Contrast, Question, Side, contrast};
use crate::clock::Nanos;
use crate::measure::metric::{METRICS, MetricInfo, Sampling};
use crate::measure::record::{LatencySummary, Metric, Unit};

/// What one side of a comparison has measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// By the names of docs/measuring.md.
    pub metrics: BTreeMap<String, Metric>,
    /// Of each run: latency by kind of operation, then by phase.
    pub latency: Vec<BTreeMap<String, BTreeMap<String, LatencySummary>>>,
    /// Time between two probes of one node and kind.
    pub probe_every: Option<Nanos>,
}

/// How two runs are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strictness {
    /// A typical sample longer by less than this share is no change.
    pub tolerance: f64,
    /// How often chance alone may be taken for a change in one metric or more of a whole
    /// comparison.
    pub alpha: f64,
}

/// One metric of both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Which.
    pub metric: &'static MetricInfo,
    /// What can be said of it.
    pub contrast: Contrast,
}

impl Default for Strictness {
    /// 10 %, and chance in one of twenty comparisons.
    fn default() -> Self {
        Self {
            tolerance: 0.1,
            alpha: 0.05,
        }
    }
}

impl Measured {
    /// Adds what another run has measured.
    pub fn merge(&mut self, other: Self) {
        for (name, metric) in other.metrics {
            match self.metrics.get_mut(&name) {
                Some(mine) => {
                    mine.samples.extend(metric.samples);
                    mine.censored += metric.censored;
                    mine.noisy += metric.noisy;
                }
                None => {
                    self.metrics.insert(name, metric);
                }
            }
        }
        self.latency.extend(other.latency);
        self.probe_every = self.probe_every.max(other.probe_every);
    }
}

/// Compares every metric that both sides have samples of. The more there are, the surer each has
/// to be (Bonferroni), so that a whole comparison errs as rarely as `strictness` asks.
#[must_use]
pub fn table(first: &Measured, second: &Measured, strictness: Strictness) -> Vec<Row> {
    let both: Vec<(&MetricInfo, &Metric, &Metric)> = METRICS
        .iter()
        .filter(|info| is_compared(info))
        .filter_map(|info| {
            let [a, b] = [first, second].map(|side| side.metrics.get(info.name));
            let (a, b) = (a?, b?);
            (!a.samples.is_empty() && !b.samples.is_empty()).then_some((info, a, b))
        })
        .collect();
    let alpha = strictness.alpha / both.len().max(1) as f64;
    let probe_every = first.probe_every.max(second.probe_every);
    let row = |(info, a, b): &(&'static MetricInfo, &Metric, &Metric)| {
        let question = Question {
            tolerance: strictness.tolerance,
            resolution: resolution(info, probe_every),
            alpha,
        };
        let contrast = contrast(side(a), side(b), question)?;
        Some(Row {
            metric: info,
            contrast,
        })
    };
    both.iter().filter_map(row).collect()
}

/// The worst that a comparison found.
#[must_use]
pub fn worst(rows: &[Row]) -> Option<Change> {
    let rank = |change: &Change| match change {
        Change::Worse => 3,
        Change::Unclear { .. } => 2,
        Change::Same => 1,
        Change::Better => 0,
    };
    let changes = rows.iter().map(|row| row.contrast.change);
    changes.max_by_key(|change| rank(change))
}

pub(super) fn side(metric: &Metric) -> Side<'_> {
    Side {
        samples: &metric.samples,
        censored: metric.censored,
    }
}

/// Lengths of time and lost operations, of each trial or occurrence. What several vantages saw of
/// the same outages would only be asked twice, and the harness's own lateness is nobody's
/// regression.
fn is_compared(info: &MetricInfo) -> bool {
    let is_sampled = matches!(info.sampling, Sampling::Trial | Sampling::Occurrence);
    let is_length = matches!(info.unit, Unit::Ns | Unit::Ops);
    is_sampled && is_length && !info.name.ends_with(".all") && info.name != "harness_lag"
}

/// What the harness can tell apart at all: docs/measuring.md.
pub(super) fn resolution(info: &MetricInfo, probe_every: Option<Nanos>) -> f64 {
    match info.unit {
        Unit::Ns if info.name.starts_with("outage") => {
            probe_every.map_or(SCHEDULING, |every| every.0 as f64 / 2.0)
        }
        Unit::Ns if info.name == "recover.steady" => STEP,
        Unit::Ns => SCHEDULING,
        Unit::Ops => A_FEW,
        Unit::Count | Unit::Ratio => 0.0,
    }
}

/// Waking up a process takes so long, more or less, on a machine with other things to do.
const SCHEDULING: f64 = 100e3;

/// `recover.steady` moves in steps of this.
const STEP: f64 = 50e6;

/// Operations that come and go with the edges of windows.
const A_FEW: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(samples: &[(&str, &[f64])]) -> Measured {
        let metrics = samples.iter().map(|(name, samples)| {
            let metric = Metric {
                unit: Unit::Ns,
                samples: samples.iter().map(|ms| ms * 1e6).collect(),
                censored: 0,
                noisy: 0,
            };
            ((*name).to_owned(), metric)
        });
        Measured {
            metrics: metrics.collect(),
            ..Measured::default()
        }
    }

    const TEN: [f64; 10] = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 10.7, 10.8, 10.9];

    #[test]
    fn what_both_have_is_compared_in_the_order_of_the_registry() {
        let slower = TEN.map(|ms| ms * 2.0);
        let first = measured(&[("recover.first", &TEN), ("elect", &TEN), ("reroute", &TEN)]);
        let second = measured(&[
            ("recover.first", &slower),
            ("elect", &TEN),
            ("reroute", &[]),
        ]);
        let rows = table(&first, &second, Strictness::default());
        let found: Vec<(&str, &str)> = rows
            .iter()
            .map(|row| (row.metric.name, row.contrast.change.word()))
            .collect();
        assert_eq!(found, [("elect", "same"), ("recover.first", "worse")]);
        assert_eq!(worst(&rows), Some(Change::Worse));
        assert_eq!(worst(&[]), None);
    }

    #[test]
    fn the_harness_and_what_each_vantage_saw_are_not_compared() {
        let slower = TEN.map(|ms| ms * 2.0);
        let names = ["harness_lag", "outage.write.all", "latency.all"];
        let side = |samples| measured(&names.map(|name| (name, samples)));
        let rows = table(&side(&TEN), &side(&slower), Strictness::default());
        assert_eq!(rows, []);
    }

    #[test]
    fn the_more_is_asked_the_surer_each_answer_has_to_be() {
        // Sure enough alone, not among ten.
        let b = TEN.map(|ms| if ms < 10.35 { ms } else { ms * 1.3 });
        let one = table(
            &measured(&[("elect", &TEN)]),
            &measured(&[("elect", &b)]),
            Strictness::default(),
        );
        let names = [
            "elect",
            "reroute",
            "recover.first",
            "sync.leader",
            "detect.first",
            "detect.last",
            "detect.quorum",
            "redundancy",
            "outage.read",
            "outage.write",
        ];
        let side = |samples| measured(&names.map(|name| (name, samples)));
        let ten = table(&side(&TEN), &side(&b), Strictness::default());
        assert_eq!(ten.len(), 10);
        assert!(ten[4].contrast.interval[0] < one[0].contrast.interval[0]);
    }

    #[test]
    fn runs_are_merged_sample_by_sample() {
        let mut all = measured(&[("elect", &[1.0])]);
        all.merge(measured(&[("elect", &[2.0]), ("reroute", &[3.0])]));
        assert_eq!(all.metrics["elect"].samples, [1e6, 2e6]);
        assert_eq!(all.metrics["reroute"].samples, [3e6]);
    }
}

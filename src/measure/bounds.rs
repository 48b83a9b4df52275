//! What is known of an aggregate when some samples are censored.
//!
//! *Bounds*: the truth lies between them. A comparison holds only if it holds for every truth
//! within them, and fails only if it fails for every one.

use crate::verdict::Verdict;

use super::metric::Aggregate;
use super::objective::Comparator;
use super::record::Metric;

/// The bounds between which an aggregate of the true values lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) low: f64,
    /// Infinite if a censored sample may decide it.
    pub(super) high: f64,
}

/// The bounds of an aggregate. A censored sample is a lower bound of the truth, and which of the
/// samples are censored is not kept: the upper bound takes the worst choice of them.
pub(super) fn bounds(metric: &Metric, aggregate: Aggregate) -> Bounds {
    let mut sorted = metric.samples.clone();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let sum: f64 = sorted.iter().sum();
    let open = |low: f64| Bounds {
        low,
        high: if metric.censored > 0 {
            f64::INFINITY
        } else {
            low
        },
    };
    let at = |rank: usize| sorted.get(rank).copied();
    match aggregate {
        Aggregate::Count => Bounds {
            low: precise(n as u64),
            high: precise(n as u64),
        },
        Aggregate::Total => open(sum),
        Aggregate::Mean => open(if n == 0 { 0.0 } else { sum / precise(n as u64) }),
        Aggregate::Min => Bounds {
            low: at(0).unwrap_or(0.0),
            high: if n == 0 {
                0.0
            } else {
                at(metric.censored).unwrap_or(f64::INFINITY)
            },
        },
        Aggregate::P50 | Aggregate::P90 | Aggregate::P99 | Aggregate::P999 | Aggregate::Max => {
            let rank = rank(n, aggregate.per_mille().unwrap_or(1000));
            let high = if n == 0 { 0.0 } else { f64::INFINITY };
            Bounds {
                low: at(rank).unwrap_or(0.0),
                high: at(rank + metric.censored).unwrap_or(high),
            }
        }
    }
}

/// Zero-based nearest rank of a percentile among `n` samples.
fn rank(n: usize, per_mille: u32) -> usize {
    (n * per_mille as usize).div_ceil(1000).saturating_sub(1)
}

/// Whether `op limit` holds for a truth somewhere within the bounds.
pub(super) fn compare(op: Comparator, bounds: Bounds, limit: f64) -> Verdict {
    let holds = |value: f64| match op {
        Comparator::Less => value < limit,
        Comparator::AtMost => value <= limit,
        Comparator::More => value > limit,
        Comparator::AtLeast => value >= limit,
        Comparator::Equal => same(value, limit),
        Comparator::NotEqual => !same(value, limit),
    };
    let limit_within = bounds.low <= limit && limit <= bounds.high;
    match (holds(bounds.low), holds(bounds.high)) {
        // Between two ends that both differ from the limit the truth may still equal it.
        (a, b) if a == b && !(is_equality(op) && limit_within && bounds.low < bounds.high) => {
            if a {
                Verdict::Pass
            } else {
                Verdict::Fail
            }
        }
        _ => Verdict::Unknown,
    }
}

const fn is_equality(op: Comparator) -> bool {
    matches!(op, Comparator::Equal | Comparator::NotEqual)
}

/// Equal but for the rounding of arithmetic on doubles.
fn same(a: f64, b: f64) -> bool {
    a.is_finite() && (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and lengths stay far below 2^53; what is above is infinite for every limit"
)]
pub(super) const fn precise(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::Unit;
    use super::*;

    proptest! {
        /// Whatever the censored samples really were, a pass or fail says the truth.
        #[test]
        fn a_decided_comparison_agrees_with_every_possible_truth(
            samples in prop::collection::vec((1u8..30, any::<bool>(), 0u8..30), 1..12),
            aggregate in prop::sample::select(&Aggregate::ALL[..]),
            op in prop::sample::select(&Comparator::ALL[..]),
            limit in 0u8..60,
        ) {
            let seen: Vec<f64> = samples.iter().map(|(seen, ..)| f64::from(*seen)).collect();
            let truth: Vec<f64> = samples
                .iter()
                .map(|&(seen, censored, more)| {
                    f64::from(seen) + if censored { f64::from(more) } else { 0.0 }
                })
                .collect();
            let metric = |samples: Vec<f64>, censored| Metric {
                unit: Unit::Ns,
                samples,
                censored,
                noisy: 0,
            };
            let censored = samples.iter().filter(|(_, censored, _)| *censored).count();
            let limit = f64::from(limit);
            let judged = compare(op, bounds(&metric(seen, censored), aggregate), limit);
            let exact = compare(op, bounds(&metric(truth, 0), aggregate), limit);
            prop_assert_ne!(exact, Verdict::Unknown);
            prop_assert!(judged == Verdict::Unknown || judged == exact);
        }
    }
}

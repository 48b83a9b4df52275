//! A made-up comparison: election became slower, detection is the same, too few recovered.

use crate::measure::{Measured, Metric, Strictness, Unit, table};
use crate::results::Compared;

/// A run beside a baseline of two runs.
pub(in crate::report) fn compared() -> Compared {
    let spread = |middle: f64, n: u32| -> Vec<f64> {
        let step = |i: u32| 0.9 + 0.2 * f64::from(i * 7 % n) / f64::from(n);
        (0..n).map(|i| middle * 1e6 * step(i)).collect()
    };
    let side = |elect: f64, recovered: &[f64]| {
        let metric = |samples: Vec<f64>| Metric {
            unit: Unit::Ns,
            samples,
            censored: 0,
            noisy: 0,
        };
        let metrics = [
            ("detect.first", metric(spread(12.0, 20))),
            ("elect", metric(spread(elect, 20))),
            ("recover.first", metric(recovered.to_vec())),
        ];
        Measured {
            metrics: metrics
                .map(|(name, metric)| (name.to_owned(), metric))
                .into(),
            ..Measured::default()
        }
    };
    let baseline = side(40.0, &[7.0e7, 7.3e7, 8.1e7, 6.6e7]);
    let now = side(52.0, &[8.0e7, 7.4e7, 9.6e7, 8.8e7]);
    Compared {
        from: Some("results/baseline/kill-leader-zab-3.json".to_owned()),
        runs: 2,
        tolerance: 0.1,
        rows: table(&baseline, &now, Strictness::default()),
        baseline,
        ..Compared::default()
    }
}

//! The rank test of Mann and Whitney ("On a test of whether one of two random variables is
//! stochastically larger than the other", 1947): exact where there are few samples and no ties,
//! else by the normal law with the usual corrections for ties and for steps.

/// The outcome of the test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Test {
    /// Two-sided.
    pub(super) p: f64,
    /// Cliff's delta: positive if the second is larger.
    pub(super) delta: f64,
}

/// Tests two sets of samples in ascending order, neither of them empty.
pub(super) fn mann_whitney(a: &[f64], b: &[f64]) -> Test {
    // Twice U, the number of pairs in which the second is larger, ties counted by half.
    let mut twice = 0_u64;
    for value in b {
        let below = a.partition_point(|other| other < value);
        let upto = a.partition_point(|other| other <= value);
        twice += (below + upto) as u64;
    }
    let pairs = (a.len() * b.len()) as f64;
    let u = twice as f64 / 2.0;
    let ties = tie_sizes(a, b);
    let p = if ties.is_empty() && pairs <= EXACT {
        exact(u, a.len(), b.len())
    } else {
        normal(u, a.len() as f64, b.len() as f64, &ties)
    };
    Test {
        p,
        delta: 2.0 * u / pairs - 1.0,
    }
}

/// How many of all pairs' differences lie outside of the interval on each side, so that a true
/// difference lies outside with probability `alpha` at most; `None` if not even the extreme ones
/// do.
pub(super) fn pairs_refuted(n: usize, m: usize, alpha: f64) -> Option<usize> {
    if n == 0 || m == 0 {
        return None;
    }
    if ((n * m) as f64) <= EXACT {
        let counts = arrangements(n, m);
        let all: f64 = counts.iter().sum();
        let mut tail = 0.0;
        let mut refuted = None;
        for (u, count) in counts.iter().enumerate() {
            tail += count / all;
            if tail > alpha / 2.0 {
                break;
            }
            refuted = Some(u);
        }
        return refuted;
    }
    let (n, m) = (n as f64, m as f64);
    let spread = (n * m * (n + m + 1.0) / 12.0).sqrt();
    let k = (n * m / 2.0 - quantile(1.0 - alpha / 2.0) * spread - 0.5).floor();
    (k >= 0.0).then_some(k as usize)
}

/// Sizes of the groups of equal values among both, those of one left out.
fn tie_sizes(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    all.sort_by(f64::total_cmp);
    let groups = all.chunk_by(|x, y| x == y).map(|group| group.len() as f64);
    groups.filter(|size| *size > 1.0).collect()
}

/// By counting: how many arrangements are at least as far from the middle.
fn exact(u: f64, n: usize, m: usize) -> f64 {
    let counts = arrangements(n, m);
    let all: f64 = counts.iter().sum();
    let least = u.min((n * m) as f64 - u);
    let tail: f64 = counts.iter().take(least as usize + 1).sum();
    (2.0 * tail / all).min(1.0)
}

/// In how many arrangements of `n` and `m` samples U is 0, 1, 2 …: the coefficients of the
/// Gaussian binomial, multiplied out factor by factor.
fn arrangements(n: usize, m: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n * m + 1];
    counts[0] = 1.0;
    for i in 1..=n.min(m) {
        // × (1 − x^(n+m+1−i)) ÷ (1 − x^i)
        let up = n + m + 1 - i;
        for at in (up..counts.len()).rev() {
            counts[at] -= counts[at - up];
        }
        for at in i..counts.len() {
            counts[at] += counts[at - i];
        }
    }
    counts
}

fn normal(u: f64, n: f64, m: f64, ties: &[f64]) -> f64 {
    let all = n + m;
    let tied: f64 = ties.iter().map(|t| t * t * t - t).sum();
    let variance = n * m / 12.0 * (all + 1.0 - tied / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    (2.0 * upper_tail(z)).min(1.0)
}

/// How much of the normal law lies above `z` ≥ 0: Abramowitz and Stegun, "Handbook of
/// Mathematical Functions", 26.2.17, good to 7.5e-8.
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    poly * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The value below which the normal law lies with probability `p` ≥ 0.5, by halving.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if upper_tail(middle) > 1.0 - p {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Up to so many pairs arrangements are counted: below 2^53 of them with up to 25 samples on each
/// side, so the counts are exact or nearly so.
const EXACT: f64 = 400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, by: f64) -> bool {
        (a - b).abs() <= by
    }

    /// U of every arrangement, by brute force.
    fn brute(n: usize, m: usize) -> Vec<f64> {
        let mut counts = vec![0.0; n * m + 1];
        for mask in 0_u32..1 << (n + m) {
            if mask.count_ones() as usize != n {
                continue;
            }
            let (mut seen, mut u) = (0, 0);
            for at in 0..n + m {
                if mask >> at & 1 == 1 {
                    seen += 1;
                } else {
                    u += seen;
                }
            }
            counts[u] += 1.0;
        }
        counts
    }

    #[test]
    fn arrangements_are_those_of_brute_force() {
        for (n, m) in [(1, 1), (1, 5), (3, 4), (5, 5), (6, 3), (7, 6)] {
            assert_eq!(arrangements(n, m), brute(n, m), "{n} {m}");
        }
    }

    #[test]
    fn the_normal_law_is_that_of_the_tables() {
        for (z, tail) in [
            (0.0, 0.5),
            (1.0, 0.158_655),
            (1.96, 0.024_998),
            (3.0, 0.001_350),
        ] {
            assert!(close(upper_tail(z), tail, 1e-6), "{z}");
        }
        assert!(close(quantile(0.975), 1.959_964, 1e-4));
        assert!(close(quantile(0.995), 2.575_829, 1e-4));
    }

    #[test]
    fn known_cases_have_their_known_probabilities() {
        // Complete separation of 3 and 3: 2 of 20 arrangements.
        let test = mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]);
        assert!(close(test.p, 0.1, 1e-12) && close(test.delta, 1.0, 1e-12));
        // Complete separation of 5 and 5: 2 of 252.
        let test = mann_whitney(&[6.0, 7.0, 8.0, 9.0, 10.0], &[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(close(test.p, 2.0 / 252.0, 1e-12) && close(test.delta, -1.0, 1e-12));
        // The same values on both sides.
        let test = mann_whitney(&[1.0, 1.0, 1.0], &[1.0, 1.0]);
        assert!(close(test.p, 1.0, 1e-12) && close(test.delta, 0.0, 1e-12));
    }

    #[test]
    fn few_samples_refute_nothing_and_more_refute_more() {
        assert_eq!(pairs_refuted(3, 3, 0.05), None);
        // From tables of the two-sided test at 5 %: U is significant up to this.
        for (n, m, critical) in [
            (4, 4, 0),
            (5, 5, 2),
            (8, 8, 13),
            (10, 10, 23),
            (20, 20, 127),
        ] {
            assert_eq!(pairs_refuted(n, m, 0.05), Some(critical), "{n} {m}");
        }
    }

    #[test]
    fn the_normal_law_and_counting_agree_where_they_meet() {
        let (n, m) = (20, 20);
        for u in [60.0, 100.0, 127.0, 150.0, 190.0] {
            let by_law = normal(u, 20.0, 20.0, &[]);
            assert!(close(exact(u, n, m), by_law, 0.004), "{u}");
        }
    }
}

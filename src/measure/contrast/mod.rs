//! Two sets of samples of one metric against each other: is the second really worse, by how much,
//! and if nobody can tell, how many more trials would. Larger is worse: lengths of time and lost
//! operations are compared, nothing else.
//!
//! *Ratio*: how many times the typical sample of the first set the typical one of the second is
//! (Hodges and Lehmann, "Estimates of location based on rank tests", 1963: the median of all
//! pairs' ratios), with the interval that the rank test does not refute. *Tolerance*: what counts
//! as no change. A change is told only if it is both beyond chance and beyond the tolerance, and
//! larger than what can be resolved at all.

mod rank;
mod table;
pub(super) mod within;

use crate::verdict::Verdict;

pub use table::{Measured, Row, Strictness, table, worst};

use rank::{mann_whitney, pairs_refuted};

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side<'a> {
    /// Its samples; a censored one is a lower bound.
    pub samples: &'a [f64],
    /// How many of them, the largest ones, are censored.
    pub censored: usize,
}

/// What is asked of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// A change of the typical sample by less than this share is none: 0.1 is 10 %.
    pub tolerance: f64,
    /// A change by less than this is none either: what the harness can resolve, in the metric's
    /// unit.
    pub resolution: f64,
    /// How often chance alone may be taken for a change.
    pub alpha: f64,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// What can be said.
    pub change: Change,
    /// Samples on both sides.
    pub n: [usize; 2],
    /// Medians of both sides; a censored median is as long as its bound.
    pub median: [f64; 2],
    /// How many times as large the second is, typically.
    pub ratio: f64,
    /// The least and the greatest ratio that the samples do not refute. Infinite where censored
    /// samples leave it open.
    pub interval: [f64; 2],
    /// How often chance alone gives ranks as different as these (Mann and Whitney, 1947, two
    /// sides).
    pub p: f64,
    /// How often a sample of the second side is larger than one of the first, minus how often it
    /// is smaller: −1 to 1 (Cliff's delta).
    pub delta: f64,
}

/// What can be said of two sets of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The second is worse.
    Worse,
    /// The second is better.
    Better,
    /// Whatever the difference is, it lies within the tolerance or the resolution.
    Same,
    /// Nobody can tell yet; about so many more trials on each side would decide it, if all goes on
    /// like this.
    Unclear {
        /// At least 1.
        more: usize,
    },
}

impl Change {
    /// For people and programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Same => "same",
            Self::Unclear { .. } => "unclear",
        }
    }

    /// As a verdict on "the second is not worse".
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Worse => Verdict::Fail,
            Self::Better | Self::Same => Verdict::Pass,
            Self::Unclear { .. } => Verdict::Unknown,
        }
    }
}

/// A ratio as a change in percent, `+20 %` or `-5 %`; `∞` where there is no end.
#[must_use]
pub fn percent(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    if !percent.is_finite() {
        return "∞".to_owned();
    }
    let text = format!("{percent:+.0} %");
    if text == "-0 %" {
        "+0 %".to_owned()
    } else {
        text
    }
}

/// Compares two sets of samples; `None` if one of them is empty, or nothing is known of either.
#[must_use]
pub fn contrast(first: Side<'_>, second: Side<'_>, question: Question) -> Option<Contrast> {
    let is_open = |side: Side<'_>| side.censored >= side.samples.len();
    if is_open(first) && is_open(second) {
        return None;
    }
    let (a, b) = (first.ordered(), second.ordered());
    let median = [middle(&a)?, middle(&b)?];
    let test = mann_whitney(&a, &b);
    let ratios = pair_ratios(&a, &b);
    let ratio = middle_ratio(&ratios)?;
    let skipped = pairs_refuted(a.len(), b.len(), question.alpha);
    let interval = match skipped {
        Some(k) if k < ratios.len() / 2 => [ratios[k], ratios[ratios.len() - 1 - k]],
        // So few samples refute nothing.
        _ => [0.0, f64::INFINITY],
    };
    let made = Contrast {
        change: Change::Same,
        n: [a.len(), b.len()],
        median: [first.bound(median[0]), second.bound(median[1])],
        ratio,
        interval,
        p: test.p,
        delta: test.delta,
    };
    Some(Contrast {
        change: made.judged(question),
        ..made
    })
}

impl<'a> Side<'a> {
    /// Samples none of which is censored.
    #[must_use]
    pub const fn of(samples: &'a [f64]) -> Self {
        Self {
            samples,
            censored: 0,
        }
    }

    /// Ascending; those that are censored at infinity, since nobody knows how long they are.
    fn ordered(&self) -> Vec<f64> {
        let mut ordered: Vec<f64> = self.samples.to_vec();
        ordered.sort_by(f64::total_cmp);
        let known = ordered.len().saturating_sub(self.censored);
        ordered[known..].fill(f64::INFINITY);
        ordered
    }

    /// A median that nobody knows is at least as long as the longest sample.
    fn bound(&self, median: f64) -> f64 {
        if median.is_finite() {
            return median;
        }
        self.samples.iter().copied().fold(0.0, f64::max)
    }
}

impl Contrast {
    fn judged(&self, question: Question) -> Change {
        let (least, most) = (1.0 / (1.0 + question.tolerance), 1.0 + question.tolerance);
        let [low, high] = self.interval;
        let is_resolved = (self.median[1] - self.median[0]).abs() >= question.resolution
            || self.ratio.is_infinite();
        let beyond_chance = low > 1.0 || high < 1.0;
        let beyond_tolerance = self.ratio > most || self.ratio < least;
        if beyond_chance && beyond_tolerance && is_resolved {
            return if self.ratio > 1.0 {
                Change::Worse
            } else {
                Change::Better
            };
        }
        // What the interval still allows, in the metric's own unit.
        let base = self.median[0];
        let reach = (high - 1.0).max(1.0 - low) * base;
        if (low >= least && high <= most) || reach < question.resolution {
            return Change::Same;
        }
        if beyond_chance && !is_resolved {
            return Change::Same;
        }
        self.unclear(least, most)
    }

    /// The interval narrows with the square root of the number of trials: so many more, until it
    /// leaves 1 if the ratio found is the true one, or fits into the tolerance.
    fn unclear(&self, least: f64, most: f64) -> Change {
        let n = self.n[0].min(self.n[1]);
        let [low, high] = self.interval.map(f64::ln);
        let half = (high - low) / 2.0;
        if !half.is_finite() {
            return Change::Unclear {
                more: n.max(FEW) - n.min(FEW - 1),
            };
        }
        let found = self.ratio.ln().abs();
        let goal = if self.ratio > most || self.ratio < least {
            found
        } else {
            (most.ln() - found).max(most.ln() / 8.0)
        };
        let factor = (half / goal).powi(2);
        let more = (n as f64 * (factor - 1.0)).ceil();
        Change::Unclear {
            more: (more.clamp(1.0, MANY)) as usize,
        }
    }
}

/// The ratios of all pairs, ascending.
fn pair_ratios(a: &[f64], b: &[f64]) -> Vec<f64> {
    let pairs = a
        .iter()
        .flat_map(|a| b.iter().map(move |b| ratio_of(*b, *a)));
    let mut ratios: Vec<f64> = pairs.collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// How many times `under` goes into `over`; a pair of equals says nothing, not even where both
/// have no end.
fn ratio_of(over: f64, under: f64) -> f64 {
    if over == under {
        1.0
    } else if under == 0.0 {
        f64::INFINITY
    } else {
        over / under
    }
}

/// The median of what is in order, between the two in the middle if need be.
fn middle(ordered: &[f64]) -> Option<f64> {
    let upper = *ordered.get(ordered.len() / 2)?;
    if ordered.len() % 2 == 1 || upper.is_infinite() {
        return Some(upper);
    }
    Some(f64::midpoint(ordered[ordered.len() / 2 - 1], upper))
}

/// The same for ratios: between two of them lies the one that turns round with them.
fn middle_ratio(ordered: &[f64]) -> Option<f64> {
    let upper = *ordered.get(ordered.len() / 2)?;
    if ordered.len() % 2 == 1 || upper.is_infinite() {
        return Some(upper);
    }
    Some((ordered[ordered.len() / 2 - 1] * upper).sqrt())
}

/// Below so many samples on each side ranks refute nothing at usual levels.
const FEW: usize = 6;

/// Nobody runs more trials than this.
const MANY: f64 = 100_000.0;

#[cfg(test)]
mod tests;

//! The noise floor: how late the harness's own timers fired.
//!
//! *Noisy*: a stretch of time whose lag p99 exceeds [`NOISY`]; its timing is not to be trusted.

use crate::clock::Nanos;
use crate::history::EventKind;

use super::spans::{Span, Spans};
use super::timeline::Timeline;

/// A trial whose p99 of harness lag is above this is noisy.
pub(super) const NOISY: Nanos = Nanos::from_millis(50);

/// All samples of lag with the time at which the late timer fired, in the order of time.
#[derive(Debug)]
pub(super) struct Lag {
    samples: Vec<(Nanos, Nanos)>,
}

impl Lag {
    pub(super) fn new(timeline: &Timeline<'_>) -> Self {
        let samples = timeline
            .events
            .iter()
            .filter_map(|event| match event.kind {
                EventKind::Lag { late } => Some((event.time, late)),
                _ => None,
            })
            .collect();
        Self { samples }
    }

    /// Whether the harness was too late within `[from, to]` for its timing to be trusted.
    pub(super) fn is_noisy(&self, from: Nanos, to: Nanos) -> bool {
        let first = self.samples.partition_point(|(time, _)| *time < from);
        let last = self.samples.partition_point(|(time, _)| *time <= to);
        let mut late: Vec<Nanos> = self.samples[first..last.max(first)]
            .iter()
            .map(|(_, late)| *late)
            .collect();
        late.sort();
        let rank = (late.len() * 99).div_ceil(100).saturating_sub(1);
        late.get(rank).is_some_and(|&p99| p99 > NOISY)
    }

    /// When the harness stood still for at least `length`.
    pub(super) fn stalls(&self, length: Nanos) -> Spans {
        self.samples
            .iter()
            .filter(|(_, late)| *late >= length)
            .map(|&(time, late)| Span::new(time.since(late), time))
            .collect()
    }

    /// The samples in nanoseconds, ascending, thinned to [`KEPT`] order statistics: each
    /// percentile stays within a tenth of a percent of its rank, and the maximum is exact.
    #[expect(clippy::cast_precision_loss, reason = "a lag is far below 2^53 ns")]
    pub(super) fn order_statistics(&self) -> Vec<f64> {
        let mut late: Vec<u64> = self.samples.iter().map(|(_, late)| late.0).collect();
        late.sort_unstable();
        if late.len() <= KEPT {
            return late.into_iter().map(|late| late as f64).collect();
        }
        (1..=KEPT)
            .map(|rank| late[(rank * late.len()).div_ceil(KEPT) - 1] as f64)
            .collect()
    }
}

/// How many samples of lag a result keeps: a long run has hundreds of thousands.
const KEPT: usize = 1000;

#[cfg(test)]
mod tests {
    use super::super::stream::{Stream, ms};
    use super::*;

    fn lag(s: &Stream) -> Lag {
        Lag::new(&Timeline::new(s.events(), s.context()))
    }

    #[test]
    fn a_stretch_is_noisy_by_its_p99_and_only_by_its_own_samples() {
        let mut s = Stream::new(3);
        for at in 0..100 {
            s.lag(at, 1);
        }
        s.lag(50, 80);
        assert!(!lag(&s).is_noisy(ms(0), ms(99)), "one of 101 is above p99");
        s.lag(51, 80);
        assert!(lag(&s).is_noisy(ms(0), ms(99)));
        assert!(!lag(&s).is_noisy(ms(60), ms(99)));
        assert!(
            !lag(&s).is_noisy(ms(500), ms(600)),
            "nothing was sampled there"
        );
    }

    #[test]
    fn thinning_keeps_the_maximum_and_the_percentiles() {
        let mut s = Stream::new(3);
        for late in 1..=2500 {
            s.lag(late, late);
        }
        let kept = lag(&s).order_statistics();
        assert_eq!(kept.len(), 1000);
        assert_eq!(kept.last(), Some(&2500e6));
        assert_eq!(kept[499], 1250e6);
        assert_eq!(kept[989], 2475e6);
    }
}

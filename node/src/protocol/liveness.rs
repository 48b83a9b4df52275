//! When silence means death: the adaptive failure detector of one direction of a link.
//!
//! It keeps the gaps between the last [`SAMPLES`] heartbeats. A silence longer than mean + 8 sigma
//! of them is suspicious (the accrual detector of Hayashibara et al., 2004, reduced to a
//! threshold), within a floor and a cap from [`Timing`].

use std::collections::VecDeque;

use super::io::Timing;
use super::zxid::Nanos;

/// How many gaps are remembered: two seconds of heartbeats.
const SAMPLES: usize = 100;

/// Fewer gaps than this say nothing about the link.
const ENOUGH: usize = 8;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Detector {
    /// When something was heard last.
    heard: Nanos,
    /// When a heartbeat was heard last; `None` if the next gap would be misleading.
    beat: Option<Nanos>,
    /// Gaps in microseconds, which keeps their squares within bounds.
    gaps: VecDeque<u64>,
    sum: u64,
    squares: u64,
}

impl Detector {
    /// Begins with a sign of life `now`.
    pub(super) const fn new(now: Nanos) -> Self {
        Self {
            heard: now,
            beat: None,
            gaps: VecDeque::new(),
            sum: 0,
            squares: 0,
        }
    }

    /// Anything at all was heard.
    pub(super) fn hear(&mut self, now: Nanos) {
        self.heard = self.heard.max(now);
    }

    /// A heartbeat was heard.
    pub(super) fn beat(&mut self, now: Nanos) {
        self.hear(now);
        if let Some(last) = self.beat.replace(now) {
            self.record(now.since(last).0 / 1000);
        }
    }

    /// The observer itself stood still for `late`.
    pub(super) fn forgive(&mut self, late: Nanos) {
        self.heard = self.heard.after(late);
        self.beat = None;
    }

    /// For how long nothing was heard.
    pub(super) const fn silence(&self, now: Nanos) -> Nanos {
        now.since(self.heard)
    }

    /// When something was heard last.
    pub(super) const fn heard(&self) -> Nanos {
        self.heard
    }

    /// The silence that is suspicious.
    pub(super) fn timeout(&self, timing: &Timing) -> Nanos {
        let count = self.gaps.len() as u64;
        if self.gaps.len() < ENOUGH {
            return timing.suspect_floor;
        }
        let mean = self.sum / count;
        let variance = (self.squares / count).saturating_sub(mean * mean);
        let threshold = Nanos::from_micros(mean + 8 * variance.isqrt());
        threshold.max(timing.suspect_floor).min(timing.suspect_cap)
    }

    fn record(&mut self, gap: u64) {
        // A gap beyond the cap would have been suspected; its square must not overflow the sum.
        let gap = gap.min(10_000_000);
        self.gaps.push_back(gap);
        self.sum += gap;
        self.squares += gap * gap;
        if self.gaps.len() > SAMPLES
            && let Some(oldest) = self.gaps.pop_front()
        {
            self.sum -= oldest;
            self.squares -= oldest * oldest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_gaps(gaps: impl IntoIterator<Item = u64>) -> (Detector, Nanos) {
        let mut now = Nanos::ZERO;
        let mut detector = Detector::new(now);
        detector.beat(now);
        for gap in gaps {
            now = now.after(Nanos::from_millis(gap));
            detector.beat(now);
        }
        (detector, now)
    }

    #[test]
    fn regular_heartbeats_give_the_floor() {
        let (detector, _) = after_gaps([20; 50]);
        assert_eq!(
            detector.timeout(&Timing::default()),
            Timing::default().suspect_floor
        );
    }

    #[test]
    fn irregular_heartbeats_raise_the_timeout_up_to_the_cap() {
        let timing = Timing::default();
        let (irregular, _) = after_gaps((0..50).map(|i| if i % 4 == 0 { 80 } else { 20 }));
        let timeout = irregular.timeout(&timing);
        assert!(
            timeout > timing.suspect_floor && timeout < timing.suspect_cap,
            "{timeout:?}"
        );
        let (wild, _) = after_gaps((0..50).map(|i| if i % 4 == 0 { 900 } else { 20 }));
        assert_eq!(wild.timeout(&timing), timing.suspect_cap);
    }

    #[test]
    fn old_gaps_are_forgotten() {
        let wild = (0..50).map(|i| if i % 4 == 0 { 900 } else { 20 });
        let (detector, _) = after_gaps(wild.chain([20; SAMPLES]));
        assert_eq!(
            detector.timeout(&Timing::default()),
            Timing::default().suspect_floor
        );
    }

    #[test]
    fn a_stall_of_the_observer_is_not_held_against_the_peer() {
        let (mut detector, now) = after_gaps([20; 20]);
        let late = Nanos::from_millis(3000);
        detector.forgive(late);
        let now = now.after(late);
        assert_eq!(detector.silence(now), Nanos::ZERO);
        detector.beat(now.after(Nanos::from_millis(1)));
        assert_eq!(
            detector.timeout(&Timing::default()),
            Timing::default().suspect_floor
        );
    }
}

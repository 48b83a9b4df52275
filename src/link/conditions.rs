//! Conditions: the rules of one link, summed up for the hot path.
//!
//! A cut beats everything; losses of several rules are independent of each other; delays add up.
//! A link that loses every segment behaves as if it were cut: no retransmission ever gets through.

use std::time::Duration;

use super::rule::{DropLayer, Rule};

/// The shortest retransmission timeout of a TCP sender (Linux `TCP_RTO_MIN`).
const RTO_MIN: Duration = Duration::from_millis(200);
/// The longest (Linux `TCP_RTO_MAX`).
const RTO_MAX: Duration = Duration::from_secs(120);

/// What one link does with data at present.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Conditions {
    /// Nothing passes, everything is kept.
    pub(super) cut: bool,
    /// The probability that a frame vanishes.
    pub(super) frame_loss: f64,
    /// The probability that a segment must be sent again.
    pub(super) segment_loss: f64,
    /// By how much data is late,
    pub(super) delay: Duration,
    /// give or take up to this much.
    pub(super) jitter: Duration,
}

impl Conditions {
    /// The sum of `rules`.
    pub(super) fn of(rules: &[Rule]) -> Self {
        let mut sum = Self::default();
        for rule in rules {
            match *rule {
                Rule::Cut => sum.cut = true,
                Rule::Drop {
                    loss,
                    layer: DropLayer::Frame,
                } => {
                    sum.frame_loss = either(sum.frame_loss, loss);
                }
                Rule::Drop {
                    loss,
                    layer: DropLayer::Stall,
                } => {
                    sum.segment_loss = either(sum.segment_loss, loss);
                }
                Rule::Delay { by, jitter } => {
                    sum.delay = sum.delay.saturating_add(by.into());
                    sum.jitter = sum.jitter.saturating_add(jitter.into());
                }
            }
        }
        sum.cut |= sum.segment_loss >= 1.0;
        sum
    }

    /// Whether data that has arrived may have to wait before it is passed on.
    pub(super) fn holds_back(&self) -> bool {
        self.segment_loss > 0.0 || !self.delay.is_zero() || !self.jitter.is_zero()
    }

    /// How late a piece of data is whose fate is `draw` (in `[0, 1)`): uniform over delay ± jitter,
    /// never negative.
    pub(super) fn lateness(&self, draw: f64) -> Duration {
        (self.delay + self.jitter.mul_f64(2.0 * draw)).saturating_sub(self.jitter)
    }
}

/// The retransmission timeout of a connection with this round trip:
/// max(200 ms, srtt + 4 × rttvar) (RFC 6298 with Linux' floor).
pub(super) fn retransmission_timeout(round_trip: Duration, variation: Duration) -> Duration {
    (round_trip + variation * 4).clamp(RTO_MIN, RTO_MAX)
}

/// How long a segment is held that is lost `losses` times in a row: the timeout doubles with each
/// try, up to 120 s. `fast`: the first loss was repaired by a fast retransmit, which costs one
/// round trip in place of the first timeout.
pub(super) fn hold_for(
    losses: u32,
    timeout: Duration,
    round_trip: Duration,
    fast: bool,
) -> Duration {
    let timeouts = if fast {
        losses.saturating_sub(1)
    } else {
        losses
    };
    let mut total = if fast && losses > 0 {
        round_trip
    } else {
        Duration::ZERO
    };
    let mut next = timeout;
    for _ in 0..timeouts {
        total += next;
        next = (next * 2).min(RTO_MAX);
    }
    total
}

/// The probability that at least one of two independent losses strikes.
fn either(one: f64, other: f64) -> f64 {
    1.0 - (1.0 - one) * (1.0 - other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;

    #[test]
    fn a_cut_beats_all_losses_combine_and_delays_add_up() {
        let stall = |loss| Rule::Drop {
            loss,
            layer: DropLayer::Stall,
        };
        let delay = Rule::Delay {
            by: Nanos::from_millis(10),
            jitter: Nanos::from_millis(2),
        };
        let sum = Conditions::of(&[delay, stall(0.5), delay, stall(0.5)]);
        assert!(!sum.cut);
        assert!((sum.segment_loss - 0.75).abs() < 1e-9);
        assert_eq!(sum.delay, Duration::from_millis(20));
        assert_eq!(sum.jitter, Duration::from_millis(4));
        assert!(Conditions::of(&[delay, Rule::Cut]).cut);
        assert!(Conditions::of(&[stall(1.0)]).cut);
        assert_eq!(Conditions::of(&[]), Conditions::default());
    }

    #[test]
    fn lateness_stays_within_the_jitter_and_is_never_negative() {
        let rule = Rule::Delay {
            by: Nanos::from_millis(10),
            jitter: Nanos::from_millis(4),
        };
        let sum = Conditions::of(&[rule]);
        assert_eq!(sum.lateness(0.0), Duration::from_millis(6));
        assert_eq!(sum.lateness(0.5), Duration::from_millis(10));
        assert!(sum.lateness(0.999) < Duration::from_millis(14));
        let wild = Rule::Delay {
            by: Nanos::from_millis(1),
            jitter: Nanos::from_millis(4),
        };
        assert_eq!(Conditions::of(&[wild]).lateness(0.0), Duration::ZERO);
    }

    #[test]
    fn each_further_loss_doubles_the_timeout_up_to_two_minutes() {
        let timeout = retransmission_timeout(Duration::ZERO, Duration::ZERO);
        let hold = |losses, fast| hold_for(losses, timeout, Duration::from_millis(1), fast);
        assert_eq!(hold(0, false), Duration::ZERO);
        assert_eq!(hold(1, false), Duration::from_millis(200));
        assert_eq!(hold(3, false), Duration::from_millis(200 + 400 + 800));
        assert_eq!(hold(1, true), Duration::from_millis(1));
        assert_eq!(hold(2, true), Duration::from_millis(1 + 200));
        assert_eq!(hold(13, false) - hold(12, false), RTO_MAX);
        assert_eq!(
            retransmission_timeout(Duration::from_millis(300), Duration::from_millis(10)),
            Duration::from_millis(340)
        );
    }
}

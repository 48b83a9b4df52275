//! Conditions: the rules of one link, summed up for the hot path.
//!
//! A cut beats everything; losses of several rules are independent of each other; delays add up.
//! A link that loses every segment behaves as if it were cut: no retransmission ever gets through.

use std::time::Duration;

use super::rule::{DropLayer, Rule, Spread};

/// The shortest retransmission timeout of a TCP sender (Linux `TCP_RTO_MIN`).
const RTO_MIN: Duration = Duration::from_millis(200);
/// The longest (Linux `TCP_RTO_MAX`).
const RTO_MAX: Duration = Duration::from_secs(120);

/// What one link does with data at present.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Conditions {
    /// Nothing passes, everything is kept.
    pub cut: bool,
    /// The probability that a frame vanishes,
    pub frame_loss: f64,
    /// or a packet.
    pub packet_loss: f64,
    /// The probability that a frame comes twice,
    pub frame_double: f64,
    /// is overtaken by the next,
    pub frame_late: f64,
    /// or, as a segment where nothing is framed, has a bit flipped.
    pub flip: f64,
    /// The probability that a segment must be sent again,
    pub segment_loss: f64,
    /// or is deleted from the stream.
    pub segment_delete: f64,
    /// How many bytes may pass in a second.
    pub rate: Option<u64>,
    /// By how much data is late,
    pub delay: Duration,
    /// give or take this much.
    pub jitter: Jitter,
}

/// The jitters of all delays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Jitter {
    uniform: Duration,
    normal: Duration,
    pareto: Duration,
}

/// The exponent of the Pareto distribution: the smallest whole one with a finite variance.
const PARETO: f64 = 3.0;
/// Its longest excess, in means.
const PARETO_MOST: f64 = 100.0;

impl Conditions {
    /// The sum of `rules`.
    #[must_use]
    pub fn of(rules: &[Rule]) -> Self {
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
                Rule::Drop {
                    loss,
                    layer: DropLayer::Corrupt,
                } => {
                    sum.segment_delete = either(sum.segment_delete, loss);
                }
                Rule::Drop {
                    loss,
                    layer: DropLayer::Packet,
                } => {
                    sum.packet_loss = either(sum.packet_loss, loss);
                }
                Rule::Delay { by, jitter, spread } => {
                    sum.delay = sum.delay.saturating_add(by.into());
                    let sum = match spread {
                        Spread::Uniform => &mut sum.jitter.uniform,
                        Spread::Normal => &mut sum.jitter.normal,
                        Spread::Pareto => &mut sum.jitter.pareto,
                    };
                    *sum = sum.saturating_add(jitter.into());
                }
                Rule::Throttle { rate } => {
                    sum.rate = Some(sum.rate.map_or(rate, |other| other.min(rate)));
                }
                Rule::Corrupt { share } => sum.flip = either(sum.flip, share),
                Rule::Duplicate { share } => sum.frame_double = either(sum.frame_double, share),
                Rule::Reorder { share } => sum.frame_late = either(sum.frame_late, share),
            }
        }
        sum.cut |= sum.segment_loss >= 1.0;
        sum
    }

    /// The probability that a packet vanishes, where each is a message of its own.
    #[must_use]
    pub fn packet_loss(&self) -> f64 {
        either(self.packet_loss, self.frame_loss)
    }

    /// Whether everything passes as if there were no rules.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        *self == Self::default()
    }

    /// Whether data that has arrived may have to wait before it is passed on.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.segment_loss > 0.0 || !self.delay.is_zero() || !self.jitter.is_zero()
    }

    /// How late a piece of data is whose fate is `draw` (in `[0, 1)`), never negative.
    #[must_use]
    pub fn lateness(&self, draw: f64) -> Duration {
        let Jitter {
            uniform,
            normal,
            pareto,
        } = self.jitter;
        let mut late = self.delay + uniform.mul_f64(2.0 * draw);
        let mut early = uniform;
        if !normal.is_zero() {
            let deviation = standard_normal(draw);
            let way = if deviation < 0.0 {
                &mut early
            } else {
                &mut late
            };
            *way += normal.mul_f64(deviation.abs());
        }
        if !pareto.is_zero() {
            let excess = (PARETO - 1.0) * ((1.0 - draw).powf(-1.0 / PARETO) - 1.0);
            late += pareto.mul_f64(excess.min(PARETO_MOST));
        }
        late.saturating_sub(early)
    }
}

impl Jitter {
    pub(super) fn is_zero(&self) -> bool {
        self.sum().is_zero()
    }

    /// All of it.
    pub(super) fn sum(&self) -> Duration {
        self.uniform
            .saturating_add(self.normal)
            .saturating_add(self.pareto)
    }
}

/// A value of the standard normal distribution for a uniform one (Box–Muller): its upper 26 bits
/// are the radius, the lower 27 the angle.
fn standard_normal(draw: f64) -> f64 {
    let halves = draw * f64::from(1_u32 << 26);
    let radius = (-2.0 * (1.0 - halves.floor() / f64::from(1_u32 << 26)).ln()).sqrt();
    radius * (std::f64::consts::TAU * halves.fract()).cos()
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
            spread: Spread::Uniform,
        };
        let sum = Conditions::of(&[delay, stall(0.5), delay, stall(0.5)]);
        assert!(!sum.cut);
        assert!((sum.segment_loss - 0.75).abs() < 1e-9);
        assert_eq!(sum.delay, Duration::from_millis(20));
        assert_eq!(sum.jitter.sum(), Duration::from_millis(4));
        assert!(Conditions::of(&[delay, Rule::Cut]).cut);
        assert!(Conditions::of(&[stall(1.0)]).cut);
        assert_eq!(Conditions::of(&[]), Conditions::default());
    }

    #[test]
    fn lateness_stays_within_the_jitter_and_is_never_negative() {
        let rule = Rule::Delay {
            by: Nanos::from_millis(10),
            jitter: Nanos::from_millis(4),
            spread: Spread::Uniform,
        };
        let sum = Conditions::of(&[rule]);
        assert_eq!(sum.lateness(0.0), Duration::from_millis(6));
        assert_eq!(sum.lateness(0.5), Duration::from_millis(10));
        assert!(sum.lateness(0.999) < Duration::from_millis(14));
        let wild = Rule::Delay {
            by: Nanos::from_millis(1),
            jitter: Nanos::from_millis(4),
            spread: Spread::Uniform,
        };
        assert_eq!(Conditions::of(&[wild]).lateness(0.0), Duration::ZERO);
    }

    #[test]
    fn the_slowest_throttle_counts_and_shares_combine() {
        let sum = Conditions::of(&[
            Rule::Throttle { rate: 9_000 },
            Rule::Throttle { rate: 4_000 },
            Rule::Duplicate { share: 0.5 },
            Rule::Duplicate { share: 0.5 },
            Rule::Reorder { share: 0.1 },
            Rule::Corrupt { share: 0.2 },
        ]);
        assert_eq!(sum.rate, Some(4_000));
        assert!((sum.frame_double - 0.75).abs() < 1e-9);
        assert!((sum.frame_late - 0.1).abs() < 1e-9);
        assert!((sum.flip - 0.2).abs() < 1e-9);
        assert!(!sum.cut && !sum.holds_back());
    }

    #[test]
    fn a_spread_has_the_mean_and_the_deviation_that_it_promises() {
        let (by, jitter) = (0.1, 0.01);
        // (spread, mean, standard deviation)
        for (spread, mean, deviation) in [
            (Spread::Uniform, by, jitter / 3_f64.sqrt()),
            (Spread::Normal, by, jitter),
            // A Lomax distribution with exponent 3 deviates by its mean times √3.
            (Spread::Pareto, by + jitter, jitter * 3_f64.sqrt()),
        ] {
            let sum = Conditions::of(&[Rule::Delay {
                by: Nanos::from_millis(100),
                jitter: Nanos::from_millis(10),
                spread,
            }]);
            let key = crate::link::fate::FateKey::new(
                crate::seed::Seed(5),
                crate::link::LinkId::new(
                    crate::link::Endpoint::Clients,
                    crate::link::Endpoint::Node(crate::id::NodeId(1)),
                ),
            );
            let values: Vec<f64> = (0..200_000)
                .map(|index| {
                    let draw = key.draw(crate::link::fate::Draw::Jitter, index);
                    sum.lateness(draw).as_secs_f64()
                })
                .collect();
            let count = 200_000.0;
            let got = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|v| (v - got).powi(2)).sum::<f64>() / count;
            assert!((got / mean - 1.0).abs() < 0.01, "{spread:?}: mean {got}");
            let ratio = variance.sqrt() / deviation;
            assert!(
                (ratio - 1.0).abs() < 0.15,
                "{spread:?}: deviates by {ratio}"
            );
            if spread == Spread::Pareto {
                assert!(values.iter().all(|value| *value >= by));
            }
        }
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

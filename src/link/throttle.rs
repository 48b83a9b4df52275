//! The throttle of one link: turns that all its connections take, one behind the other.
//!
//! A turn of some bytes takes as long as these bytes need at the rate. Whoever asks gets the next
//! turn that is free, so that no connection starves another. A link that was idle, or whose turns
//! were used late because timers are coarse, may catch up on the last 20 ms and no more: that is
//! the depth of the token bucket.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// How far behind the turns may lie.
const SLACK: Duration = Duration::from_millis(20);
/// The length of one turn, unless that is less than a segment.
const TURN: f64 = 0.004;
/// The smallest piece worth a turn of its own.
const PIECE_MIN: usize = 1448;

/// The turns of one link.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// When the last turn that was given ends.
    taken_until: Cell<Option<Instant>>,
}

/// A permission to pass on some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Not before.
    pub(super) due: Instant,
    /// How many.
    pub(super) bytes: usize,
}

impl Turn {
    /// What is left of it after this many bytes.
    pub(super) fn after(self, bytes: usize) -> Option<Self> {
        let bytes = self.bytes.saturating_sub(bytes);
        (bytes > 0).then_some(Self { bytes, ..self })
    }
}

impl Turns {
    /// The next free turn at `rate` bytes per second, for `wanted` bytes or fewer.
    #[expect(
        clippy::cast_precision_loss,
        reason = "rates and lengths are far below 2^53"
    )]
    pub(super) fn take(&self, now: Instant, rate: u64, wanted: usize) -> Turn {
        let rate = rate.max(1) as f64;
        let bytes = wanted.min(most(rate));
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let start = match self.taken_until.get() {
            Some(until) => until.max(earliest),
            None => now,
        };
        let due = start + Duration::from_secs_f64(bytes as f64 / rate);
        self.taken_until.set(Some(due));
        Turn { due, bytes }
    }

    /// The link has another rate: turns that were given mean nothing any more.
    pub(super) fn forget(&self) {
        self.taken_until.set(None);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as saturates, and a rate is not negative"
)]
fn most(rate: f64) -> usize {
    ((rate * TURN) as usize).max(PIECE_MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn however_turns_are_asked_for_the_rate_is_kept_and_used(
            rate in 1_000_u64..1_000_000_000,
            asks in prop::collection::vec((1_usize..100_000, 0_u64..40_000), 1..60),
        ) {
            let turns = Turns::default();
            let start = Instant::now();
            let (mut now, mut passed, mut last) = (start, 0_usize, start);
            for (wanted, idle) in asks {
                now += Duration::from_micros(idle);
                let turn = turns.take(now, rate, wanted);
                prop_assert!(turn.bytes >= 1 && turn.bytes <= wanted);
                prop_assert!(turn.due >= last);
                last = turn.due;
                passed += turn.bytes;
                // Never more than the rate allows, but for the slack.
                let allowed = (turn.due - start + SLACK).as_secs_f64() * rate as f64;
                prop_assert!(passed as f64 <= allowed + 1.0);
                now = now.max(turn.due);
            }
        }

        #[test]
        fn a_busy_link_passes_exactly_its_rate(rate in 10_000_u64..100_000_000) {
            let turns = Turns::default();
            let start = Instant::now();
            let (mut passed, mut due) = (0, start);
            while passed < 1_000_000 {
                let turn = turns.take(due, rate, 1_000_000 - passed);
                passed += turn.bytes;
                due = turn.due;
            }
            let wanted = 1e6 / rate as f64;
            prop_assert!(((due - start).as_secs_f64() / wanted - 1.0).abs() < 1e-3);
        }
    }
}

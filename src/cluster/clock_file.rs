//! The file by which a node's clocks are wrong: the harness writes a law, the node answers when it
//! obeys. The bundled node explains the file in its module `clock::skew`.
//!
//! The monotonic clock of a node goes on without a jump when its rate changes, so the harness keeps
//! the instant, on both axes, from which the present rate counts.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::process::LANDS_WITHIN;
use crate::clock::Nanos;

/// The name of the file in a node's folder.
pub const CLOCK_FILE: &str = "clock";
/// The variable that tells a node of it.
pub const CLOCK_VARIABLE: &str = "CHAOS_CLOCK";

/// Nine words: a number, five of the law, its anchor, the number again, the node's answer.
const WORDS: usize = 9;
const ANSWER_AT: u64 = 64;

/// How far the clocks of a node are off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Skew {
    /// The wall clock is ahead by this many milliseconds.
    pub bump_ms: i64,
    /// In every second period it is ahead by this many more.
    pub strobe_ms: i64,
    /// The period of that; zero for none.
    pub strobe_period: Nanos,
    /// Both clocks run this fast; 1 is right.
    pub rate: f64,
}

impl Default for Skew {
    fn default() -> Self {
        Self {
            bump_ms: 0,
            strobe_ms: 0,
            strobe_period: Nanos::ZERO,
            rate: 1.0,
        }
    }
}

impl Skew {
    /// Both together: bumps add up, rates multiply, the other's strobe is taken if there is none.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let strobe = if self.strobe_period == Nanos::ZERO {
            other
        } else {
            self
        };
        Self {
            bump_ms: self.bump_ms.saturating_add(other.bump_ms),
            strobe_ms: strobe.strobe_ms,
            strobe_period: strobe.strobe_period,
            rate: self.rate * other.rate,
        }
    }
}

/// The clock file of one node.
#[derive(Debug)]
pub(super) struct ClockFile {
    file: File,
    number: u64,
    skew: Skew,
    /// An instant on the true and on the skewed axis.
    anchor: (u64, u64),
}

impl ClockFile {
    /// A file that says that the clocks are right.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        file.write_all_at(&[0; WORDS * 8], 0)?;
        Ok(Self {
            file,
            number: 0,
            skew: Skew::default(),
            anchor: (0, 0),
        })
    }

    /// What it says now.
    pub(super) const fn skew(&self) -> Skew {
        self.skew
    }

    /// Says something else. `now` is absolute `CLOCK_MONOTONIC` in nanoseconds.
    pub(super) fn set(&mut self, skew: Skew, now: u64) -> io::Result<()> {
        self.anchor = (now, self.skewed(now));
        self.skew = skew;
        self.number += 1;
        let words = [
            self.number,
            skew.bump_ms.cast_unsigned(),
            skew.strobe_ms.cast_unsigned(),
            skew.strobe_period.0,
            skew.rate.to_bits(),
            self.anchor.0,
            self.anchor.1,
            self.number,
        ];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.file.write_all_at(&bytes, 0)
    }

    /// Waits until the node obeys what was said last.
    pub(super) async fn is_obeyed(&self) -> io::Result<()> {
        let deadline = Instant::now() + LANDS_WITHIN;
        let mut answer = [0; 8];
        loop {
            self.file.read_exact_at(&mut answer, ANSWER_AT)?;
            if u64::from_le_bytes(answer) == self.number {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the node does not look at its clock file",
                ));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a nanosecond in a hundred days is lost; the anchor lies in the past"
    )]
    fn skewed(&self, now: u64) -> u64 {
        if self.number == 0 {
            return now;
        }
        let since = now.saturating_sub(self.anchor.0);
        self.anchor.1 + (since as f64 * self.skew.rate) as u64
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_skewed_axis_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut clock = ClockFile::create(&folder.path().join("clock")).unwrap();
        let rate = |rate| Skew {
            rate,
            ..Skew::default()
        };
        clock.set(rate(2.0), 100 * SECOND).unwrap();
        clock.set(rate(0.5), 110 * SECOND).unwrap();
        assert_eq!(clock.anchor, (110 * SECOND, 120 * SECOND));
        clock.set(Skew::default(), 120 * SECOND).unwrap();
        assert_eq!(clock.anchor, (120 * SECOND, 125 * SECOND));
        assert_eq!(clock.skewed(130 * SECOND), 135 * SECOND);
    }

    #[test]
    fn skews_of_two_faults_add_up() {
        let one = Skew {
            bump_ms: 500,
            rate: 2.0,
            ..Skew::default()
        };
        let other = Skew {
            bump_ms: -200,
            strobe_ms: 7,
            strobe_period: Nanos(5),
            rate: 0.5,
        };
        let both = Skew {
            bump_ms: 300,
            strobe_ms: 7,
            strobe_period: Nanos(5),
            rate: 1.0,
        };
        assert_eq!(one.and(other), both);
        assert_eq!(one.and(Skew::default()), one);
    }
}

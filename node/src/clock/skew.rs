//! A clock that is wrong on purpose.
//!
//! A node that is started with `CHAOS_CLOCK=FILE` follows what that file says of its clocks: 72 bytes,
//! nine little-endian words. Who writes the file gives the first and the eighth the same number,
//! greater than before; the node writes that number into the ninth once it obeys. A file with two
//! different numbers is being written: what was read before still holds.
//!
//! *Anchor*: an instant on both axes, true and skewed, from which skewed time goes on at its rate.
//! It makes skewed monotonic time go on without a jump when the rate changes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The words of a file, without the answer.
const WORDS: usize = 8;
/// Where the answer stands.
const ANSWER_AT: u64 = (WORDS * 8) as u64;

/// How far the clocks are off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Law {
    /// The wall clock is ahead by this many milliseconds,
    pub(super) bump_ms: i64,
    /// and by these as well in every second period of
    pub(super) strobe_ms: i64,
    /// so many true nanoseconds; 0 for none.
    pub(super) strobe_period: u64,
    /// Both clocks run this fast.
    pub(super) rate: f64,
    /// True monotonic nanoseconds at the anchor,
    pub(super) anchor: u64,
    /// and skewed ones.
    pub(super) skewed: u64,
}

impl Law {
    /// Skewed monotonic time.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a nanosecond in a hundred days is lost; time since the anchor is not negative"
    )]
    pub(super) fn monotonic(&self, now: u64) -> u64 {
        let since = now.saturating_sub(self.anchor);
        self.skewed + (since as f64 * self.rate) as u64
    }

    /// Skewed wall time, from true times.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "milliseconds of a run"
    )]
    pub(super) fn wall(&self, wall_ms: i64, now: u64) -> i64 {
        let since = now.saturating_sub(self.anchor) as f64 / 1e6;
        let drift = (since * (self.rate - 1.0)) as i64;
        let is_off = self.strobe_period > 0 && (now / self.strobe_period) % 2 == 1;
        let strobe = if is_off { self.strobe_ms } else { 0 };
        wall_ms + self.bump_ms + strobe + drift
    }
}

/// A file that tells how far the clocks are off.
#[derive(Debug)]
pub(super) struct Skew {
    file: File,
    obeyed: AtomicU64,
    /// Monotonic time never goes back, not even by what passes while a law is written.
    latest: AtomicU64,
}

impl Skew {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::options().read(true).write(true).open(path)?,
            obeyed: AtomicU64::new(0),
            latest: AtomicU64::new(0),
        })
    }

    /// What holds now; `None` for true clocks. A new law is answered.
    pub(super) fn law(&self) -> Option<Law> {
        let mut words = [0; WORDS];
        // A law that is being written is complete in a moment.
        for _ in 0..1_000 {
            words = self.words()?;
            if words[0] == words[WORDS - 1] {
                break;
            }
        }
        let [number, bump, strobe, strobe_period, rate, anchor, skewed, _] = words;
        if number == 0 {
            return None;
        }
        if self.obeyed.swap(number, Ordering::Relaxed) != number {
            // Who waits for the answer will say that it did not come.
            let _ = self.file.write_all_at(&number.to_le_bytes(), ANSWER_AT);
        }
        Some(Law {
            bump_ms: bump.cast_signed(),
            strobe_ms: strobe.cast_signed(),
            strobe_period,
            rate: f64::from_bits(rate),
            anchor,
            skewed,
        })
    }

    /// `time`, or the latest that was told if that is later.
    pub(super) fn forward(&self, time: u64) -> u64 {
        self.latest.fetch_max(time, Ordering::Relaxed).max(time)
    }

    fn words(&self) -> Option<[u64; WORDS]> {
        let mut bytes = [0; WORDS * 8];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn law() -> Law {
        Law {
            bump_ms: 0,
            strobe_ms: 0,
            strobe_period: 0,
            rate: 1.0,
            anchor: 100 * SECOND,
            skewed: 100 * SECOND,
        }
    }

    #[test]
    fn a_bump_moves_the_wall_clock_only() {
        let law = Law {
            bump_ms: -5_000,
            ..law()
        };
        assert_eq!(law.wall(1_000_000, 101 * SECOND), 995_000);
        assert_eq!(law.monotonic(101 * SECOND), 101 * SECOND);
    }

    #[test]
    fn a_rate_moves_both_clocks_from_the_anchor_on() {
        let law = Law { rate: 1.5, ..law() };
        assert_eq!(law.monotonic(100 * SECOND), 100 * SECOND);
        assert_eq!(law.monotonic(102 * SECOND), 103 * SECOND);
        assert_eq!(law.wall(1_000, 102 * SECOND), 2_000);
    }

    #[test]
    fn a_strobe_is_there_every_second_period() {
        let law = Law {
            strobe_ms: 200,
            strobe_period: SECOND,
            ..law()
        };
        let seen: Vec<i64> = (100..104)
            .map(|second| law.wall(0, second * SECOND))
            .collect();
        assert_eq!(seen, [0, 200, 0, 200]);
    }

    #[test]
    fn a_law_is_obeyed_when_it_is_complete_and_answered_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        let write = |first: u64, last: u64| {
            let words = [first, 7, 0, 0, 1.0_f64.to_bits(), 0, 0, last, 0];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            std::fs::write(&path, bytes).unwrap();
        };
        write(0, 0);
        let skew = Skew::open(&path).unwrap();
        assert_eq!(skew.law(), None);
        write(3, 3);
        assert_eq!(skew.law().map(|law| law.bump_ms), Some(7));
        let answer = std::fs::read(&path).unwrap()[64..72].to_vec();
        assert_eq!(answer, 3_u64.to_le_bytes());
    }

    #[test]
    fn time_never_goes_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let skew = Skew::open(file.path()).unwrap();
        assert_eq!(skew.forward(5), 5);
        assert_eq!(skew.forward(3), 5);
        assert_eq!(skew.forward(6), 6);
    }
}

//! The one clock of a run: nanoseconds of `CLOCK_MONOTONIC`, counted from the run's origin.
//!
//! All processes of a run share one kernel, hence this clock. A node's trace carries absolute
//! monotonic time; [`RunClock::at_absolute`] places it on the run's axis.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant since the run's origin, or a length of time, in nanoseconds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The run's origin, or no time at all.
    pub const ZERO: Self = Self(0);
    /// Later than everything.
    pub const MAX: Self = Self(u64::MAX);

    /// From whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// From whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// In seconds, for people and for charts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for display only")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// In milliseconds, for people and for charts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for display only")]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Reads one number with a unit of time: `5s`, `1.5 ms`; `None` if it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at(digits);
        let nanos = number.parse::<f64>().ok()? * unit_of_time(unit.trim_start())?;
        Some(Self(nanos.round() as u64))
    }

    /// `self − other`, or zero if `other` is later.
    #[must_use]
    pub const fn since(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Nanos {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.since(other)
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0)
    }
}

/// Three significant digits with a unit: `412 ns`, `1.63 ms`, `12.0 s`.
impl fmt::Display for Nanos {
    #[expect(clippy::cast_precision_loss, reason = "for display only")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0 as f64;
        let (value, unit) = match self.0 {
            0..1_000 => return write!(f, "{} ns", self.0),
            1_000..999_500 => (ns / 1e3, "µs"),
            999_500..999_500_000 => (ns / 1e6, "ms"),
            _ => (ns / 1e9, "s"),
        };
        let decimals = match value {
            v if v < 9.995 => 2,
            v if v < 99.95 => 1,
            _ => 0,
        };
        write!(f, "{value:.decimals$} {unit}")
    }
}

/// The length of a unit of time in nanoseconds: `ns`, `us`, `ms`, `s`, `m`, `h`.
#[must_use]
pub fn unit_of_time(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

/// Reads `CLOCK_MONOTONIC` relative to an origin taken once per run.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    origin: u64,
}

impl RunClock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: monotonic(),
        }
    }

    /// Time since the origin.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.at_absolute(monotonic())
    }

    /// Places an absolute `CLOCK_MONOTONIC` value on the run's axis; earlier than the origin is 0.
    #[must_use]
    pub const fn at_absolute(&self, monotonic_ns: u64) -> Nanos {
        Nanos(monotonic_ns.saturating_sub(self.origin))
    }

    /// The origin as absolute `CLOCK_MONOTONIC` nanoseconds.
    #[must_use]
    pub const fn origin(&self) -> u64 {
        self.origin
    }
}

/// Absolute `CLOCK_MONOTONIC` in nanoseconds.
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    secs * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_with_three_digits_and_a_unit() {
        for (ns, text) in [
            (412, "412 ns"),
            (1_630_000, "1.63 ms"),
            (41_000_000, "41.0 ms"),
            (611_000_000, "611 ms"),
            (12_000_000_000, "12.0 s"),
            (999_600, "1.00 ms"),
            (61_200, "61.2 µs"),
        ] {
            assert_eq!(Nanos(ns).to_string(), text);
        }
    }

    #[test]
    fn the_clock_never_runs_backwards() {
        let clock = RunClock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert_eq!(
            clock.at_absolute(clock.origin().saturating_sub(5)),
            Nanos::ZERO
        );
    }
}

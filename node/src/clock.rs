//! The two clocks of a node: monotonic nanoseconds for everything that is compared or measured, wall
//! milliseconds only for the times that clients see in a node's `Stat`.
//!
//! Monotonic time is absolute `CLOCK_MONOTONIC`, shared by all processes of one kernel, so that the
//! traces of several nodes lie on one axis.

use nix::time::{ClockId, clock_gettime};

/// Absolute `CLOCK_MONOTONIC`, in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    let seconds = u64::try_from(now.tv_sec()).expect("monotonic time is never negative");
    let nanos = u64::try_from(now.tv_nsec()).expect("a part of a second is never negative");
    seconds * 1_000_000_000 + nanos
}

/// Milliseconds since 1970.
#[must_use]
pub fn wall_ms() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("every Linux has this clock");
    now.tv_sec() * 1_000 + now.tv_nsec() / 1_000_000
}

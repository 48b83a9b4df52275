//! The two clocks of a node: monotonic nanoseconds for everything that is compared or measured, wall
//! milliseconds only for the times that clients see in a node's `Stat`.
//!
//! True monotonic time is absolute `CLOCK_MONOTONIC`, shared by all processes of one kernel, so that
//! the traces of several nodes lie on one axis. What the node itself goes by may be wrong on
//! purpose: `skew`.

mod skew;

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use skew::{Law, Skew};

/// The variable of the environment that names the file by which the clocks are wrong.
pub const CLOCK_VARIABLE: &str = "CHAOS_CLOCK";

static SKEW: OnceLock<Skew> = OnceLock::new();

/// Lets the clocks follow a file from now on, see `skew`.
///
/// # Errors
/// If it cannot be opened for reading and writing.
pub fn follow(path: &Path) -> io::Result<()> {
    let skew = Skew::open(path)?;
    // Whoever follows a file already goes on with that one.
    let _ = SKEW.set(skew);
    Ok(())
}

/// Absolute `CLOCK_MONOTONIC`, in nanoseconds, whatever the node believes: for traces.
#[must_use]
pub fn true_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    let seconds = u64::try_from(now.tv_sec()).expect("monotonic time is never negative");
    let nanos = u64::try_from(now.tv_nsec()).expect("a part of a second is never negative");
    seconds * 1_000_000_000 + nanos
}

/// The monotonic time that the node goes by, in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let Some(skew) = SKEW.get() else {
        return true_ns();
    };
    let law = skew.law();
    let now = true_ns();
    skew.forward(law.map_or(now, |law| law.monotonic(now)))
}

/// How long it really is until the node's monotonic clock shows `deadline`.
#[must_use]
pub fn until(deadline: u64) -> Duration {
    let left = Duration::from_nanos(deadline.saturating_sub(monotonic_ns()));
    match law() {
        Some(law) if law.rate > 0.0 => left.div_f64(law.rate),
        _ => left,
    }
}

/// Milliseconds since 1970, as the node believes.
#[must_use]
pub fn wall_ms() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("every Linux has this clock");
    let wall = now.tv_sec() * 1_000 + now.tv_nsec() / 1_000_000;
    law().map_or(wall, |law| law.wall(wall, true_ns()))
}

fn law() -> Option<Law> {
    SKEW.get().and_then(Skew::law)
}

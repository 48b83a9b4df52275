//! Makes a failing schedule short: which of its steps are needed?
//!
//! First everything behind the failure goes, then ever smaller pieces of the rest are left out as
//! long as the same rule is still broken (the ddmin algorithm of Zeller and Hildebrandt, 2002).
//! What remains is *one-minimal*: no single step can be left out.

use super::play::{Outcome, Watch, class_of, play};
use super::schedule::Schedule;

/// How many runs are spent at most.
const RUNS: usize = 4000;

/// A schedule made short.
#[derive(Debug)]
pub(crate) struct Shrunk {
    /// The steps of the original schedule that are left, by their numbers.
    pub(crate) kept: Vec<usize>,
    /// The short schedule, played once more with its tail kept.
    pub(crate) outcome: Outcome,
    pub(crate) schedule: Schedule,
}

/// The steps with these numbers alone.
pub(crate) fn only(schedule: &Schedule, kept: &[usize]) -> Schedule {
    let steps = kept
        .iter()
        .filter_map(|&index| schedule.steps.get(index).copied())
        .collect();
    Schedule {
        steps,
        ..schedule.clone()
    }
}

/// Shrinks a schedule that fails with `error`.
pub(crate) fn shrink(schedule: &Schedule, error: &str) -> Shrunk {
    let class = class_of(error).to_owned();
    let mut runs = 0;
    let mut fails = |kept: &[usize]| {
        runs += 1;
        runs <= RUNS
            && play(&only(schedule, kept), Watch::default())
                .error
                .is_some_and(|error| class_of(&error) == class)
    };
    let mut kept: Vec<usize> = (0..schedule.steps.len()).collect();
    shorten(&mut kept, &mut fails);
    let mut piece = kept.len().div_ceil(2);
    while piece > 0 {
        let before = kept.len();
        let mut start = 0;
        while start < kept.len() {
            let end = (start + piece).min(kept.len());
            let without: Vec<usize> = [&kept[..start], &kept[end..]].concat();
            if fails(&without) {
                kept = without;
            } else {
                start = end;
            }
        }
        piece = match kept.len() {
            // The last pass must find nothing more to leave out.
            left if piece == 1 && left < before => 1,
            _ => piece / 2,
        };
    }
    let schedule = only(schedule, &kept);
    let watch = Watch {
        tail: true,
        ..Watch::default()
    };
    Shrunk {
        outcome: play(&schedule, watch),
        kept,
        schedule,
    }
}

/// Finds by halving how many of the first steps suffice.
fn shorten(kept: &mut Vec<usize>, fails: &mut impl FnMut(&[usize]) -> bool) {
    let (mut too_few, mut enough) = (0, kept.len());
    while too_few + 1 < enough {
        let middle = usize::midpoint(too_few, enough);
        if fails(&kept[..middle]) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    kept.truncate(enough);
}

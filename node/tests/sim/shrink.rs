//! Makes a failing schedule short: which of its steps are needed?
//!
//! First everything behind the failure goes, then ever smaller pieces of the rest are left out as
//! long as the same rule is still broken (the ddmin algorithm of Zeller and Hildebrandt, 2002).
//! What remains is *one-minimal*: no single step can be left out.

use super::action::Action;
use super::play::{Outcome, Watch, class_of, play};
use super::schedule::Schedule;

/// How many runs are spent at most.
const RUNS: usize = 8000;

/// How many other chances are tried for a candidate that does not fail.
const OTHER_CHANCES: u64 = 3;

/// How many for the few candidates that would leave out most at once.
const MANY_CHANCES: u64 = 400;

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

/// Tries candidates.
struct Trial<'a> {
    schedule: &'a Schedule,
    class: String,
    /// The chance of the last candidate that failed.
    chance: u64,
    runs: usize,
}

impl Trial<'_> {
    /// Whether these steps break the same rule. Without some of the steps the same chance falls
    /// on other messages, so a few others are tried as well.
    fn fails(&mut self, kept: &[usize], other_chances: u64) -> bool {
        let candidate = only(self.schedule, kept);
        let others = (1..=other_chances).map(|other| self.schedule.chance ^ other << 40);
        for chance in [self.chance].into_iter().chain(others) {
            self.runs += 1;
            if self.runs > RUNS {
                return false;
            }
            let candidate = Schedule {
                chance,
                ..candidate.clone()
            };
            let error = play(&candidate, Watch::default()).error;
            if error.is_some_and(|error| class_of(&error) == self.class) {
                self.chance = chance;
                return true;
            }
        }
        false
    }
}

/// Shrinks a schedule that fails with `error`.
pub(crate) fn shrink(schedule: &Schedule, error: &str) -> Shrunk {
    let mut trial = Trial {
        schedule,
        class: class_of(error).to_owned(),
        chance: schedule.chance,
        runs: 0,
    };
    let mut kept: Vec<usize> = (0..schedule.steps.len()).collect();
    shorten(&mut kept, &mut trial);
    leap(&mut kept, &mut trial);
    let mut piece = kept.len().div_ceil(2);
    while piece > 0 {
        let before = kept.len();
        let mut start = 0;
        while start < kept.len() {
            let end = (start + piece).min(kept.len());
            let without: Vec<usize> = [&kept[..start], &kept[end..]].concat();
            if trial.fails(&without, OTHER_CHANCES) {
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
    let schedule = Schedule {
        chance: trial.chance,
        ..only(schedule, &kept)
    };
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
fn shorten(kept: &mut Vec<usize>, trial: &mut Trial<'_>) {
    let (mut too_few, mut enough) = (0, kept.len());
    while too_few + 1 < enough {
        let middle = usize::midpoint(too_few, enough);
        if trial.fails(&kept[..middle], 0) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    kept.truncate(enough);
}

/// Tries to leave out the load and the older faults altogether.
fn leap(kept: &mut Vec<usize>, trial: &mut Trial<'_>) {
    let is_fault = |&index: &usize| {
        let action = trial.schedule.steps[index].action;
        !matches!(
            action,
            Action::Write(..) | Action::Read(_) | Action::Client(_)
        )
    };
    let faults: Vec<usize> = kept.iter().copied().filter(is_fault).collect();
    let candidates = [
        (&faults, 4),
        (&faults, 2),
        (&faults, 1),
        (&*kept, 8),
        (&*kept, 4),
    ];
    let last_of =
        |(steps, part): (&Vec<usize>, usize)| steps[steps.len() - steps.len() / part..].to_vec();
    for last in candidates.map(last_of) {
        if trial.fails(&last, MANY_CHANCES) {
            *kept = last;
            break;
        }
    }
}

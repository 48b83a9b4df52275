//! Makes a failing schedule short: which of its steps are needed?
//!
//! First everything behind the failure goes, then whole kinds of actions, then ever smaller pieces of
//! the rest, as long as something still fails (the ddmin algorithm of Zeller and Hildebrandt, 2002).
//! What remains is *one-minimal* unless the work allowed was used up: no single step can be left out.

use std::mem::{Discriminant, discriminant};

use super::action::Action;
use super::play::{Outcome, Watch, class_of, play};
use super::schedule::Schedule;

/// How many states are gone through at most.
const WORK: u64 = 25_000_000;

/// How many other chances are tried at most for a candidate that does not fail: the more, the fewer
/// steps it has.
const OTHER_CHANCES: u64 = 60;

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

/// What goes wrong is either that something wrong happens, or that nothing does any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Safety,
    Availability,
    Liveness,
}

impl Kind {
    pub(crate) fn of(error: &str) -> Self {
        match class_of(error) {
            "I13" => Self::Availability,
            "liveness" => Self::Liveness,
            _ => Self::Safety,
        }
    }
}

/// Tries candidates.
struct Trial<'a> {
    schedule: &'a Schedule,
    kind: Kind,
    /// The chance of the last candidate that failed.
    chance: u64,
    work: u64,
}

impl Trial<'_> {
    /// Whether these steps fail in the same way. Without some of the steps the same chance falls
    /// on other messages, so others are tried as well.
    fn fails(&mut self, kept: &[usize]) -> bool {
        let others = (4000 / (kept.len() as u64 + 1)).clamp(1, OTHER_CHANCES);
        self.fails_with(kept, others)
    }

    fn fails_with(&mut self, kept: &[usize], others: u64) -> bool {
        let mut candidate = only(self.schedule, kept);
        let others = (1..=others).map(|other| self.schedule.chance ^ other << 40);
        for chance in [self.chance].into_iter().chain(others) {
            if self.work > WORK {
                return false;
            }
            candidate.chance = chance;
            let outcome = play(&candidate, Watch::default());
            self.work += outcome.states;
            if outcome.error.is_some_and(|it| Kind::of(&it) == self.kind) {
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
        kind: Kind::of(error),
        chance: schedule.chance,
        work: 0,
    };
    let mut kept: Vec<usize> = (0..schedule.steps.len()).collect();
    shorten(&mut kept, &mut trial);
    leave_kinds_out(&mut kept, &mut trial);
    let mut piece = kept.len().div_ceil(2);
    while piece > 0 {
        let before = kept.len();
        let mut start = 0;
        while start < kept.len() {
            let end = (start + piece).min(kept.len());
            let without: Vec<usize> = [&kept[..start], &kept[end..]].concat();
            if trial.fails(&without) {
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
        if trial.fails_with(&kept[..middle], 0) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    kept.truncate(enough);
}

/// Tries to leave out all actions of one kind at once, and all early ones.
fn leave_kinds_out(kept: &mut Vec<usize>, trial: &mut Trial<'_>) {
    let kind_of = |index: usize| discriminant(&trial.schedule.steps[index].action);
    let mut kinds: Vec<(usize, Discriminant<Action>)> = Vec::new();
    for &index in &*kept {
        let kind = kind_of(index);
        match kinds.iter_mut().find(|(_, known)| *known == kind) {
            Some((count, _)) => *count += 1,
            None => kinds.push((1, kind)),
        }
    }
    kinds.sort_by_key(|(count, _)| usize::MAX - count);
    for (_, kind) in kinds {
        let steps = &trial.schedule.steps;
        let others = kept.iter().copied();
        let others = others.filter(|&index| discriminant(&steps[index].action) != kind);
        let without: Vec<usize> = others.collect();
        if trial.fails(&without) {
            *kept = without;
        }
    }
    for part in [16, 8, 4, 2] {
        let last = kept[kept.len() - kept.len() / part..].to_vec();
        if trial.fails(&last) {
            *kept = last;
            break;
        }
    }
}

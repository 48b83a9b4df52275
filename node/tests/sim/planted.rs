//! Whether random schedules find the planted bugs, and after how many.

use std::collections::BTreeMap;
use std::time::Instant;

use chaos_node::bug::{BUGS, Bug, Bugs};

use super::number;
use super::play::{Watch, class_of, play};
use super::schedule::Schedule;
use super::shrink::{Kind, shrink};

/// How many seeds are tried for a bug before it counts as missed.
const PATIENCE: u64 = 2000;

/// The starting points are that far apart.
const STRIDE: u64 = 1_000_000;

/// A bug that was found.
struct Found {
    /// How many seeds it took.
    seeds: u64,
    schedule: Schedule,
    error: String,
}

/// Tries seeds from `start` on until one shows the bug.
fn find(bug: Bug, start: u64, watch: Watch) -> Option<Found> {
    (0..PATIENCE).find_map(|tried| {
        let schedule = Schedule::of(start + tried, Bugs::NONE.with(bug));
        let error = play(&schedule, watch).error?;
        Some(Found {
            seeds: tried + 1,
            schedule,
            error,
        })
    })
}

#[test]
fn random_schedules_find_every_planted_bug() {
    for planted in BUGS {
        let found = find(planted.bug, 0, Watch::default());
        assert!(found.is_some(), "{} was not found", planted.name);
    }
}

#[test]
fn a_planted_bug_shrinks_to_a_handful_of_steps_that_still_fail() {
    for bug in [Bug::NoTruncate, Bug::AckBeforeFsync] {
        let found = find(bug, 0, Watch::default()).expect("it is found");
        let shrunk = shrink(&found.schedule, &found.error);
        let error = shrunk.outcome.error.expect("the short schedule fails");
        assert_eq!(Kind::of(&error), Kind::of(&found.error));
        println!(
            "{bug}: {} of {}",
            shrunk.kept.len(),
            found.schedule.steps.len()
        );
        assert!(
            shrunk.kept.len() <= 12 && shrunk.kept.len() < found.schedule.steps.len(),
            "{bug}: {} of {}",
            shrunk.kept.len(),
            found.schedule.steps.len()
        );
        let sound = Schedule {
            settings: super::world::Settings {
                bugs: Bugs::NONE,
                ..shrunk.schedule.settings
            },
            ..shrunk.schedule
        };
        assert_eq!(play(&sound, Watch::default()).error, None, "without {bug}");
    }
}

/// Searches from several starting points, told in a few words.
fn search(bug: Bug, starts: u64, watch: Watch) -> String {
    let mut seeds = Vec::new();
    let mut classes: BTreeMap<String, u64> = BTreeMap::new();
    let begun = Instant::now();
    for start in 0..starts {
        if let Some(found) = find(bug, start * STRIDE, watch) {
            seeds.push(found.seeds);
            *classes
                .entry(class_of(&found.error).to_owned())
                .or_insert(0) += 1;
        }
    }
    seeds.sort_unstable();
    let seconds = begun.elapsed().as_secs_f64() / starts as f64;
    let at = |index: usize| {
        seeds
            .get(index)
            .map_or_else(|| "-".to_owned(), u64::to_string)
    };
    let (median, worst) = (at(seeds.len() / 2), at(seeds.len().saturating_sub(1)));
    let mut by: Vec<(u64, String)> = classes.into_iter().map(|(c, n)| (n, c)).collect();
    by.sort_by(|a, b| b.cmp(a));
    let by: Vec<String> = by.iter().map(|(n, class)| format!("{class} {n}")).collect();
    let found = format!("{}/{starts}", seeds.len());
    let by = by.join(", ");
    format!("{found:>6} {median:>7} {worst:>6} {seconds:>8.2}  {by:<24}")
}

#[test]
fn table_of_the_planted_bugs() {
    let Some(starts) = number("CHAOS_SIM_TABLE") else {
        return;
    };
    let columns = format!(
        "{:>6} {:>7} {:>6} {:>8}  {:<24}",
        "found", "median", "worst", "seconds", "caught by"
    );
    println!(
        "{:<28} | with all invariants {:>33} | by what clients notice",
        "", ""
    );
    println!("{:<28} | {columns} | {columns}", "bug");
    let outcomes = Watch {
        outcomes_only: true,
        ..Watch::default()
    };
    let named = super::bugs_wanted();
    let wanted = |bug| named.is_empty() || named.has(bug);
    for planted in BUGS.iter().filter(|planted| wanted(planted.bug)) {
        let all = search(planted.bug, starts, Watch::default());
        let few = search(planted.bug, starts, outcomes);
        println!("{:<28} | {all} | {few}", planted.name);
    }
}

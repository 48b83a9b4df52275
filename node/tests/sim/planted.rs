//! Whether random schedules find the planted bugs, and after how many.

use std::collections::BTreeMap;
use std::time::Instant;

use chaos_node::bug::{BUGS, Bug, Bugs};

use super::number;
use super::play::{Watch, class_of, play};
use super::schedule::Schedule;
use super::shrink::{Kind, shrink};

/// How many seeds are tried for a bug before it counts as missed.
const PATIENCE: u64 = 3000;

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
    let missed: Vec<&str> = std::thread::scope(|scope| {
        let search = |bug: Bug| scope.spawn(move || find(bug, 0, Watch::default()));
        let searches = BUGS
            .iter()
            .map(|planted| (planted.name, search(planted.bug)));
        let searches: Vec<_> = searches.collect();
        let done = searches.into_iter().map(|(name, it)| (name, it.join()));
        done.filter(|(_, found)| !matches!(found, Ok(Some(_))))
            .map(|(name, _)| name)
            .collect()
    });
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn a_planted_bug_shrinks_to_a_handful_of_steps_that_still_fail() {
    for bug in [Bug::NoTruncate, Bug::AckBeforeFsync] {
        let found = find(bug, 0, Watch::default()).expect("it is found");
        let shrunk = shrink(&found.schedule, &found.error);
        let error = shrunk.outcome.error.expect("the short schedule fails");
        assert_eq!(Kind::of(&error), Kind::of(&found.error));
        let again = play(&shrunk.schedule, Watch::default()).error;
        assert_eq!(again.as_ref(), Some(&error), "it repeats exactly");
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

/// Searches from several starting points on all cores, told in a few words.
fn search(bug: Bug, starts: u64, watch: Watch) -> String {
    let begun = Instant::now();
    let found: Vec<Found> = std::thread::scope(|scope| {
        let search = |start: u64| scope.spawn(move || find(bug, start * STRIDE, watch));
        let searches: Vec<_> = (0..starts).map(search).collect();
        let done = searches.into_iter().map(|search| search.join());
        done.filter_map(|found| found.expect("a search does not fail"))
            .collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut seeds: Vec<u64> = found.iter().map(|found| found.seeds).collect();
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    for found in &found {
        *classes.entry(class_of(&found.error)).or_insert(0) += 1;
    }
    seeds.sort_unstable();
    let at = |index: usize| {
        let seeds = seeds.get(index);
        seeds.map_or_else(|| "-".to_owned(), u64::to_string)
    };
    let (median, worst) = (at(seeds.len() / 2), at(seeds.len().saturating_sub(1)));
    let mut by: Vec<(u64, &str)> = classes.into_iter().map(|(c, n)| (n, c)).collect();
    by.sort_by(|a, b| b.cmp(a));
    let by: Vec<String> = by.iter().map(|(n, class)| format!("{class} {n}")).collect();
    let found = format!("{}/{starts}", seeds.len());
    format!(
        "{found:>6} {median:>7} {worst:>6} {seconds:>8.2}  {}",
        by.join(", ")
    )
}

/// With `CHAOS_SIM_OUTCOMES=1` only what clients could notice counts.
#[test]
fn table_of_the_planted_bugs() {
    let Some(starts) = number("CHAOS_SIM_TABLE") else {
        return;
    };
    let watch = Watch {
        outcomes_only: number("CHAOS_SIM_OUTCOMES") == Some(1),
        ..Watch::default()
    };
    let columns = ["found", "median", "worst", "seconds"];
    let [found, median, worst, seconds] = columns;
    println!(
        "{:<28} {found:>6} {median:>7} {worst:>6} {seconds:>8}  caught by",
        "bug"
    );
    let named = super::bugs_wanted();
    let wanted = |bug| named.is_empty() || named.has(bug);
    for planted in BUGS.iter().filter(|planted| wanted(planted.bug)) {
        println!(
            "{:<28} {}",
            planted.name,
            search(planted.bug, starts, watch)
        );
    }
}

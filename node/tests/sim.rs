//! The protocol in a simulated cluster: thousands of random schedules, each exactly repeatable.
//!
//! `CHAOS_SIM_SEEDS=N` sets how many seeds are run (from `CHAOS_SIM_FIRST` on), `CHAOS_SIM_SEED=S`
//! runs one alone, `CHAOS_SIM_KEEP=1,5,9` of it only the steps with these numbers, with other delays
//! than its own if `CHAOS_SIM_CHANCE=C` is given. `CHAOS_SIM_BUG=NAME` plants a bug. A seed that fails
//! is made short and told as a trace. `CHAOS_SIM_TABLE=STARTS` looks for every planted bug from so
//! many starting points and prints what it took.

#[path = "sim/action.rs"]
mod action;
#[path = "sim/available.rs"]
mod available;
#[path = "sim/checker.rs"]
mod checker;
#[path = "sim/clients.rs"]
mod clients;
#[path = "sim/disk.rs"]
mod disk;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/machine.rs"]
mod machine;
#[path = "sim/net.rs"]
mod net;
#[path = "sim/outputs.rs"]
mod outputs;
#[path = "sim/planted.rs"]
mod planted;
#[path = "sim/play.rs"]
mod play;
#[path = "sim/rng.rs"]
mod rng;
#[path = "sim/scenarios.rs"]
mod scenarios;
#[path = "sim/schedule.rs"]
mod schedule;
#[path = "sim/shrink.rs"]
mod shrink;
#[path = "sim/witness.rs"]
mod witness;
#[path = "sim/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::time::Instant;

use chaos_node::bug::Bugs;

use play::{Watch, play};
use schedule::Schedule;
use shrink::{Shrunk, only, shrink};

/// How many seeds an ordinary test run tries.
const SEEDS: u64 = 600;

/// What an ordinary run must have reached, or it shows too little.
const REACHED: &[&str] = &[
    "active",
    "client done",
    "client event",
    "client session expired",
    "client session moved",
    "evict eof",
    "evict reset",
    "evict timeout",
    "looking better_history",
    "looking disk_stalled",
    "looking leader_left",
    "looking leader_lost",
    "looking no_quorum",
    "looking quorum_lost",
    "rejoin",
    "stalled",
    "synced DIFF",
    "synced SNAP",
    "synced TRUNC",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn bugs_wanted() -> Bugs {
    let names = std::env::var("CHAOS_SIM_BUG").unwrap_or_default();
    if names.is_empty() {
        return Bugs::NONE;
    }
    names.parse().expect("CHAOS_SIM_BUG names planted bugs")
}

/// Makes a failing schedule short and tells it.
fn explain(schedule: &Schedule, error: &str) -> String {
    let shrunk = shrink(schedule, error);
    tell(schedule, error, &shrunk)
}

fn tell(schedule: &Schedule, error: &str, shrunk: &Shrunk) -> String {
    let Schedule { seed, settings, .. } = schedule;
    let steps = shrunk.schedule.steps.iter();
    let steps: Vec<String> = steps
        .map(|step| format!("{:>10.3} ms  {}", step.at as f64 / 1e6, step.action))
        .collect();
    let kept: Vec<String> = shrunk.kept.iter().map(usize::to_string).collect();
    let mut variables = format!("CHAOS_SIM_SEED={seed} CHAOS_SIM_KEEP={}", kept.join(","));
    if shrunk.schedule.chance != *seed {
        variables += &format!(" CHAOS_SIM_CHANCE={}", shrunk.schedule.chance);
    }
    if !settings.bugs.is_empty() {
        variables += &format!(" CHAOS_SIM_BUG={}", settings.bugs);
    }
    format!(
        "seed {seed} ({} nodes): {error}\n\n{} of {} steps are enough:\n{}\n\nwhat happened \
         last:\n{}\n\n{}\n\nrepeat: {variables} cargo test --release -p chaos-node --test sim \
         random\n",
        settings.nodes,
        shrunk.kept.len(),
        schedule.steps.len(),
        steps.join("\n"),
        shrunk.outcome.tail.join("\n"),
        shrunk.outcome.error.as_deref().unwrap_or("nothing failed"),
    )
}

/// What many runs came to.
#[derive(Default)]
struct Totals {
    delivered: usize,
    acknowledged: u64,
    states: u64,
    coverage: BTreeMap<String, u64>,
    /// The first that failed.
    failed: Option<(Schedule, String)>,
}

impl Totals {
    /// Plays these seeds until one fails.
    fn of(seeds: impl Iterator<Item = u64>) -> Self {
        let kept = std::env::var("CHAOS_SIM_KEEP").ok();
        let mut totals = Self::default();
        for seed in seeds {
            let mut schedule = Schedule::of(seed, bugs_wanted());
            if let Some(kept) = &kept {
                let kept: Vec<usize> = kept.split(',').filter_map(|n| n.parse().ok()).collect();
                schedule = only(&schedule, &kept);
                schedule.chance = number("CHAOS_SIM_CHANCE").unwrap_or(seed);
            }
            let outcome = play(&schedule, Watch::default());
            if let Some(error) = outcome.error {
                totals.failed = Some((schedule, error));
                break;
            }
            totals.delivered += outcome.delivered;
            totals.acknowledged += outcome.acknowledged;
            totals.states += outcome.states;
            totals.cover(outcome.coverage);
        }
        totals
    }

    fn add(mut self, other: Self) -> Self {
        self.delivered += other.delivered;
        self.acknowledged += other.acknowledged;
        self.states += other.states;
        self.cover(other.coverage);
        let both = self.failed.into_iter().chain(other.failed);
        self.failed = both.min_by_key(|(schedule, _)| schedule.seed);
        self
    }

    fn cover(&mut self, coverage: BTreeMap<String, u64>) {
        for (name, count) in coverage {
            *self.coverage.entry(name).or_insert(0) += count;
        }
    }
}

/// Plays seeds on all cores.
fn play_all(seeds: Range<u64>) -> Totals {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| {
                let own = seeds.clone().skip(core).step_by(cores);
                scope.spawn(|| Totals::of(own))
            })
            .collect();
        let done = workers.into_iter().map(|worker| worker.join());
        done.fold(Totals::default(), |sum, one| {
            sum.add(one.expect("a run tells its failures"))
        })
    })
}

#[test]
fn random_schedules_keep_all_invariants_and_recover() {
    let seeds = match number("CHAOS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("CHAOS_SIM_FIRST").unwrap_or(0);
            first..first + number("CHAOS_SIM_SEEDS").unwrap_or(SEEDS)
        }
    };
    let start = Instant::now();
    let count = seeds.end - seeds.start;
    let totals = play_all(seeds);
    if let Some((schedule, error)) = &totals.failed {
        panic!("{}", explain(schedule, error));
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{:#?}", totals.coverage);
    println!(
        "{count} seeds clean in {seconds:.1} s: {} states checked, {:.0} states/s; {} \
         transactions delivered, {} acknowledged",
        totals.states,
        totals.states as f64 / seconds,
        totals.delivered,
        totals.acknowledged
    );
    if number("CHAOS_SIM_SEED").is_none() {
        assert!(
            totals.acknowledged > 0,
            "a run without writes shows nothing"
        );
        for name in REACHED {
            let reached = totals.coverage.contains_key(*name);
            assert!(reached, "no schedule reached: {name}");
        }
    }
}

#[test]
fn the_same_seed_twice_is_the_same_to_the_byte() {
    for seed in [3, 17, 99, 1234] {
        let watch = Watch {
            digest: true,
            ..Watch::default()
        };
        let schedule = Schedule::of(seed, Bugs::NONE);
        let (one, two) = (play(&schedule, watch), play(&schedule, watch));
        assert!(one.digest.is_some_and(|digest| digest != 0));
        assert_eq!(one.digest, two.digest, "seed {seed}");
    }
}

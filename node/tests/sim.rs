//! The protocol in a simulated cluster: thousands of random schedules, each exactly repeatable.
//!
//! `CHAOS_SIM_SEEDS=N` sets how many seeds are run, `CHAOS_SIM_SEED=S` runs one alone,
//! `CHAOS_SIM_KEEP=1,5,9` of it only the steps with these numbers (`CHAOS_SIM_CHANCE=C` with other
//! delays than its own), `CHAOS_SIM_BUG=NAME` plants a bug. A seed that fails is made short and told as a trace. `CHAOS_SIM_TABLE=STARTS` looks for
//! every planted bug from so many starting points and prints what it took.

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

#[test]
fn random_schedules_keep_all_invariants_and_recover() {
    let seeds = match number("CHAOS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CHAOS_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let start = Instant::now();
    let (mut delivered, mut acknowledged, mut states) = (0, 0, 0);
    let mut coverage: BTreeMap<String, u64> = BTreeMap::new();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut schedule = Schedule::of(seed, bugs_wanted());
        if let Ok(kept) = std::env::var("CHAOS_SIM_KEEP") {
            let kept: Vec<usize> = kept.split(',').filter_map(|n| n.parse().ok()).collect();
            schedule = only(&schedule, &kept);
            schedule.chance = number("CHAOS_SIM_CHANCE").unwrap_or(seed);
        }
        let outcome = play(&schedule, Watch::default());
        if let Some(error) = outcome.error {
            panic!("{}", explain(&schedule, &error));
        }
        delivered += outcome.delivered;
        acknowledged += outcome.acknowledged;
        states += outcome.states;
        for (name, count) in outcome.coverage {
            *coverage.entry(name).or_insert(0) += count;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{coverage:#?}");
    println!(
        "{count} seeds clean in {seconds:.1} s: {states} states checked, {:.0} states/s; \
         {delivered} transactions delivered, {acknowledged} acknowledged",
        states as f64 / seconds
    );
    assert!(acknowledged > 0, "a run without writes shows nothing");
    if number("CHAOS_SIM_SEED").is_none() {
        for name in REACHED {
            assert!(coverage.contains_key(*name), "no schedule reached: {name}");
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

//! The protocol in a simulated cluster: thousands of random schedules, each exactly repeatable.
//!
//! `CHAOS_SIM_SEEDS=N` sets how many seeds are run, `CHAOS_SIM_SEED=S` runs one alone and prints
//! the end of what happened if it fails.

#[path = "sim/checker.rs"]
mod checker;
#[path = "sim/disk.rs"]
mod disk;
#[path = "sim/net.rs"]
mod net;
#[path = "sim/outputs.rs"]
mod outputs;
#[path = "sim/rng.rs"]
mod rng;
#[path = "sim/scenarios.rs"]
mod scenarios;
#[path = "sim/schedule.rs"]
mod schedule;
#[path = "sim/world.rs"]
mod world;

use std::collections::BTreeMap;

use schedule::{Watch, run_seed};

/// How many seeds an ordinary test run tries.
const SEEDS: u64 = 600;

/// What an ordinary run must have reached, or it shows too little.
const REACHED: &[&str] = &[
    "active",
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

/// Runs a failed seed again, this time keeping what happened.
fn explain(seed: u64, error: &str) -> String {
    let again = run_seed(
        seed,
        Watch {
            digest: false,
            tail: true,
        },
    );
    format!(
        "seed {seed}: {error}\n{}\nrepeat: CHAOS_SIM_SEED={seed} cargo test -p chaos-node --test \
         sim random\n",
        again.tail.join("\n"),
    )
}

#[test]
fn random_schedules_keep_all_invariants_and_recover() {
    let seeds = match number("CHAOS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CHAOS_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let (mut delivered, mut acknowledged) = (0, 0);
    let mut coverage: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seeds {
        let outcome = run_seed(seed, Watch::default());
        if let Some(error) = outcome.error {
            panic!("{}", explain(seed, &error));
        }
        delivered += outcome.delivered;
        acknowledged += outcome.acknowledged;
        for (name, count) in outcome.coverage {
            *coverage.entry(name).or_insert(0) += count;
        }
    }
    println!("{delivered} transactions delivered, {acknowledged} acknowledged");
    println!("{coverage:#?}");
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
            tail: false,
        };
        let (one, two) = (run_seed(seed, watch), run_seed(seed, watch));
        assert!(one.digest.is_some_and(|digest| digest != 0));
        assert_eq!(one.digest, two.digest, "seed {seed}");
    }
}

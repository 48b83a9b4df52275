//! Random runs: a while of load and faults, then peace, in which the cluster must recover.

use std::collections::BTreeMap;

use chaos_node::protocol::io::{Phase, TraceEvent};

use super::net::Rule;
use super::rng::Rng;
use super::world::{MILLI, Settings, World};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) delivered: usize,
    pub(crate) acknowledged: u64,
    /// How often the nodes said what of themselves.
    pub(crate) coverage: BTreeMap<String, u64>,
    pub(crate) digest: Option<u64>,
    pub(crate) error: Option<String>,
    pub(crate) tail: Vec<String>,
}

/// What is watched during a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    pub(crate) digest: bool,
    pub(crate) tail: bool,
}

/// Which faults a run may have.
#[derive(Debug, Clone, Copy)]
struct Menu {
    crashes: bool,
    links: bool,
    pauses: bool,
    slow_disks: bool,
}

/// Runs the schedule of `seed`.
pub(crate) fn run_seed(seed: u64, watch: Watch) -> Outcome {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let settings = Settings {
        nodes: if rng.chance(700_000) { 3 } else { 5 },
        keep_entries: [0, 3, 20, 5000][rng.index(4)],
    };
    let mut world = match World::new(seed, settings) {
        Ok(world) => world,
        Err(error) => {
            return Outcome {
                delivered: 0,
                acknowledged: 0,
                coverage: BTreeMap::new(),
                digest: None,
                error: Some(error),
                tail: Vec::new(),
            };
        }
    };
    world.digest = watch.digest.then_some(0);
    world.tail = watch.tail.then(Default::default);
    let menu = Menu {
        crashes: rng.chance(800_000),
        links: rng.chance(700_000),
        pauses: rng.chance(400_000),
        slow_disks: rng.chance(300_000),
    };
    let error = storm(&mut world, &mut rng, menu)
        .and_then(|()| peace(&mut world))
        .err();
    Outcome {
        delivered: world.checker.history.len(),
        acknowledged: world.acknowledged,
        coverage: coverage(&world),
        digest: world.digest,
        error,
        tail: world.tail.map(Vec::from).unwrap_or_default(),
    }
}

/// Which events and reasons occurred.
fn coverage(world: &World) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (.., event) in &world.traces {
        let name = match event {
            TraceEvent::Looking { reason } => format!("looking {reason}"),
            TraceEvent::Suspect { channel, .. } => format!("suspect {channel}"),
            TraceEvent::Evict { reason, .. } => format!("evict {reason}"),
            TraceEvent::StepDown { reason, .. } => format!("step_down {reason}"),
            TraceEvent::Synced { mode, .. } => format!("synced {}", mode.word()),
            TraceEvent::Rejoin { .. } => "rejoin".to_owned(),
            TraceEvent::Stalled { .. } => "stalled".to_owned(),
            TraceEvent::Active { .. } => "active".to_owned(),
            TraceEvent::Candidate { .. } => "candidate".to_owned(),
            TraceEvent::Elected { .. } => "elected".to_owned(),
            TraceEvent::EpochAgreed { .. } => "epoch_agreed".to_owned(),
            TraceEvent::Boot { .. }
            | TraceEvent::Trust { .. }
            | TraceEvent::SyncStart { .. }
            | TraceEvent::Following { .. } => continue,
        };
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

/// Load and faults.
fn storm(world: &mut World, rng: &mut Rng, menu: Menu) -> Result<(), String> {
    world.run_for(rng.between(5, 120) * MILLI)?;
    if menu.crashes {
        world.crash_odds = [0, 200, 1000, 3000][rng.index(4)];
    }
    if rng.chance(300_000) {
        world.net.slowness = rng.between(1, 30) * MILLI;
    }
    if menu.slow_disks {
        world.disk_worst = rng.between(2, 700) * MILLI;
    }
    let until = world.now + rng.between(300, 1500) * MILLI;
    let pace = rng.between(1, 12) * MILLI;
    let mut next_fault = world.now + rng.between(10, 100) * MILLI;
    while world.now < until {
        let node = rng.index(world.nodes.len());
        for _ in 0..rng.below(4) {
            world.write(node)?;
        }
        if rng.chance(300_000) {
            world.read(rng.index(world.nodes.len()))?;
        }
        if rng.chance(30_000) {
            world.compact(rng.index(world.nodes.len()))?;
        }
        if world.now >= next_fault {
            fault(world, rng, menu)?;
            // Often in quick succession: protocols break when faults meet.
            let worst = if rng.chance(500_000) { 15 } else { 200 };
            next_fault = world.now + rng.between(1, worst) * MILLI;
        }
        world.run_for(rng.between(1, pace))?;
    }
    Ok(())
}

fn fault(world: &mut World, rng: &mut Rng, menu: Menu) -> Result<(), String> {
    let count = world.nodes.len();
    let some = rng.index(count);
    // The leader is where faults matter most.
    let victim = world
        .leader()
        .filter(|_| rng.chance(400_000))
        .unwrap_or(some);
    match rng.below(16) {
        0..=1 if menu.crashes => world.crash(victim)?,
        2 if menu.crashes => {
            // A quorum, or all of them, at once.
            for node in 0..rng.between(world.quorum() as u64, count as u64) as usize {
                world.crash((victim + node) % count)?;
            }
        }
        3..=5 => world.start(some)?,
        6 => {
            for node in 0..count {
                world.start(node)?;
            }
        }
        7 if menu.pauses => world.pause(victim),
        8..=9 => world.resume(some)?,
        10 if menu.links => {
            let other = rng.index(count);
            let rule = link_rule(rng);
            world.net.set(victim, other, rule);
            if rng.chance(500_000) {
                world.net.set(other, victim, rule);
            }
        }
        11 if menu.links => isolate(world, rng, victim),
        12 if menu.links => {
            for from in 0..count {
                for to in 0..count {
                    world.net.set(from, to, Rule::Lose(300_000));
                }
            }
        }
        13..=14 => world.net.heal(),
        _ if menu.links => world.break_connection(),
        _ => {}
    }
    Ok(())
}

fn link_rule(rng: &mut Rng) -> Rule {
    match rng.below(4) {
        0 => Rule::Lose(rng.between(50_000, 600_000)),
        1 => Rule::Delay(rng.between(1, 150) * MILLI),
        _ => Rule::Cut,
    }
}

/// Cuts a node off: both ways, or what it sends, or what it hears.
fn isolate(world: &mut World, rng: &mut Rng, node: usize) {
    let way = rng.below(3);
    for other in 0..world.nodes.len() {
        if way != 1 {
            world.net.set(node, other, Rule::Cut);
        }
        if way != 2 {
            world.net.set(other, node, Rule::Cut);
        }
    }
}

/// All faults end: within a second there is one leader whom all follow, and writes arrive
/// everywhere.
fn peace(world: &mut World) -> Result<(), String> {
    world.crash_odds = 0;
    world.disk_worst = 300_000;
    world.net.slowness = 0;
    world.net.heal();
    for node in 0..world.nodes.len() {
        world.resume(node)?;
        world.start(node)?;
    }
    world.log(|| "peace".to_owned());
    // Disks may still be busy with what was issued before, and the longest silence of a delayed
    // link is not over.
    world.run_for(world.backlog())?;
    world.run_for(1000 * MILLI)?;
    agreed(world)?;
    for node in 0..world.nodes.len() {
        world.write(node)?;
        world.read(node)?;
    }
    world.run_for(300 * MILLI)?;
    agreed(world)?;
    let longest = world.checker.history.len();
    for (node, state) in world.nodes.iter().enumerate() {
        if state.applied.len() != longest {
            let has = state.applied.len();
            return Err(format!(
                "liveness: node {node} has applied {has} of {longest}"
            ));
        }
    }
    let writes = world.checker.history.iter().rev().take(world.nodes.len());
    let mut origins: Vec<u8> = writes.map(|record| record.origin.0).collect();
    origins.sort_unstable();
    origins.dedup();
    if origins.len() != world.nodes.len() {
        return Err("liveness: the last writes of all nodes are not all there".to_owned());
    }
    Ok(())
}

fn agreed(world: &World) -> Result<(), String> {
    let leader = world.leader().ok_or("liveness: no leader serves")?;
    let serving = world.nodes[leader].serving;
    for (node, state) in world.nodes.iter().enumerate() {
        let status = state.core.as_ref().map(chaos_node::protocol::Core::status);
        if state.serving != serving {
            return Err(format!(
                "liveness: node {node} does not serve under {leader}: {status:?}"
            ));
        }
        let expected = if node == leader {
            Phase::Leading
        } else {
            Phase::Following
        };
        if status.as_ref().map(|status| status.phase) != Some(expected) {
            return Err(format!(
                "liveness: node {node} is not {expected:?}: {status:?}"
            ));
        }
    }
    Ok(())
}

//! Plays a schedule: its steps, then peace, in which the cluster must recover.

use std::collections::BTreeMap;

use chaos_node::protocol::io::{Phase, TraceEvent};

use super::action::{Action, Who};
use super::schedule::Schedule;
use super::world::{DISK_QUICK, MILLI, World};

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) delivered: usize,
    pub(crate) acknowledged: u64,
    /// How many states were reached and checked.
    pub(crate) states: u64,
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
    /// Only what clients could notice counts.
    pub(crate) outcomes_only: bool,
}

/// Plays a schedule.
pub(crate) fn play(schedule: &Schedule, watch: Watch) -> Outcome {
    let mut world = match World::new(schedule.chance, schedule.settings) {
        Ok(world) => world,
        Err(error) => {
            return Outcome {
                error: Some(error),
                ..Outcome::default()
            };
        }
    };
    world.checker.outcomes_only = watch.outcomes_only;
    world.digest = watch.digest.then_some(0);
    world.tail = watch.tail.then(Default::default);
    let error = storm(&mut world, schedule)
        .and_then(|()| peace(&mut world))
        .err();
    Outcome {
        delivered: world.checker.history.len(),
        acknowledged: world.acknowledged,
        states: world.steps,
        coverage: coverage(&world),
        digest: world.digest,
        error,
        tail: world.tail.map(Vec::from).unwrap_or_default(),
    }
}

/// Which rule a failure is about: `I1` … `I13`, `liveness`, or the node's own check, `fatal`.
pub(crate) fn class_of(error: &str) -> &str {
    let is_class = |part: &&str| {
        matches!(*part, "liveness" | "fatal" | "boot")
            || part
                .strip_prefix('I')
                .is_some_and(|number| number.parse::<u8>().is_ok())
    };
    error.split(": ").find(is_class).unwrap_or("other")
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
    for (name, count) in &world.clients.counts {
        counts.insert((*name).to_owned(), *count);
    }
    counts
}

/// Load and faults.
fn storm(world: &mut World, schedule: &Schedule) -> Result<(), String> {
    let start = world.now;
    for step in &schedule.steps {
        world.run(start + step.at)?;
        if !matches!(
            step.action,
            Action::Write(..) | Action::Read(_) | Action::Client(_)
        ) {
            world.log(|| format!("-- {}", step.action));
        }
        act(world, step.action)?;
    }
    world.run_for(5 * MILLI)
}

/// Which node is meant now.
fn resolve(world: &World, who: Who) -> usize {
    match who {
        Who::Node(node) => node,
        Who::Leader(node) => world.leader().unwrap_or(node),
        Who::Follower(node) if world.leader() == Some(node) => (node + 1) % world.nodes.len(),
        Who::Follower(node) => node,
    }
}

fn act(world: &mut World, action: Action) -> Result<(), String> {
    let now = world.now;
    match action {
        Action::Write(who, count) => {
            let node = resolve(world, who);
            for _ in 0..count {
                world.write(node)?;
            }
        }
        Action::Read(who) => world.read(resolve(world, who))?,
        Action::Client(index) => world.client(index)?,
        Action::Compact(who) => world.compact(resolve(world, who))?,
        Action::Crash(who) => world.crash(resolve(world, who))?,
        Action::CrashSome(who, count) => world.crash_some(resolve(world, who), count)?,
        Action::Start(who) => world.start(resolve(world, who))?,
        Action::StartAll => {
            for node in 0..world.nodes.len() {
                world.start(node)?;
            }
        }
        Action::Trap(who, trap) => {
            let node = resolve(world, who);
            world.nodes[node].trap = Some(trap);
        }
        Action::Pause(who) => world.pause(resolve(world, who)),
        Action::Resume(who) => world.resume(resolve(world, who))?,
        Action::ResumeAll => {
            for node in 0..world.nodes.len() {
                world.resume(node)?;
            }
        }
        Action::Leap(who, by) => world.leap(resolve(world, who), by),
        Action::Link(one, two, rule, both) => {
            let (one, two) = (resolve(world, one), resolve(world, two));
            world.net.set(one, two, rule, now);
            if both {
                world.net.set(two, one, rule, now);
            }
        }
        Action::Isolate(who, way) => world.isolate(resolve(world, who), way),
        Action::Weather(rule) => {
            for from in 0..world.nodes.len() {
                for to in 0..world.nodes.len() {
                    world.net.set(from, to, rule, now);
                }
            }
        }
        Action::Heal => world.net.heal(now),
        Action::Break(one, two) => {
            let (one, two) = (resolve(world, one), resolve(world, two));
            world.break_between(one, two);
        }
        Action::Ghost(one, two) => {
            let (one, two) = (resolve(world, one), resolve(world, two));
            world.ghost(one, two);
        }
        Action::Slow(longest) => world.net.slow(longest, now),
        Action::SlowDisk(who, worst) => world.slow_disk(resolve(world, who), worst),
        Action::StickDisk(who, length) => world.stick_disk(resolve(world, who), length),
    }
    Ok(())
}

/// All faults end: within a second there is one leader whom all follow, and writes arrive
/// everywhere.
fn peace(world: &mut World) -> Result<(), String> {
    world.net.slow(0, world.now);
    world.net.heal(world.now);
    for node in 0..world.nodes.len() {
        world.nodes[node].trap = None;
        world.nodes[node].disk_worst = DISK_QUICK;
        world.resume(node)?;
        world.start(node)?;
    }
    world.log(|| "-- peace".to_owned());
    // Disks may still be busy with what was issued before, and the longest silence of a delayed
    // link is not over.
    world.run_for(world.backlog())?;
    world.run_for(1000 * MILLI)?;
    agreed(world)?;
    // What the sessions still have under way arrives first.
    world.quiet = true;
    world.run_for(100 * MILLI)?;
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

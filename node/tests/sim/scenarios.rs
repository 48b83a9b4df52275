//! Particular faults, with what must come of them and how fast (in virtual time).

use chaos_node::bug::Bugs;
use chaos_node::protocol::io::TraceEvent;

use super::net::Rule;
use super::world::{MILLI, Settings, World};

const THREE: Settings = Settings {
    nodes: 3,
    keep_entries: 5000,
    linear_reads: false,
    bugs: Bugs::NONE,
};

/// A cluster under light load, after its first election.
fn steady(seed: u64, settings: Settings) -> Result<(World, usize), String> {
    let mut world = World::new(seed, settings)?;
    world.run_for(300 * MILLI)?;
    let leader = world.leader().ok_or("no leader after 300 ms")?;
    for node in 0..settings.nodes {
        world.write(node)?;
    }
    world.run_for(30 * MILLI)?;
    world.traces.clear();
    Ok((world, leader))
}

/// The first time after which `wanted` happened.
fn time_of(world: &World, wanted: impl Fn(usize, &TraceEvent) -> bool) -> Option<u64> {
    world
        .traces
        .iter()
        .find(|(_, node, event)| wanted(*node, event))
        .map(|(at, ..)| *at)
}

fn count(world: &World, wanted: impl Fn(&TraceEvent) -> bool) -> usize {
    world
        .traces
        .iter()
        .filter(|(.., event)| wanted(event))
        .count()
}

/// Runs on under light load.
fn run_loaded(world: &mut World, length: u64) -> Result<(), String> {
    let until = world.now + length;
    while world.now < until {
        for node in 0..world.nodes.len() {
            world.write(node)?;
        }
        world.run_for(7 * MILLI)?;
    }
    Ok(())
}

/// Milliseconds from the fault to the next established leader, over a hundred seeds, in order.
fn failover(fault: impl Fn(&mut World, usize) -> Result<(), String>) -> Result<Vec<f64>, String> {
    let mut times = Vec::new();
    for seed in 0..100 {
        let (mut world, leader) = steady(seed, THREE)?;
        run_loaded(&mut world, 50 * MILLI)?;
        world.traces.clear();
        let start = world.now;
        fault(&mut world, leader)?;
        run_loaded(&mut world, 1000 * MILLI)?;
        let active = |node: usize, event: &TraceEvent| {
            node != leader && matches!(event, TraceEvent::Active { .. })
        };
        let at = time_of(&world, active).ok_or("no new leader within a second")?;
        times.push((at - start) as f64 / 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn summary(times: &[f64]) -> String {
    format!(
        "min {:.1} p50 {:.1} p90 {:.1} max {:.1} ms",
        times[0], times[50], times[90], times[99]
    )
}

#[test]
fn a_killed_leader_is_replaced_within_milliseconds() {
    let times = failover(|world, leader| world.crash(leader)).unwrap();
    println!("{}", summary(&times));
    assert!(times[50] < 10.0 && times[99] < 60.0, "{times:?}");
}

#[test]
fn a_stopped_leader_is_replaced_soon_after_the_timeout() {
    let times = failover(|world, leader| {
        world.pause(leader);
        Ok(())
    })
    .unwrap();
    println!("{}", summary(&times));
    assert!(times[0] > 90.0, "not before it is suspicious: {times:?}");
    assert!(times[50] < 180.0 && times[99] < 400.0, "{times:?}");
}

/// Cuts the ways from (`sends`) or to (`hears`) one node.
fn cut(world: &mut World, node: usize, sends: bool, hears: bool) {
    for other in 0..world.nodes.len() {
        if sends {
            world.net.set(node, other, Rule::Cut, world.now);
        }
        if hears {
            world.net.set(other, node, Rule::Cut, world.now);
        }
    }
}

#[test]
fn a_leader_that_hears_nobody_or_is_heard_by_nobody_is_replaced() {
    for (sends, hears) in [(true, false), (false, true), (true, true)] {
        let times = failover(|world, leader| {
            cut(world, leader, sends, hears);
            Ok(())
        })
        .unwrap();
        println!("{}", summary(&times));
        assert!(
            times[50] < 260.0 && times[99] < 600.0,
            "{sends} {hears}: {times:?}"
        );
    }
}

#[test]
fn a_third_of_the_frames_lost_for_a_minute_suspects_nobody() {
    let (mut world, leader) = steady(1, THREE).unwrap();
    for from in 0..3 {
        for to in 0..3 {
            world.net.set(from, to, Rule::Lose(300_000), world.now);
        }
    }
    let mut suspicions = 0;
    for _ in 0..60 {
        run_loaded(&mut world, 1000 * MILLI).unwrap();
        suspicions += count(&world, |event| matches!(event, TraceEvent::Suspect { .. }));
        world.traces.clear();
    }
    assert_eq!(suspicions, 0);
    assert_eq!(world.leader(), Some(leader));
    assert!(
        world.acknowledged > 5000,
        "writes go on: {}",
        world.acknowledged
    );
}

#[test]
fn a_follower_that_was_cut_off_returns_without_a_new_election() {
    for (sends, hears) in [(true, false), (false, true), (true, true)] {
        for seed in 0..20 {
            let (mut world, leader) = steady(seed, THREE).unwrap();
            let epoch = world.nodes[leader].serving;
            let victim = (leader + 1) % 3;
            cut(&mut world, victim, sends, hears);
            run_loaded(&mut world, 2000 * MILLI).unwrap();
            assert_eq!(world.nodes[victim].serving, None);
            assert_eq!(world.nodes[leader].serving, epoch);
            world.net.heal(world.now);
            run_loaded(&mut world, 600 * MILLI).unwrap();
            for node in 0..3 {
                assert_eq!(world.nodes[node].serving, epoch, "seed {seed}, node {node}");
            }
            let evicted = count(&world, |event| matches!(event, TraceEvent::Evict { .. }));
            let rejoined = count(&world, |event| matches!(event, TraceEvent::Rejoin { .. }));
            assert_eq!((evicted, rejoined), (1, 1), "seed {seed}");
            let suspicions = count(&world, |event| matches!(event, TraceEvent::Suspect { .. }));
            assert!(
                suspicions <= 6,
                "seed {seed}: no flapping, but {suspicions} suspicions"
            );
        }
    }
}

#[test]
fn an_idle_node_that_was_cut_off_disturbs_nobody_with_its_equal_history() {
    for (sends, hears) in [(true, false), (false, true), (true, true)] {
        for seed in 0..20 {
            let (mut world, leader) = steady(seed, THREE).unwrap();
            let epoch = world.nodes[leader].serving;
            let victim = (leader + 1) % 3;
            for _ in 0..3 {
                cut(&mut world, victim, sends, hears);
                world.run_for(500 * MILLI).unwrap();
                world.net.heal(world.now);
                world.run_for(600 * MILLI).unwrap();
            }
            for node in 0..3 {
                assert_eq!(world.nodes[node].serving, epoch, "seed {seed}, node {node}");
            }
            let elections = count(&world, |event| matches!(event, TraceEvent::Active { .. }));
            assert_eq!(elections, 0, "seed {seed}");
        }
    }
}

#[test]
fn a_leader_that_stood_still_gives_up_and_follows() {
    for seed in 0..20 {
        let (mut world, leader) = steady(seed, THREE).unwrap();
        let (_, epoch) = world.nodes[leader].serving.unwrap();
        world.pause(leader);
        run_loaded(&mut world, 1000 * MILLI).unwrap();
        world.traces.clear();
        world.resume(leader).unwrap();
        run_loaded(&mut world, 300 * MILLI).unwrap();
        let (new_leader, new_epoch) = world.nodes[leader].serving.expect("it serves again");
        assert!(
            new_epoch > epoch && usize::from(new_leader.0) != leader + 1,
            "seed {seed}"
        );
        let stalled = |node: usize, event: &TraceEvent| {
            node == leader && matches!(event, TraceEvent::Stalled { .. })
        };
        assert!(time_of(&world, stalled).is_some());
        let elections = count(&world, |event| matches!(event, TraceEvent::Active { .. }));
        assert_eq!(elections, 0, "seed {seed}: its return disturbs nobody");
    }
}

#[test]
fn a_short_stall_of_any_node_is_forgiven() {
    for seed in 0..30 {
        let (mut world, leader) = steady(seed, THREE).unwrap();
        let victim = seed as usize % 3;
        world.pause(victim);
        run_loaded(&mut world, 77 * MILLI).unwrap();
        world.resume(victim).unwrap();
        run_loaded(&mut world, 500 * MILLI).unwrap();
        let suspicions = count(&world, |event| matches!(event, TraceEvent::Suspect { .. }));
        assert_eq!(suspicions, 0, "seed {seed}");
        assert_eq!(world.leader(), Some(leader));
    }
}

#[test]
fn a_cluster_starts_within_a_tenth_of_a_second() {
    for seed in 0..50 {
        for nodes in [1, 2, 3, 5, 7] {
            let mut world = World::new(
                seed,
                Settings {
                    nodes,
                    keep_entries: 5000,
                    linear_reads: false,
                    bugs: Bugs::NONE,
                },
            )
            .unwrap();
            world.run_for(100 * MILLI).unwrap();
            let serving = world
                .nodes
                .iter()
                .filter(|node| node.serving.is_some())
                .count();
            assert_eq!(serving, nodes, "seed {seed}");
        }
    }
}

#[test]
fn a_follower_too_far_behind_gets_a_snapshot() {
    let settings = Settings {
        nodes: 3,
        keep_entries: 10,
        linear_reads: false,
        bugs: Bugs::NONE,
    };
    let (mut world, leader) = steady(5, settings).unwrap();
    let victim = (leader + 1) % 3;
    world.crash(victim).unwrap();
    run_loaded(&mut world, 1000 * MILLI).unwrap();
    for node in 0..3 {
        world.compact(node).unwrap();
    }
    world.traces.clear();
    world.start(victim).unwrap();
    run_loaded(&mut world, 200 * MILLI).unwrap();
    let snapshot = |node: usize, event: &TraceEvent| match event {
        TraceEvent::Synced { mode, txns, .. } => {
            node == victim && mode.word() == "SNAP" && *txns <= 50
        }
        _ => false,
    };
    assert!(time_of(&world, snapshot).is_some(), "{:?}", world.traces);
}

#[test]
fn a_follower_with_a_stuck_disk_is_evicted_and_a_leader_gives_up() {
    let (mut world, leader) = steady(9, THREE).unwrap();
    let follower = (leader + 1) % 3;
    world.stick_disk(follower, 3000 * MILLI);
    run_loaded(&mut world, 1500 * MILLI).unwrap();
    let evicted = |_: usize, event: &TraceEvent| {
        matches!(
            event,
            TraceEvent::Evict {
                reason: "ack_lag",
                ..
            }
        )
    };
    assert!(time_of(&world, evicted).is_some(), "{:?}", world.traces);
    run_loaded(&mut world, 3000 * MILLI).unwrap();
    assert!(
        world.nodes[follower].serving.is_some(),
        "it returns when its disk does"
    );

    world.stick_disk(leader, 3000 * MILLI);
    run_loaded(&mut world, 1000 * MILLI).unwrap();
    let gave_up = |node: usize, event: &TraceEvent| {
        node == leader
            && matches!(
                event,
                TraceEvent::StepDown {
                    reason: "disk_stalled",
                    ..
                }
            )
    };
    assert!(time_of(&world, gave_up).is_some());
    assert!(world.leader().is_some_and(|now| now != leader));
}

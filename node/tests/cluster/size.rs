//! A node that lacks 100 MB gets them from the leader, and nobody is suspected meanwhile.
//!
//! Prints how long that took and how long the slowest write waited meanwhile; run with `--nocapture`
//! to see it, and in release with `CHAOS_SUSPECT_FLOOR=120ms` to have it under a node's own timing.

#![expect(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Client, create_body};
use crate::ensemble::{Ensemble, eventually};

/// Writes over one connection until it is told to stop. Gives how many there were, and how long the
/// slowest waited.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<(u64, Duration)>>,
}

impl Writer {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(address)?;
            assert_eq!(client.create("/written", b"")?.error, 0);
            let (mut count, mut slowest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                assert_eq!(client.set("/written", b"x", -1)?.error, 0);
                slowest = slowest.max(start.elapsed());
                count += 1;
            }
            Ok((count, slowest))
        });
        Self { stop, thread }
    }

    fn stop(self) -> io::Result<(u64, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Creates this many znodes of 4 KiB.
fn fill(address: SocketAddr, znodes: u32) -> io::Result<()> {
    let mut client = Client::connect(address)?;
    let data = [7; 4096];
    for directory in 0..znodes.div_ceil(BURST) {
        let parent = format!("/{directory}");
        assert_eq!(client.create(&parent, b"")?.error, 0);
        for number in 0..BURST {
            let path = format!("{parent}/{number}");
            client.request(1, &create_body(&path, &data, 0))?;
        }
        for _ in 0..BURST {
            assert_eq!(client.answer()?.error, 0);
        }
    }
    Ok(())
}

/// Three nodes under the timing that the environment says, which save a snapshot after so many
/// transactions. Gives the leader too.
fn start(snapshot_every: u32) -> (Ensemble, u8) {
    let floor = std::env::var("CHAOS_SUSPECT_FLOOR").unwrap_or_else(|_| "2s".to_owned());
    let floor = format!("--suspect-floor={floor}");
    let snapshots = format!("--snapshot-every={snapshot_every}");
    Ensemble::start(&[&snapshots, &floor, "--suspect-cap=5s"])
}

/// Waits until a node serves clients.
fn wait_until_serving(address: SocketAddr) {
    eventually("a node that serves", || Client::connect(address).is_ok());
}

#[test]
fn a_wiped_node_gets_100_mb_while_the_others_go_on() {
    let (mut ensemble, leader) = start(25_000);
    let filled = fill(ensemble.address(leader), ZNODES);
    assert!(filled.is_ok(), "{filled:?}: {}", ensemble.told());
    let (wiped, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let writer = Writer::start(ensemble.address(leader));
    ensemble.kill(wiped);
    ensemble.wait(leader, "evict");
    std::fs::remove_dir_all(ensemble.data(wiped)).unwrap();

    ensemble.forget();
    let start = Instant::now();
    ensemble.spawn(wiped);
    let synced = ensemble.wait(wiped, "synced");
    wait_until_serving(ensemble.address(wiped));
    let took = start.elapsed();
    let written = writer.stop();
    ensemble.catch_up();
    for id in [leader, other] {
        for event in ["suspect", "looking", "step_down"] {
            assert!(!ensemble.saw(id, event), "{}", ensemble.told());
        }
    }
    assert!(synced.contains(r#""mode":"SNAP""#), "{}", ensemble.told());
    let (writes, slowest) = written.unwrap();
    println!("serves {took:.2?} after its start: {synced}");
    let stall = ensemble.longest_stall();
    println!("{writes} writes meanwhile, the slowest {slowest:.2?}; longest stall {stall:.2?}");
    eventually("equal states", || {
        let digest = |id| ensemble.monitor(id, "chaos_state_digest");
        digest(wiped) == digest(leader) && digest(other) == digest(leader)
    });
}

#[test]
fn a_node_that_lacks_100_mb_completes_the_quorum_of_a_new_leader() {
    let (mut ensemble, leader) = start(8_000);
    let (behind, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    ensemble.kill(behind);
    let filled = fill(ensemble.address(leader), ZNODES);
    assert!(filled.is_ok(), "{filled:?}: {}", ensemble.told());
    ensemble.kill(leader);
    ensemble.kill(other);

    ensemble.forget();
    let start = Instant::now();
    ensemble.spawn(other);
    ensemble.spawn(behind);
    let synced = ensemble.wait(behind, "synced");
    wait_until_serving(ensemble.address(other));
    let took = start.elapsed();
    assert!(synced.contains(r#""mode":"SNAP""#), "{}", ensemble.told());
    assert!(!ensemble.saw(other, "step_down"), "{}", ensemble.told());
    let stall = ensemble.longest_stall();
    println!(
        "the cluster serves {took:.2?} after the start of two: {synced}; longest stall {stall:.2?}"
    );
}

#[test]
fn nodes_that_apply_a_long_log_at_their_start_are_not_suspected() {
    let (mut ensemble, leader) = start(1_000_000);
    let filled = fill(ensemble.address(leader), ZNODES);
    assert!(filled.is_ok(), "{filled:?}: {}", ensemble.told());
    for id in 1..=3 {
        ensemble.kill(id);
    }
    ensemble.forget();
    let start = Instant::now();
    for id in 1..=3 {
        ensemble.spawn(id);
    }
    let leader = ensemble.wait_for_all();
    wait_until_serving(ensemble.address(leader));
    let took = start.elapsed();
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    let path = format!("/{}/{}", ZNODES / BURST - 1, BURST - 1);
    assert_eq!(
        client.synced_data(&path).unwrap().map(|data| data.len()),
        Some(4096)
    );
    let stall = ensemble.longest_stall();
    for id in 1..=3 {
        assert!(!ensemble.saw(id, "step_down"), "{}", ensemble.told());
        assert!(!ensemble.saw(id, "evict"), "{}", ensemble.told());
    }
    println!(
        "three nodes serve {took:.2?} after their start with a log of 100 MiB; longest stall {stall:.2?}"
    );
}

/// Znodes of 4 KiB in 100 MiB.
const ZNODES: u32 = 25_600;
/// Requests that are under way together.
const BURST: u32 = 100;

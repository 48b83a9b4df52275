//! A node whose data is lost gets 100 MB from the leader while the cluster goes on.
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

#[test]
fn a_wiped_node_gets_100_mb_while_the_others_go_on() {
    let floor = std::env::var("CHAOS_SUSPECT_FLOOR").unwrap_or_else(|_| "2s".to_owned());
    let floor = format!("--suspect-floor={floor}");
    let options = ["--snapshot-every=25000", &floor, "--suspect-cap=5s"];
    let (mut ensemble, leader) = Ensemble::start(&options);
    let filled = fill(ensemble.address(leader), 25_600);
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
    let took = start.elapsed();
    let written = writer.stop();
    for id in [leader, other] {
        for event in ["suspect", "looking", "step_down"] {
            assert!(!ensemble.saw(id, event), "{}", ensemble.told());
        }
    }
    assert!(synced.contains(r#""mode":"SNAP""#), "{}", ensemble.told());
    let (writes, slowest) = written.unwrap();
    println!(
        "rejoined in {took:.2?}: {synced}; {writes} writes meanwhile, the slowest {slowest:.2?}"
    );
    eventually("equal states", || {
        let digest = |id| ensemble.monitor(id, "chaos_state_digest");
        digest(wiped) == digest(leader) && digest(other) == digest(leader)
    });
}

/// Requests that are under way together.
const BURST: u32 = 100;

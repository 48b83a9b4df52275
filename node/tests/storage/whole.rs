//! A cluster of one: the protocol over the storage, for as many writes as wanted. What a write costs and
//! what memory is in use is printed for each tenth; see [`crate::cost`] for how many and on which clock.

use std::collections::VecDeque;
use std::sync::Arc;

use chaos_node::clock::monotonic_ns;
use chaos_node::protocol::Core;
use chaos_node::protocol::blob::Blob;
use chaos_node::protocol::io::{CoreConfig, Input, Output, Timing};
use chaos_node::protocol::message::Payload;
use chaos_node::protocol::zxid::{Nanos, Sid, Zxid};
use chaos_node::storage::{DiskStorage, Storage, StorageOp};

use crate::cost::{bytes_of, entries, options};

struct Lone {
    core: Core,
    storage: DiskStorage,
    outputs: Vec<Output>,
    inputs: VecDeque<Input>,
    is_serving: bool,
    delivered: u32,
    since_snapshot: u32,
    /// In virtual time, so that no tick is late.
    now: u64,
}

impl Lone {
    fn start(mut storage: DiskStorage) -> Self {
        let (boot, _) = storage.recover().unwrap().into_boot();
        let config = CoreConfig {
            me: Sid(1),
            voters: vec![Sid(1)],
            seed: 1,
            timing: Timing::default(),
            keep_entries: 5_000,
            bugs: chaos_node::bug::Bugs::default(),
        };
        let mut lone = Self {
            core: Core::new(config, boot, Nanos::ZERO).unwrap(),
            storage,
            outputs: Vec::new(),
            inputs: VecDeque::new(),
            is_serving: false,
            delivered: 0,
            since_snapshot: 0,
            now: 0,
        };
        while !lone.is_serving {
            lone.now += 1_000_000;
            lone.run(Input::Tick);
        }
        lone
    }

    fn propose(&mut self, request: u64, payload: &Payload) {
        let payload = Arc::clone(payload);
        let input = Input::Propose { request, payload };
        self.core.step(Nanos(self.now), input, &mut self.outputs);
    }

    /// Feeds this in, and does everything that follows. All disk batches that are asked for at once
    /// share one call, as they do on the disk thread.
    fn run(&mut self, input: Input) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            self.core.step(Nanos(self.now), input, &mut self.outputs);
            let mut ops = Vec::new();
            let mut newest = None;
            for output in self.outputs.drain(..) {
                match output {
                    Output::Disk { ticket, ops: more } => {
                        ops.extend(more.into_iter().map(StorageOp::Protocol));
                        newest = Some(ticket);
                    }
                    Output::Deliver(entry) => {
                        self.delivered += 1;
                        self.since_snapshot += 1;
                        if self.since_snapshot == SNAPSHOT_EVERY {
                            self.since_snapshot = 0;
                            let zxid: Zxid = entry.zxid;
                            let bytes = Blob::from(b"state");
                            ops.push(StorageOp::SaveSnapshot { zxid, bytes });
                            self.inputs.push_back(Input::Compacted { zxid });
                        }
                    }
                    Output::Serving { .. } => self.is_serving = true,
                    output => assert!(!matches!(output, Output::Fatal(_)), "{output:?}"),
                }
            }
            if !ops.is_empty() {
                self.storage.perform(&ops).unwrap();
            }
            if let Some(ticket) = newest {
                self.inputs.push_front(Input::DiskDone { ticket });
            }
        }
    }
}

#[test]
fn a_lone_node_takes_flat_time_and_bounded_room() {
    let total = entries();
    let dir = tempfile::tempdir().unwrap();
    let mut lone = Lone::start(DiskStorage::open(options(dir.path())).unwrap());
    let payload = Payload::from(vec![7; 200]);
    let mut request = 0;
    let mut most = 0;
    for tenth in 0..10 {
        let start = monotonic_ns();
        for _ in 0..total / 10 / BATCH {
            for _ in 0..BATCH {
                request += 1;
                lone.propose(request, &payload);
            }
            lone.now += 1_000;
            lone.run(Input::Tick);
        }
        most = most.max(bytes_of(dir.path()));
        println!(
            "tenth {tenth}: {:.2} us per write, {} MiB resident, {} MiB on disk",
            (monotonic_ns() - start) as f64 / f64::from(total / 10) / 1000.0,
            resident_bytes() >> 20,
            bytes_of(dir.path()) >> 20
        );
    }
    assert_eq!(lone.delivered, total / 10 / BATCH * BATCH * 10);
    let bound = 40 << 20;
    assert!(most < bound, "{most} bytes on disk, more than {bound}");
}

/// Memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

const BATCH: u32 = 100;
const SNAPSHOT_EVERY: u32 = 50_000;

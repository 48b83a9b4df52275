//! What the storage costs on the real disk: printed, not judged, but for the bound of the disk's use.
//!
//! `CHAOS_STORAGE_ENTRIES` is how many entries are appended (10 000 unless told); the numbers mean
//! something in a release build on an idle machine. The clock is `CLOCK_MONOTONIC`; each sample is one
//! call of `perform`, or one `pwrite` and `fdatasync` of as many bytes in a file filled before.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;

use chaos_node::clock::monotonic_ns;
use chaos_node::protocol::blob::Blob;
use chaos_node::protocol::io::DiskOp;
use chaos_node::protocol::zxid::Zxid;
use chaos_node::storage::{Batch, DiskStorage, DiskWorker, Options, Storage, StorageOp};

use crate::history::entry;

pub(crate) fn entries() -> u32 {
    std::env::var("CHAOS_STORAGE_ENTRIES").map_or(10_000, |text| text.parse().unwrap())
}

pub(crate) fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        node: 1,
        segment_bytes: Options::SEGMENT_BYTES,
    }
}

fn append(from: u32, count: u32) -> StorageOp {
    let entries = (from..from + count).map(|counter| entry(Zxid::new(1, counter), PAYLOAD));
    StorageOp::Protocol(DiskOp::Append(entries.collect()))
}

/// Latencies in nanoseconds.
#[derive(Default)]
struct Samples(Vec<u64>);

impl Samples {
    fn time<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let start = monotonic_ns();
        let result = act();
        self.0.push(monotonic_ns() - start);
        result
    }

    fn text(&mut self) -> String {
        self.0.sort_unstable();
        let at = |part: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a rank"
            )]
            let rank = (part * (self.0.len() - 1) as f64) as usize;
            self.0[rank] / 1000
        };
        format!(
            "p50 {:>5} us, p99 {:>5} us, p99.9 {:>6} us, max {:>6} us, n {}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            self.0.len()
        )
    }
}

/// A file of zeros, written round and round.
struct Raw {
    file: File,
    at: u64,
    bytes: Vec<u8>,
}

impl Raw {
    fn new(dir: &Path, bytes: usize) -> Self {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join("raw"))
            .unwrap();
        file.write_all_at(&vec![0; Options::SEGMENT_BYTES], 0)
            .unwrap();
        file.sync_all().unwrap();
        Self {
            file,
            at: 0,
            bytes: vec![7; bytes],
        }
    }

    fn append(&mut self) {
        if self.at + self.bytes.len() as u64 > Options::SEGMENT_BYTES as u64 {
            self.at = 0;
        }
        self.file.write_all_at(&self.bytes, self.at).unwrap();
        self.file.sync_data().unwrap();
        self.at += self.bytes.len() as u64;
    }
}

#[test]
fn a_batch_beside_a_raw_write_and_fdatasync() {
    let rounds = entries() / 100;
    for count in [1, 10, 100] {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = DiskStorage::open(options(&dir.path().join("data"))).unwrap();
        storage.recover().unwrap();
        let mut raw = Raw::new(dir.path(), count as usize * (PAYLOAD + 21) + 32);
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for round in 0..rounds {
            let op = [append(1 + round * count, count)];
            ours.time(|| storage.perform(&op)).unwrap();
            theirs.time(|| raw.append());
        }
        println!("{count:>3} entries of {PAYLOAD} B: perform {}", ours.text());
        println!(
            "{count:>3} entries of {PAYLOAD} B: raw     {}",
            theirs.text()
        );
        assert_eq!(ours.0.len(), theirs.0.len());
    }
}

#[test]
fn many_appends_with_snapshots_take_bounded_room_and_flat_time() {
    let total = entries();
    let dir = tempfile::tempdir().unwrap();
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    storage.recover().unwrap();
    let (sender, reports) = mpsc::channel();
    let worker = DiskWorker::start(storage, move |report: Result<Vec<u32>, _>| {
        sender.send(report.unwrap()).unwrap();
    })
    .unwrap();
    let snapshot = Blob::from(vec![3; SNAPSHOT]);
    let (mut most, mut all, mut last_snapshot) = (0, Samples::default(), 0);
    for tenth in 0..10 {
        let mut samples = Samples::default();
        for batch in 0..total / 10 / BATCH {
            let from = 1 + tenth * (total / 10) + batch * BATCH;
            let mut ops = vec![append(from, BATCH)];
            samples.time(|| {
                worker.send(Batch {
                    ops: std::mem::take(&mut ops),
                    token: from,
                });
                // Snapshots are reported in between.
                while !reports.recv().unwrap().contains(&from) {}
            });
            if from - last_snapshot > SNAPSHOT_EVERY {
                last_snapshot = from;
                let (zxid, bytes) = (Zxid::new(1, from), snapshot.clone());
                let ops = vec![StorageOp::SaveSnapshot { zxid, bytes }];
                worker.send(Batch { ops, token: 0 });
            }
            if batch % 64 == 0 {
                most = most.max(bytes_of(dir.path()));
            }
        }
        all.0.extend(&samples.0);
        println!("tenth {tenth}: {}", samples.text());
    }
    println!("all:     {}", all.text());
    drop(worker);
    let start = monotonic_ns();
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    let found = storage.recover().unwrap();
    println!(
        "{total} entries: at most {} MiB on disk; recovery of {} entries and a snapshot of {} MiB in {} ms",
        most >> 20,
        found.entries.len(),
        SNAPSHOT >> 20,
        (monotonic_ns() - start) / 1_000_000
    );
    assert_eq!(found.last(), Zxid::new(1, total / 10 / BATCH * BATCH * 10));
    let per_snapshot = SNAPSHOT_EVERY as usize * (PAYLOAD + 25);
    let bound = 3 * SNAPSHOT + 3 * per_snapshot + 6 * Options::SEGMENT_BYTES;
    assert!(
        most < bound as u64,
        "{most} bytes on disk, more than {bound}"
    );
}

pub(crate) fn bytes_of(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    // A file may be deleted meanwhile.
    files
        .filter_map(|file| file.unwrap().metadata().ok())
        .map(|file| file.len())
        .sum()
}

const PAYLOAD: usize = 200;
const BATCH: u32 = 10;
const SNAPSHOT_EVERY: u32 = 100_000;
const SNAPSHOT: usize = 16 << 20;

//! Histories of operations, what a storage must hold after them, and the law of recovery.

use std::path::Path;
use std::sync::Arc;

use chaos_node::protocol::blob::Blob;
use chaos_node::protocol::io::DiskOp;
use chaos_node::protocol::message::Entry;
use chaos_node::protocol::zxid::{Sid, Zxid};
use chaos_node::storage::{
    Aside, DiskStorage, MemoryStorage, Options, Recovered, Storage, StorageError, StorageOp,
};

use crate::disk::Disk;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn up_to(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound) + 1)).unwrap()
    }
}

/// What is done at once, and whether the disk thread finds nothing to do afterwards.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) ops: Vec<StorageOp>,
    pub(crate) is_idle_after: bool,
}

/// A history with every kind of operation, different for each seed.
pub(crate) fn random(seed: u64) -> Vec<Step> {
    let mut writer = Writer {
        rng: Rng(seed),
        epoch: 1,
        last: Zxid::ZERO,
        kept: Zxid::ZERO,
        log: Vec::new(),
    };
    let steps = 10 + writer.rng.below(8);
    let first = Step {
        ops: vec![meta(1, 1)],
        is_idle_after: false,
    };
    let rest = (0..steps).map(|_| {
        let ops = 1 + writer.rng.below(3);
        Step {
            ops: (0..ops).map(|_| writer.op()).collect(),
            is_idle_after: writer.rng.below(3) == 0,
        }
    });
    std::iter::once(first).chain(rest).collect()
}

struct Writer {
    rng: Rng,
    epoch: u32,
    last: Zxid,
    /// The newest snapshot: nothing before it is cut.
    kept: Zxid,
    log: Vec<Zxid>,
}

impl Writer {
    fn op(&mut self) -> StorageOp {
        match self.rng.below(12) {
            0 => {
                self.epoch += 1 + self.rng.up_to(1);
                meta(self.epoch, self.epoch - 1)
            }
            1 => meta(self.epoch, self.epoch),
            2 | 3 if self.last > self.kept => self.truncate(),
            4 if self.last > self.kept => self.save(),
            5 => self.install(),
            _ => self.append(),
        }
    }

    fn append(&mut self) -> StorageOp {
        let count = 1 + self.rng.up_to(4);
        let entries = self.entries(count);
        StorageOp::Protocol(DiskOp::Append(entries))
    }

    fn truncate(&mut self) -> StorageOp {
        let places: Vec<Zxid> = self.places().collect();
        let after = places[usize::try_from(self.rng.below(places.len() as u64)).unwrap()];
        self.log.retain(|zxid| *zxid <= after);
        self.last = after;
        // What was cut is not written again under the same name.
        self.epoch += 1;
        StorageOp::Protocol(DiskOp::Truncate { after })
    }

    fn save(&mut self) -> StorageOp {
        let places: Vec<Zxid> = self.places().skip(1).collect();
        let zxid = places[usize::try_from(self.rng.below(places.len() as u64)).unwrap()];
        self.kept = zxid;
        let bytes = Blob::from(vec![1; 100 + usize::try_from(self.rng.below(900)).unwrap()]);
        StorageOp::SaveSnapshot { zxid, bytes }
    }

    fn install(&mut self) -> StorageOp {
        self.epoch += 1;
        let zxid = Zxid::new(self.epoch, 1 + self.rng.up_to(50));
        (self.last, self.kept) = (zxid, zxid);
        self.log.clear();
        let count = self.rng.up_to(6);
        let entries = self.entries(count);
        let bytes = Blob::from(vec![2; usize::try_from(self.rng.below(900)).unwrap()]);
        StorageOp::Protocol(DiskOp::InstallSnapshot {
            zxid,
            bytes,
            entries,
        })
    }

    fn entries(&mut self, count: u32) -> Vec<Entry> {
        (0..count)
            .map(|_| {
                let next = Zxid(self.last.0 + 1);
                let zxid = if self.last.epoch() == self.epoch {
                    next
                } else {
                    Zxid::new(self.epoch, 1)
                };
                self.last = zxid;
                self.log.push(zxid);
                let size = usize::try_from(self.rng.below(1 << self.rng.clone().below(9))).unwrap();
                entry(zxid, size)
            })
            .collect()
    }

    /// Where the log may be cut.
    fn places(&self) -> impl Iterator<Item = Zxid> {
        let kept = self.kept;
        let behind = self.log.iter().copied().filter(move |zxid| *zxid > kept);
        std::iter::once(kept).chain(behind)
    }
}

pub(crate) fn entry(zxid: Zxid, size: usize) -> Entry {
    Entry {
        zxid,
        origin: Sid(1),
        request: zxid.0 ^ 0x55,
        payload: Arc::from(vec![zxid.counter().to_le_bytes()[0]; size]),
    }
}

pub(crate) fn meta(accepted_epoch: u32, current_epoch: u32) -> StorageOp {
    StorageOp::Protocol(DiskOp::SetMeta {
        accepted_epoch,
        current_epoch,
    })
}

/// The states that a storage passes through, entry by entry, and at which of them each step ends.
pub(crate) struct Model {
    pub(crate) states: Vec<Recovered>,
    pub(crate) ends: Vec<usize>,
}

impl Model {
    pub(crate) fn of(steps: &[Step]) -> Self {
        let mut storage = MemoryStorage::default();
        let mut states = vec![storage.recover().unwrap()];
        let mut ends = Vec::new();
        for op in steps.iter().map(|step| &step.ops) {
            for op in op.iter().flat_map(single) {
                storage.perform(&[op]).unwrap();
                states.push(storage.recover().unwrap());
            }
            ends.push(states.len() - 1);
        }
        Self { states, ends }
    }

    /// Which of the states is found, after `done` steps were reported done: it must be the end of the
    /// last of them, or lie within the step behind.
    pub(crate) fn check(&self, found: &Recovered, done: usize) -> Result<usize, String> {
        let from = done.checked_sub(1).map_or(0, |step| self.ends[step]);
        let to = self.ends[done.min(self.ends.len() - 1)];
        sound(found)?;
        (from..=to)
            .find(|index| key(found) == key(&self.states[*index]))
            .ok_or_else(|| {
                format!(
                    "after {done} steps: none of the states {from}..={to}: {}",
                    brief(found)
                )
            })
    }
}

/// An append as appends of one entry each, because a crash may leave the first of them.
fn single(op: &StorageOp) -> Vec<StorageOp> {
    match op {
        StorageOp::Protocol(DiskOp::Append(entries)) => entries
            .iter()
            .map(|entry| StorageOp::Protocol(DiskOp::Append(vec![entry.clone()])))
            .collect(),
        op => vec![op.clone()],
    }
}

/// What counts of a state: epochs, snapshot, last transaction, and the entries behind the snapshot. The
/// storage may keep more of the log than the model.
pub(crate) type Key = (u32, u32, Option<(Zxid, Vec<u8>)>, Zxid, Vec<Entry>);

pub(crate) fn key(state: &Recovered) -> Key {
    let snapshot = state.snapshot.as_ref();
    let covered = snapshot.map_or(Zxid::ZERO, |(zxid, _)| *zxid);
    let behind = state.entries.iter().filter(|entry| entry.zxid > covered);
    (
        state.accepted_epoch,
        state.current_epoch,
        snapshot.map(|(zxid, bytes)| (*zxid, bytes.to_vec())),
        state.last(),
        behind.cloned().collect(),
    )
}

/// Whether the log has no gap and begins at or before the snapshot.
fn sound(state: &Recovered) -> Result<(), String> {
    let covered = state
        .snapshot
        .as_ref()
        .map_or(Zxid::ZERO, |(zxid, _)| *zxid);
    if state.base > covered || state.last() < covered {
        return Err(format!(
            "the log does not reach the snapshot: {}",
            brief(state)
        ));
    }
    let mut last = state.base;
    for entry in &state.entries {
        if !entry.zxid.follows(last) || *entry != self::entry(entry.zxid, entry.payload.len()) {
            return Err(format!("{} behind {last}: {}", entry.zxid, brief(state)));
        }
        last = entry.zxid;
    }
    Ok(())
}

pub(crate) fn brief(state: &Recovered) -> String {
    format!(
        "epochs {}/{}, snapshot {:?}, base {}, {} entries, last {}",
        state.accepted_epoch,
        state.current_epoch,
        state.snapshot.as_ref().map(|(zxid, _)| *zxid),
        state.base,
        state.entries.len(),
        state.last()
    )
}

/// Small segments, so that each history crosses their borders.
pub(crate) fn open(disk: &Disk) -> Result<DiskStorage<Disk>, StorageError> {
    DiskStorage::open_on(disk.clone(), options(), Aside::Inline)
}

pub(crate) fn options() -> Options {
    Options {
        dir: Path::new("/data").to_owned(),
        node: 1,
        segment_bytes: 1500,
    }
}

/// Does a history; gives the number of steps that were reported done, and what ended it.
pub(crate) fn run(disk: &Disk, steps: &[Step]) -> (usize, Result<(), StorageError>) {
    run_on(open(disk), steps)
}

pub(crate) fn run_on(
    storage: Result<DiskStorage<Disk>, StorageError>,
    steps: &[Step],
) -> (usize, Result<(), StorageError>) {
    let mut done = 0;
    let result = storage.and_then(|mut storage| {
        storage.recover()?;
        for step in steps {
            storage.perform(&step.ops)?;
            done += 1;
            if step.is_idle_after {
                storage.settle()?;
            }
        }
        Ok(())
    });
    (done, result)
}

pub(crate) fn recover(disk: &Disk) -> Result<Recovered, StorageError> {
    open(disk)?.recover()
}

//! Every change of every history is a place to die, and every answer of the disk may be an error. What
//! recovery finds is the state after some of the operations, with all that were reported done; and
//! what it found stays found.

use nix::errno::Errno;

use chaos_node::protocol::io::DiskOp;
use chaos_node::protocol::zxid::Zxid;
use chaos_node::storage::{Aside, DiskStorage, Recovered, Storage, StorageError, StorageOp};

use crate::disk::{Disk, Fault};
use crate::history::{self, Model, Rng, Step, brief, entry, key, recover, run, run_on};

/// How much is kept of what was not synced.
#[derive(Debug, Clone, Copy)]
enum Keep {
    Nothing,
    Everything,
    /// Everything, and the machine stays up.
    Visible,
    Some(u64),
}

impl Keep {
    fn image(self, disk: &Disk) -> Disk {
        match self {
            Self::Nothing => disk.crashed(|| false),
            Self::Everything => disk.crashed(|| true),
            Self::Visible => disk.restarted(),
            Self::Some(seed) => {
                let mut rng = Rng(seed);
                let odds = 1 + rng.below(7);
                disk.crashed(|| rng.below(8) < odds)
            }
        }
    }

    fn each(seeds: std::ops::Range<u64>) -> impl Iterator<Item = Self> {
        [Self::Nothing, Self::Everything, Self::Visible]
            .into_iter()
            .chain(seeds.map(Self::Some))
    }
}

/// The changes that a history makes.
fn changes(steps: &[Step]) -> u64 {
    let disk = Disk::default();
    run(&disk, steps).1.unwrap();
    disk.changes()
}

/// Recovers what the crash left; checks the law, and that what was found is durable and can be written.
fn check(disk: &Disk, model: &Model, done: usize, keep: Keep) -> Result<Recovered, String> {
    let image = keep.image(disk);
    let failed = |error: StorageError| format!("{keep:?}: {error}");
    let mut storage = history::open(&image).map_err(failed)?;
    let found = storage.recover().map_err(failed)?;
    model
        .check(&found, done)
        .map_err(|what| format!("{keep:?}: {what}"))?;
    for again in [Keep::Nothing, Keep::Everything, Keep::Some(1)] {
        let second = recover(&again.image(&image)).map_err(failed)?;
        if key(&second) != key(&found) {
            let (first, second) = (brief(&found), brief(&second));
            return Err(format!("{keep:?}, then {again:?}: {first}, then {second}"));
        }
    }
    let next = Zxid::new(found.last().epoch() + 1, 1);
    let append = StorageOp::Protocol(DiskOp::Append(vec![entry(next, 40)]));
    storage.perform(&[append]).map_err(failed)?;
    drop(storage);
    let last = recover(&image.crashed(|| false)).map_err(failed)?.last();
    if last != next {
        return Err(format!("{keep:?}: appended {next}, found {last}"));
    }
    Ok(found)
}

#[test]
fn a_crash_at_any_change_keeps_what_was_reported_done() {
    let mut crashes = 0;
    for seed in 0..SEEDS {
        let steps = history::random(seed);
        let model = Model::of(&steps);
        for at in 0..=changes(&steps) {
            let disk = Disk::default();
            disk.fail_at(at, Fault::Stop);
            let (done, _) = run(&disk, &steps);
            let random = seed * 1000 + at * 4;
            for keep in Keep::each(random..random + 4) {
                if let Err(what) = check(&disk, &model, done, keep) {
                    panic!("seed {seed}, crash at change {at}: {what}");
                }
                crashes += 1;
            }
        }
    }
    assert!(crashes > SEEDS * 500, "{crashes}");
}

#[test]
fn a_crash_inside_recovery_changes_nothing() {
    for seed in 0..SEEDS / 4 {
        let steps = history::random(seed);
        let model = Model::of(&steps);
        let places = changes(&steps);
        for at in (0..places).step_by(7) {
            let disk = Disk::default();
            disk.fail_at(at, Fault::Stop);
            let (done, _) = run(&disk, &steps);
            for keep in Keep::each(at..at + 1) {
                let image = keep.image(&disk);
                for second in 0.. {
                    let again = image.restarted();
                    again.fail_at(second, Fault::Stop);
                    let result = recover(&again);
                    if let Err(what) = check(&again, &model, done, Keep::Some(second)) {
                        panic!("seed {seed}, crash at {at} {keep:?}, then at {second}: {what}");
                    }
                    if result.is_ok() && !again.has_failed() {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn after_an_error_nothing_is_tried_again_and_nothing_is_lost() {
    for seed in 0..SEEDS / 2 {
        let steps = history::random(seed);
        let model = Model::of(&steps);
        for at in 0..changes(&steps) {
            let errno = if at % 2 == 0 {
                Errno::EIO
            } else {
                Errno::ENOSPC
            };
            let disk = Disk::default();
            disk.fail_at(at, Fault::Error(errno as i32));
            let (done, result) = run(&disk, &steps);
            let place = format!("seed {seed}, {errno} at change {at}");
            assert!(disk.has_failed() && result.is_err(), "{place}");
            assert_eq!(disk.later_changes(), 0, "{place}");
            for keep in Keep::each(at..at + 2) {
                if let Err(what) = check(&disk, &model, done, keep) {
                    panic!("{place}: {what}");
                }
            }
        }
    }
}

#[test]
fn a_storage_that_failed_refuses_everything() {
    let disk = Disk::default();
    let mut storage = history::open(&disk).unwrap();
    storage.recover().unwrap();
    disk.fail_at(1, Fault::Error(Errno::EIO as i32));
    let op = |counter| {
        let entry = entry(Zxid::new(1, counter), 10);
        [StorageOp::Protocol(DiskOp::Append(vec![entry]))]
    };
    let error = storage.perform(&op(1)).unwrap_err();
    assert!(
        matches!(error, StorageError::Io { action: "sync", .. }),
        "{error}"
    );
    for result in [
        storage.perform(&op(1)),
        storage.perform(&op(2)),
        storage.settle(),
    ] {
        assert!(matches!(result, Err(StorageError::Refused)));
    }
    assert_eq!(disk.later_changes(), 0);
}

#[test]
fn interrupted_and_short_writes_are_carried_on() {
    for seed in 0..SEEDS {
        let steps = history::random(seed);
        let model = Model::of(&steps);
        let disk = Disk::default();
        disk.fail_at(0, Fault::Awkward);
        let (done, result) = run(&disk, &steps);
        result.unwrap();
        let found = check(&disk, &model, done, Keep::Nothing).unwrap();
        assert_eq!(
            key(&found),
            key(model.states.last().unwrap()),
            "seed {seed}"
        );
    }
}

#[test]
fn a_crash_keeps_what_was_reported_done_when_segments_are_made_on_another_thread() {
    let mut rng = Rng(7);
    for seed in 0..SEEDS {
        let steps = history::random(seed);
        let model = Model::of(&steps);
        let places = changes(&steps);
        for _ in 0..100 {
            let at = rng.below(places);
            let disk = Disk::default();
            disk.fail_at(at, Fault::Stop);
            let storage = DiskStorage::open_on(disk.clone(), history::options(), Aside::Thread);
            let (done, _) = run_on(storage, &steps);
            for keep in [Keep::Nothing, Keep::Visible, Keep::Some(rng.next())] {
                if let Err(what) = check(&disk, &model, done, keep) {
                    panic!("seed {seed}, crash at change {at}: {what}");
                }
            }
        }
    }
}

/// Histories; each has some hundred changes.
const SEEDS: u64 = 24;

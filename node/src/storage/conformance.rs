//! What every storage must do, run on each; and what the one on disk must survive.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::protocol::zxid::Sid;

fn entry(epoch: u32, counter: u32) -> Entry {
    Entry {
        zxid: Zxid::new(epoch, counter),
        origin: Sid(1),
        request: u64::from(counter),
        payload: Arc::from(vec![7; usize::try_from(counter % 40).unwrap()]),
    }
}

fn append(epoch: u32, counters: std::ops::RangeInclusive<u32>) -> StorageOp {
    let entries = counters.map(|counter| entry(epoch, counter)).collect();
    StorageOp::Protocol(DiskOp::Append(entries))
}

fn truncate(after: Zxid) -> StorageOp {
    StorageOp::Protocol(DiskOp::Truncate { after })
}

fn epochs(accepted_epoch: u32, current_epoch: u32) -> StorageOp {
    StorageOp::Protocol(DiskOp::SetMeta {
        accepted_epoch,
        current_epoch,
    })
}

fn install(zxid: Zxid) -> StorageOp {
    let bytes = Blob::from(b"theirs");
    let entries = (1..=12)
        .map(|further| entry(zxid.epoch(), zxid.counter() + further))
        .collect();
    StorageOp::Protocol(DiskOp::InstallSnapshot {
        zxid,
        bytes,
        entries,
    })
}

fn save(zxid: Zxid) -> StorageOp {
    let bytes = Blob::from(b"ours");
    StorageOp::SaveSnapshot { zxid, bytes }
}

/// Small segments, so that the tests cross their borders.
fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        node: 1,
        segment_bytes: 300,
    }
}

fn zxids(recovered: &Recovered) -> Vec<Zxid> {
    recovered.entries.iter().map(|entry| entry.zxid).collect()
}

/// Performs each group of operations, opens again after each, and gives what is found at the end.
fn run(reopen: &mut dyn FnMut() -> Box<dyn Storage>, groups: &[&[StorageOp]]) -> Recovered {
    for group in groups {
        let mut storage = reopen();
        storage.recover().unwrap();
        storage.perform(group).unwrap();
    }
    reopen().recover().unwrap()
}

fn on_each(test: impl Fn(&mut dyn FnMut() -> Box<dyn Storage>)) {
    let memory = MemoryStorage::default();
    test(&mut || Box::new(memory.clone()));
    let dir = tempfile::tempdir().unwrap();
    test(&mut || Box::new(DiskStorage::open(options(dir.path())).unwrap()));
}

#[test]
fn a_fresh_storage_is_empty() {
    on_each(|reopen| assert_eq!(run(reopen, &[]), Recovered::default()));
}

#[test]
fn appended_entries_and_epochs_are_found_again() {
    on_each(|reopen| {
        let found = run(
            reopen,
            &[
                &[epochs(1, 0), append(1, 1..=3), epochs(1, 1)],
                &[append(1, 4..=40), append(1, 41..=42)],
                &[epochs(3, 1), append(3, 1..=2)],
            ],
        );
        let expected: Vec<Entry> = (1..=42)
            .map(|counter| entry(1, counter))
            .chain((1..=2).map(|counter| entry(3, counter)))
            .collect();
        assert_eq!(found.entries, expected);
        assert_eq!((found.accepted_epoch, found.current_epoch), (3, 1));
        assert_eq!((found.base, found.last()), (Zxid::ZERO, Zxid::new(3, 2)));
    });
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    on_each(|reopen| {
        let found = run(
            reopen,
            &[
                &[
                    append(1, 1..=40),
                    truncate(Zxid::new(1, 20)),
                    append(2, 1..=1),
                ],
                &[truncate(Zxid::new(1, 19)), append(3, 1..=20)],
                &[truncate(Zxid::new(3, 20)), truncate(Zxid::new(3, 2))],
            ],
        );
        let expected: Vec<Zxid> = (1..=19)
            .map(|counter| Zxid::new(1, counter))
            .chain([Zxid::new(3, 1), Zxid::new(3, 2)])
            .collect();
        assert_eq!(zxids(&found), expected);
    });
}

#[test]
fn everything_can_be_cut_off() {
    on_each(|reopen| {
        let found = run(
            reopen,
            &[
                &[append(1, 1..=40)],
                &[truncate(Zxid::ZERO)],
                &[append(2, 1..=1)],
            ],
        );
        assert_eq!(zxids(&found), [Zxid::new(2, 1)]);
    });
}

#[test]
fn a_snapshot_from_another_node_replaces_everything() {
    on_each(|reopen| {
        let at = Zxid::new(5, 9);
        let found = run(
            reopen,
            &[
                &[append(1, 1..=30), save(Zxid::new(1, 9))],
                &[install(at), append(5, 22..=30)],
                &[append(5, 31..=31)],
            ],
        );
        assert_eq!(found.snapshot, Some((at, Blob::from(b"theirs"))));
        assert_eq!(found.base, at);
        assert_eq!(
            zxids(&found),
            (10..=31).map(|n| Zxid::new(5, n)).collect::<Vec<_>>()
        );
    });
}

#[test]
fn an_own_snapshot_keeps_what_lies_behind_it() {
    on_each(|reopen| {
        let at = Zxid::new(1, 25);
        let found = run(
            reopen,
            &[&[append(1, 1..=30), save(at)], &[append(1, 31..=31)]],
        );
        assert_eq!(found.snapshot, Some((at, Blob::from(b"ours"))));
        assert!(
            found.base > Zxid::ZERO && found.base <= at,
            "{}",
            found.base
        );
        let behind: Vec<_> = zxids(&found)
            .into_iter()
            .filter(|zxid| *zxid > at)
            .collect();
        assert_eq!(
            behind,
            (26..=31).map(|n| Zxid::new(1, n)).collect::<Vec<_>>()
        );
        assert_eq!(found.last(), Zxid::new(1, 31));
    });
}

#[test]
fn an_older_snapshot_does_not_replace_a_newer_one() {
    on_each(|reopen| {
        let found = run(
            reopen,
            &[&[
                append(1, 1..=9),
                save(Zxid::new(1, 8)),
                save(Zxid::new(1, 5)),
            ]],
        );
        assert_eq!(found.snapshot.unwrap().0, Zxid::new(1, 8));
    });
}

#[test]
fn gaps_and_cuts_outside_the_log_are_refused() {
    on_each(|reopen| {
        let mut storage = reopen();
        storage.recover().unwrap();
        storage.perform(&[append(1, 1..=3)]).unwrap();
        assert!(matches!(
            storage.perform(&[append(1, 5..=5)]),
            Err(StorageError::AppendGap { .. })
        ));
        assert!(matches!(
            storage.perform(&[truncate(Zxid::new(2, 1))]),
            Err(StorageError::TruncateOutside { .. })
        ));
    });
}

/// The one segment that was written last, and its bytes.
fn newest_segment(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let path = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("log.")
        })
        .max()
        .unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn recover(dir: &Path) -> Result<Recovered, StorageError> {
    DiskStorage::open(options(dir)).unwrap().recover()
}

#[test]
fn a_log_torn_at_any_byte_recovers_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    storage.recover().unwrap();
    storage.perform(&[append(1, 1..=2)]).unwrap();
    let (path, before) = newest_segment(dir.path());
    storage.perform(&[append(1, 3..=5)]).unwrap();
    drop(storage);
    let after = std::fs::read(&path).unwrap();
    let mut most = 2;
    for cut in 0..after.len() {
        // The second batch reached the disk up to here, and the process died in it.
        let mut torn = before.clone();
        torn[..cut].copy_from_slice(&after[..cut]);
        std::fs::write(&path, &torn).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let other = entry.unwrap().path();
            if other != path
                && other
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("log.")
            {
                std::fs::remove_file(other).unwrap();
            }
        }
        let found = recover(dir.path()).unwrap();
        let expected: Vec<_> = (1..)
            .take(found.entries.len())
            .map(|n| entry(1, n))
            .collect();
        assert_eq!(found.entries, expected, "torn at {cut}");
        assert!(found.entries.len() >= most, "torn at {cut}");
        most = found.entries.len();
    }
    assert_eq!(most, 5);
}

#[test]
fn later_sectors_that_arrived_first_do_not_hide_damage_nor_invent_entries() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    storage.recover().unwrap();
    storage.perform(&[append(1, 1..=2)]).unwrap();
    let (path, before) = newest_segment(dir.path());
    storage.perform(&[append(1, 3..=5)]).unwrap();
    drop(storage);
    let after = std::fs::read(&path).unwrap();
    let start = (0..after.len())
        .find(|at| before[*at] != after[*at])
        .unwrap();
    let mut torn = after;
    torn[start..start + 8].fill(0);
    std::fs::write(&path, &torn).unwrap();
    assert_eq!(recover(dir.path()).unwrap().entries.len(), 2);
    // What was behind the end is gone for good: new records cannot bring it back.
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    storage.recover().unwrap();
    storage.perform(&[append(2, 1..=1)]).unwrap();
    drop(storage);
    let last = recover(dir.path()).unwrap().last();
    assert_eq!(last, Zxid::new(2, 1));
}

#[test]
fn damage_to_durable_records_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    storage.recover().unwrap();
    storage.perform(&[append(1, 1..=2)]).unwrap();
    storage.perform(&[append(1, 3..=4)]).unwrap();
    let (path, whole) = newest_segment(dir.path());
    drop(storage);
    for at in [20, 30, 45] {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let error = recover(dir.path()).unwrap_err().to_string();
        assert!(error.contains("before durable ones"), "{error}");
    }
}

#[test]
fn damage_to_a_sealed_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    storage.recover().unwrap();
    storage.perform(&[append(1, 1..=30)]).unwrap();
    let first = dir.path().join("log.00000000.0000000000000000");
    drop(storage);
    let whole = std::fs::read(&first).unwrap();
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        std::fs::write(&first, &bad).unwrap();
        let error = recover(dir.path()).unwrap_err();
        assert!(
            matches!(error, StorageError::Corrupt { .. }),
            "{at}: {error}"
        );
    }
    std::fs::remove_file(&first).unwrap();
    assert!(recover(dir.path()).is_err(), "a segment is missing");
}

/// All files of a directory, by name.
fn files_of(dir: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let bytes = std::fs::read(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), bytes)
        })
        .collect()
}

#[test]
fn a_crash_while_a_snapshot_is_installed_leaves_the_old_history_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    storage.recover().unwrap();
    storage.perform(&[append(1, 1..=40)]).unwrap();
    let before = files_of(dir.path());
    storage.perform(&[install(Zxid::new(2, 7))]).unwrap();
    drop(storage);
    let after = files_of(dir.path());
    let new: Vec<_> = after
        .iter()
        .filter(|(name, _)| !before.contains_key(*name))
        .collect();
    let is_snapshot = |name: &str| name.starts_with("snapshot.");
    // The new log is written, segment by segment; then the snapshot; then the old log is deleted.
    for written in 0..=new.len() {
        let mut files = before.clone();
        for (name, bytes) in &new[..written] {
            files.insert((*name).clone(), (*bytes).clone());
        }
        let is_installed = files.keys().any(|name| is_snapshot(name));
        let crash = tempfile::tempdir().unwrap();
        for (name, bytes) in &files {
            std::fs::write(crash.path().join(name), bytes).unwrap();
        }
        let found = recover(crash.path()).unwrap();
        let expected = if is_installed {
            (8..=19).map(|n| Zxid::new(2, n)).collect::<Vec<_>>()
        } else {
            (1..=40).map(|n| Zxid::new(1, n)).collect()
        };
        assert_eq!(zxids(&found), expected, "{written} files written");
        assert_eq!(recover(crash.path()).unwrap(), found);
    }
    assert!(
        new.len() > 2 && is_snapshot(new.last().unwrap().0),
        "{new:?}"
    );
}

#[test]
fn a_lost_snapshot_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = DiskStorage::open(options(dir.path())).unwrap();
    storage.recover().unwrap();
    storage.perform(&[install(Zxid::new(2, 7))]).unwrap();
    drop(storage);
    for name in files_of(dir.path())
        .keys()
        .filter(|name| name.starts_with("snapshot."))
    {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let error = recover(dir.path()).unwrap_err().to_string();
    assert!(error.contains("its snapshot is missing"), "{error}");
}

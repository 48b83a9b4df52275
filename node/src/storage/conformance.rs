//! What every storage must do, run on each.

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
        drop(storage);
        let mut storage = reopen();
        storage.recover().unwrap();
        assert!(matches!(
            storage.perform(&[truncate(Zxid::new(2, 1))]),
            Err(StorageError::TruncateOutside { .. })
        ));
    });
}

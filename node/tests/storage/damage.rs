//! Damage to what was durable: recovery finds everything as it was, or refuses and names the place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chaos_node::protocol::zxid::Zxid;
use chaos_node::storage::{Aside, DiskStorage, Options, Recovered, StorageError};

use crate::disk::Disk;
use crate::history::{self, Model, brief, key, recover, run, run_on};

type Directory = BTreeMap<PathBuf, Vec<u8>>;

/// A directory after a whole history, with what it holds. The disk thread was idle at the end, so that
/// the last batch too is known to be durable.
fn directory(seed: u64, disk: &Disk) -> (Directory, Recovered) {
    let mut steps = history::random(seed);
    steps.last_mut().unwrap().is_idle_after = true;
    run(disk, &steps).1.unwrap();
    let files = disk.files();
    let found = recover(&Disk::with(&files)).unwrap();
    Model::of(&steps).check(&found, steps.len()).unwrap();
    (files, found)
}

/// Recovers from these files: nothing is different, or the start is refused. Gives the refusal.
fn same_or_refused(files: &Directory, expected: &Recovered, what: &str) -> Option<StorageError> {
    match recover(&Disk::with(files)) {
        Ok(found) => {
            let (found_text, expected_text) = (brief(&found), brief(expected));
            assert!(
                key(&found) == key(expected),
                "{what}: {found_text} instead of {expected_text}"
            );
            None
        }
        Err(error) => Some(error),
    }
}

/// The same, with one file changed.
fn with_changed(files: &Directory, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Directory {
    let mut changed = files.clone();
    change(changed.get_mut(path).unwrap());
    changed
}

#[test]
fn no_flipped_byte_changes_what_is_found() {
    let (mut refused, mut same) = (0, 0);
    for seed in 0..SEEDS {
        let (files, expected) = directory(seed, &Disk::default());
        for (path, bytes) in &files {
            let mut last_nonzero = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 40;
            last_nonzero = last_nonzero.min(bytes.len());
            let step = if last_nonzero > 4000 { 3 } else { 1 };
            for at in (0..last_nonzero).step_by(step) {
                let flip = 1 << (at % 8);
                let damaged = with_changed(&files, path, |bytes| bytes[at] ^= flip);
                let what = format!("seed {seed}, {} flipped at {at}", path.display());
                match same_or_refused(&damaged, &expected, &what) {
                    None => same += 1,
                    Some(StorageError::Corrupt {
                        path: named,
                        damage,
                    }) => {
                        assert_eq!(named, *path, "{what}");
                        assert!(
                            damage.offset <= at || damage.offset == bytes.len(),
                            "{what}: {damage}"
                        );
                        refused += 1;
                    }
                    Some(error) => panic!("{what}: {error}"),
                }
            }
        }
    }
    assert!(
        refused > 1000 && same > 1000,
        "{refused} refused, {same} same"
    );
}

#[test]
fn no_lost_sector_changes_what_is_found() {
    for seed in 0..SEEDS {
        let (files, expected) = directory(seed, &Disk::default());
        for (path, bytes) in &files {
            // The last batch of a log and what proves it durable may share a sector: losing both is
            // the one damage that looks like a torn write.
            let last = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 512 * 512;
            let is_log = path.to_str().unwrap().contains("log.");
            let sectors = (0..bytes.len()).step_by(512);
            for at in sectors.filter(|at| !is_log || *at != last) {
                let damaged = with_changed(&files, path, |bytes| {
                    let end = (at + 512).min(bytes.len());
                    bytes[at..end].fill(0);
                });
                let what = format!("seed {seed}, {} without {at}", path.display());
                same_or_refused(&damaged, &expected, &what);
            }
        }
    }
}

#[test]
fn files_that_are_cut_empty_or_missing_are_noticed() {
    for seed in 0..SEEDS {
        let (files, expected) = directory(seed, &Disk::default());
        for (path, bytes) in &files {
            for length in (0..bytes.len()).step_by(97) {
                let cut = with_changed(&files, path, |bytes| bytes.truncate(length));
                let what = format!("seed {seed}, {} cut to {length}", path.display());
                let error = same_or_refused(&cut, &expected, &what);
                assert!(error.is_some(), "{what} is not noticed");
            }
            let mut without = files.clone();
            without.remove(path);
            let what = format!("seed {seed}, {} missing", path.display());
            // Without its snapshot a log that goes back to the beginning is still the whole history.
            if let Ok(found) = recover(&Disk::with(&without))
                && found.snapshot.is_none()
                && found.base == Zxid::ZERO
            {
                assert_eq!(found.entries, expected.entries, "{what}");
                continue;
            }
            let error = same_or_refused(&without, &expected, &what);
            // The segment that was made ahead holds nothing yet.
            let is_ahead = *path == newest_segment(&files);
            assert!(error.is_some() || is_ahead, "{what} is not noticed");
        }
    }
}

#[test]
fn a_log_without_its_newest_segments_is_refused() {
    let mut refused = 0;
    for seed in 0..4 * SEEDS {
        let (files, expected) = directory(seed, &Disk::default());
        let mut without = files.clone();
        without.remove(&newest_segment(&files));
        // Each time one more is missing, of those that hold batches.
        while segments(&without).count() > 1 {
            without.remove(&newest_segment(&without));
            let newest = newest_segment(&without);
            let what = format!("seed {seed}, {} is the newest", newest.display());
            let error = same_or_refused(&without, &expected, &what);
            let text = error.map_or(String::new(), |error| error.to_string());
            assert!(text.contains("is missing"), "{what}: {text}");
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
}

fn newest_segment(files: &Directory) -> PathBuf {
    segments(files).max().unwrap().clone()
}

fn segments(files: &Directory) -> impl Iterator<Item = &PathBuf> {
    files
        .keys()
        .filter(|path| path.to_str().unwrap().starts_with("/data/log."))
}

#[test]
fn files_of_another_directory_are_refused() {
    for seed in 0..SEEDS {
        let (mine, expected) = directory(seed, &Disk::default());
        // The same history in another directory: only the owner differs.
        let (theirs, _) = directory(seed, &Disk::with(&Directory::new()));
        assert!(mine.keys().eq(theirs.keys()));
        for path in mine.keys() {
            let swapped = with_changed(&mine, path, |bytes| bytes.clone_from(&theirs[path]));
            let what = format!("seed {seed}, {} swapped", path.display());
            let error = same_or_refused(&swapped, &expected, &what);
            let text = error.map_or(String::new(), |error| error.to_string());
            assert!(
                text.contains("another data directory") || text.contains("another snapshot"),
                "{what}: {text}"
            );
        }
    }
}

#[test]
fn files_of_another_node_are_refused_with_its_number() {
    let (mine, expected) = directory(4, &Disk::default());
    let disk = Disk::default();
    let other = Options {
        node: 2,
        ..history::options()
    };
    let storage = DiskStorage::open_on(disk.clone(), other, Aside::Inline);
    run_on(storage, &history::random(4)).1.unwrap();
    let theirs = disk.files();
    assert!(
        mine.keys()
            .any(|path| path.to_str().unwrap().contains("snapshot."))
    );
    for path in mine.keys() {
        let swapped = with_changed(&mine, path, |bytes| bytes.clone_from(&theirs[path]));
        let error = same_or_refused(&swapped, &expected, "swapped").unwrap();
        assert!(
            matches!(error, StorageError::OtherNode { found: 2, .. }),
            "{}: {error}",
            path.display()
        );
    }
}

#[test]
fn segments_that_changed_places_are_refused() {
    let (files, expected) = directory(1, &Disk::default());
    let segments: Vec<&PathBuf> = segments(&files).collect();
    assert!(segments.len() > 2, "{segments:?}");
    for pair in segments.windows(2) {
        let mut swapped = files.clone();
        swapped.insert(pair[0].clone(), files[pair[1]].clone());
        swapped.insert(pair[1].clone(), files[pair[0]].clone());
        let error = same_or_refused(&swapped, &expected, "swapped").unwrap();
        assert!(error.to_string().contains("another segment"), "{error}");
    }
}

#[test]
fn files_with_foreign_names_are_left_alone() {
    let (files, expected) = directory(3, &Disk::default());
    let mut more = files;
    for name in [
        "README",
        "log.1",
        "log.00000000.00000001.bak",
        "log.0000000g.00000001",
        "log.+0000000.00000001",
        "snapshot.x",
        "snapshot.00000000.1",
        "notes.tmp",
        ".hidden",
    ] {
        more.insert(Path::new("/data").join(name), b"mine".to_vec());
    }
    let disk = Disk::with(&more);
    assert_eq!(key(&recover(&disk).unwrap()), key(&expected));
    let left = disk.files();
    for (path, bytes) in more.iter().filter(|(_, bytes)| **bytes == b"mine") {
        assert_eq!(left.get(path), Some(bytes));
    }
}

/// Histories; each leaves a handful of files.
const SEEDS: u64 = 12;

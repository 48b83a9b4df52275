//! Damage to the files of a node: flipped bits, lost ends, wiped folders.
//!
//! It is done behind the node's back and cannot be taken back. A pattern names files below the
//! node's own folder; links are not followed, so nothing outside of it is ever touched.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::chunks;
use super::effect::Harm;
use crate::seed::{Seed, Stream};

/// So much of a file is read at once when bits are flipped.
const BLOCK: usize = 64 * 1024;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Files and folders that were changed.
    pub(super) paths: usize,
    /// Bits flipped, or bytes lost.
    pub(super) amount: u64,
}

/// Does `harm` to everything below `folder` that `pattern` names.
///
/// # Errors
/// If nothing is named so, nothing was changed (a landed fault does something), or a file cannot
/// be changed.
pub(super) fn harm(folder: &Path, pattern: &str, harm: &Harm) -> io::Result<Done> {
    let found = matches(folder, pattern)?;
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no file of the node is called `{pattern}`"),
        ));
    }
    let mut done = Done::default();
    for (index, path) in (0_u64..).zip(&found) {
        let amount = match harm {
            Harm::Wipe => wipe(path)?,
            Harm::Bitflip { share, seed } => flip(path, *share, seed.wrapping_add(index))?,
            Harm::CutOff { bytes } => shorten(path, |length| length.saturating_sub(*bytes))?,
            Harm::KeepFirst { bytes } => shorten(path, |length| length.min(*bytes))?,
            Harm::CopyChunks { chunks, seed } => {
                chunks::copy(path, *chunks, seed.wrapping_add(index))?
            }
            Harm::SnapshotChunks { chunks } => {
                chunks::snapshot(path, &name_in(folder, path), &store_of(folder), *chunks)?
            }
            Harm::RestoreChunks { chunks } => {
                chunks::restore(path, &name_in(folder, path), &store_of(folder), *chunks)?
            }
        };
        done.paths += usize::from(amount > 0);
        done.amount += amount;
    }
    if done.paths == 0 {
        return Err(io::Error::other(format!(
            "`{pattern}` is as it was: it is empty, or no bit was drawn, or no chunk was meant, \
             or none was saved that differs"
        )));
    }
    Ok(done)
}

/// Where chunks of a node's files are saved: beside its folder, where it does not see them.
fn store_of(folder: &Path) -> PathBuf {
    folder.with_extension("chunks")
}

fn name_in(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside.to_string_lossy().into_owned()
}

/// The paths that a pattern names, in order. `*` stands for any part of one name.
fn matches(folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for parent in found {
            let is_folder = fs::symlink_metadata(&parent).is_ok_and(|meta| meta.is_dir());
            if !is_folder {
                continue;
            }
            for entry in fs::read_dir(&parent)? {
                let entry = entry?;
                let fits = entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| fits(part, name));
                if fits && !entry.file_type()?.is_symlink() {
                    next.push(entry.path());
                }
            }
        }
        next.sort();
        found = next;
    }
    Ok(found)
}

/// Whether `name` is one that `pattern` stands for.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices()
                .map(|(at, _)| at)
                .chain([tail.len()])
                .any(|at| fits(rest, &tail[at..]))
        }),
    }
}

/// Removes a file, or empties a folder (which may be a mount point, and which its node may expect
/// to be there). Returns how many entries are gone, or the bytes of the file, at least 1.
fn wipe(path: &Path) -> io::Result<u64> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        fs::remove_file(path)?;
        return Ok(meta.len().max(1));
    }
    let mut gone = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
        gone += 1;
    }
    Ok(gone)
}

/// Flips each bit with probability `share`. Returns how many were flipped.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "distances are not negative, and saturating ones lie behind the end of any file"
)]
fn flip(path: &Path, share: f64, seed: u64) -> io::Result<u64> {
    let file = File::options().read(true).write(true).open(path)?;
    let bits = file.metadata()?.len().saturating_mul(8);
    let mut stream: Stream = Seed(seed).stream("bitflip");
    // Distances between flips are geometric: the inverse of their distribution needs one draw for
    // each flip rather than one for each bit.
    let mut distance = || -> u64 {
        if share >= 1.0 {
            return 0;
        }
        ((1.0 - stream.unit()).ln() / (-share).ln_1p()).floor() as u64
    };
    let mut flipped = 0;
    let mut next = distance();
    let mut block = vec![0; BLOCK];
    while next < bits {
        let start = next / 8 / BLOCK as u64 * BLOCK as u64;
        let length = file.read_at(&mut block, start)?;
        if length == 0 {
            break;
        }
        let end = (start + length as u64) * 8;
        while next < end {
            let byte = usize::try_from(next / 8 - start).unwrap_or(0);
            block[byte] ^= 1 << (next % 8);
            flipped += 1;
            next = next.saturating_add(1).saturating_add(distance());
        }
        file.write_all_at(&block[..length], start)?;
    }
    Ok(flipped)
}

/// Gives a file another length, not a greater one. Returns how many bytes are gone.
fn shorten(path: &Path, length: impl Fn(u64) -> u64) -> io::Result<u64> {
    let file = File::options().write(true).open(path)?;
    let before = file.metadata()?.len();
    let after = length(before);
    if after < before {
        file.set_len(after)?;
    }
    Ok(before.saturating_sub(after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    #[test]
    fn a_star_stands_for_any_part_of_one_name() {
        for (pattern, name, expected) in [
            ("log*", "log.1", true),
            ("*.wal", "00.wal", true),
            ("*", "", true),
            ("a*b*c", "aXbYbc", true),
            ("a*b", "ab/", false),
            ("log", "log.1", false),
            ("é*", "élan", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn only_files_below_the_folder_are_touched() {
        let folder = folder_with(&[("n1/data/log.1", b"12345"), ("n2/data/log.1", b"12345")]);
        let own = folder.path().join("n1");
        std::os::unix::fs::symlink(folder.path().join("n2"), own.join("data/other")).unwrap();
        let done = harm(&own, "data/*", &Harm::CutOff { bytes: 2 }).unwrap();
        assert_eq!((done.paths, done.amount), (1, 2));
        assert!(harm(&own, "data/other/*", &Harm::Wipe).is_err());
        assert!(harm(&own, "../n2/data/*", &Harm::Wipe).is_err());
        assert_eq!(fs::read(own.join("data/log.1")).unwrap(), b"123");
        assert_eq!(
            fs::read(folder.path().join("n2/data/log.1")).unwrap(),
            b"12345"
        );
    }

    #[test]
    fn a_wiped_folder_is_empty_and_still_there() {
        let folder = folder_with(&[("data/log.1", b"1"), ("data/deep/log.2", b"2")]);
        harm(folder.path(), "data", &Harm::Wipe).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("data")).unwrap().count(), 0);
    }

    #[test]
    fn harm_that_changes_nothing_has_not_landed() {
        let folder = folder_with(&[("log", b"12")]);
        let keep = Harm::KeepFirst { bytes: 2 };
        assert!(harm(folder.path(), "log", &keep).is_err());
        assert!(harm(folder.path(), "nothing", &Harm::Wipe).is_err());
    }

    #[test]
    fn chunks_are_saved_outside_of_the_folder_and_put_back() {
        use crate::cluster::effect::Chunks;
        let chunks = Chunks {
            size: 2,
            every: 1,
            offset: 0,
        };
        let folder = folder_with(&[("n1/data/log.1", b"12345")]);
        let own = folder.path().join("n1");
        let restore = Harm::RestoreChunks { chunks };
        assert!(harm(&own, "data/*", &restore).is_err());
        let done = harm(&own, "data/*", &Harm::SnapshotChunks { chunks }).unwrap();
        assert_eq!((done.paths, done.amount), (1, 5));
        // Nothing differs from what was saved.
        assert!(harm(&own, "data/*", &restore).is_err());
        fs::write(own.join("data/log.1"), b"1x3y5").unwrap();
        assert_eq!(harm(&own, "data/*", &restore).unwrap().amount, 2);
        assert_eq!(fs::read(own.join("data/log.1")).unwrap(), b"12345");
        assert_eq!(fs::read_dir(own.join("data")).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn bits_are_flipped_as_often_as_said_and_the_same_way_each_time(
            share in prop_oneof![Just(1.0), Just(0.5), 0.01..0.9_f64],
            seed in any::<u64>(),
            length in 100_000_usize..140_000,
        ) {
            let mut results = Vec::new();
            for _ in 0..2 {
                let folder = folder_with(&[("log", &vec![0; length])]);
                let done = harm(folder.path(), "log", &Harm::Bitflip { share, seed }).unwrap();
                let bytes = fs::read(folder.path().join("log")).unwrap();
                prop_assert_eq!(bytes.len(), length);
                let ones: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
                prop_assert_eq!(ones, done.amount);
                results.push(bytes);
            }
            prop_assert_eq!(&results[0], &results[1]);
            let ones: u32 = results[0].iter().map(|byte| byte.count_ones()).sum();
            let got = f64::from(ones) / (length as f64 * 8.0);
            // Six standard deviations of a binomial.
            let spread = 6.0 * (share * (1.0 - share) / (length as f64 * 8.0)).sqrt();
            prop_assert!((got - share).abs() <= spread + 1e-9, "{} of {}", got, share);
        }
    }
}

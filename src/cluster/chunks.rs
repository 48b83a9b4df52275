//! Damage to files chunk by chunk: some hold what stands elsewhere, or what stood there before.
//!
//! *Chunk*: a file is cut into pieces of one length, numbered from 0. Of every so many, one is
//! meant, so that replicas can be harmed in different places and no piece is harmed everywhere.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::effect::Chunks;
use crate::seed::{Seed, Stream};

impl Chunks {
    /// The numbers of the chunks that are meant in a file of this length.
    fn of(self, length: u64) -> impl Iterator<Item = u64> {
        let (every, offset) = (self.every.max(1), self.offset);
        let count = self.count(length);
        (0..count).filter(move |number| number % every == offset % every)
    }

    /// Chunks of a file of this length; the last one may be shorter.
    fn count(self, length: u64) -> u64 {
        length.div_ceil(self.size.max(1))
    }
}

/// Overwrites each chunk that is meant with another one of the same file. Returns how many bytes
/// of the file are others than before.
pub(super) fn copy(path: &Path, chunks: Chunks, seed: u64) -> io::Result<u64> {
    let file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let count = chunks.count(length);
    let mut stream: Stream = Seed(seed).stream("copy_chunks");
    let mut changed = 0;
    for number in chunks.of(length).filter(|_| count > 1) {
        let other = (number + 1 + stream.below(count - 1)) % count;
        let bytes = read(&file, other, chunks)?;
        changed += overwrite(&file, number, chunks, &bytes, Some(length))?;
    }
    Ok(changed)
}

/// Saves the chunks that are meant in a folder of the harness. Returns how many bytes they have.
pub(super) fn snapshot(path: &Path, name: &str, store: &Path, chunks: Chunks) -> io::Result<u64> {
    let file = File::open(path)?;
    let folder = saved(store, name);
    fs::create_dir_all(&folder)?;
    let mut saved = 0;
    for number in chunks.of(file.metadata()?.len()) {
        let bytes = read(&file, number, chunks)?;
        fs::write(folder.join(chunk_name(number, chunks)), &bytes)?;
        saved += bytes.len() as u64;
    }
    Ok(saved)
}

/// Puts back what was saved of the chunks that are meant, over what stands there now. Chunks that
/// were never saved are left alone. Returns how many bytes of the file are others than before.
pub(super) fn restore(path: &Path, name: &str, store: &Path, chunks: Chunks) -> io::Result<u64> {
    let file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut changed = 0;
    for number in chunks.of(length) {
        match fs::read(saved(store, name).join(chunk_name(number, chunks))) {
            Ok(bytes) => changed += overwrite(&file, number, chunks, &bytes, None)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(changed)
}

/// Where the chunks of a file are saved; `name` is its path below the node's folder.
fn saved(store: &Path, name: &str) -> PathBuf {
    store.join(name.replace('%', "%25").replace('/', "%2F"))
}

/// Chunks of different lengths do not stand for each other.
fn chunk_name(number: u64, chunks: Chunks) -> String {
    format!("{}-{number}", chunks.size)
}

fn read(file: &File, number: u64, chunks: Chunks) -> io::Result<Vec<u8>> {
    let length = usize::try_from(chunks.size).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let (mut filled, start) = (0, number * chunks.size);
    while filled < length {
        match file.read_at(&mut bytes[filled..], start + filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Writes a chunk, not behind `end` if there is one. Returns how many bytes are others.
fn overwrite(
    file: &File,
    number: u64,
    chunks: Chunks,
    bytes: &[u8],
    end: Option<u64>,
) -> io::Result<u64> {
    let start = number * chunks.size;
    let room = end.map_or(u64::MAX, |end| end.saturating_sub(start));
    let kept = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
    let before = read(file, number, chunks)?;
    file.write_all_at(&bytes[..kept], start)?;
    let (common, grown) = (before.len().min(kept), kept.saturating_sub(before.len()));
    let others = (0..common).filter(|at| before[*at] != bytes[*at]).count();
    Ok((others + grown) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKS: Chunks = Chunks {
        size: 4,
        every: 2,
        offset: 1,
    };

    fn file(folder: &Path, bytes: &[u8]) -> PathBuf {
        let path = folder.join("log");
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_copied_chunk_holds_another_one_and_the_rest_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let before = b"aaaabbbbccccddddee";
        let path = file(folder.path(), before);
        let changed = copy(&path, CHUNKS, 7).unwrap();
        let after = fs::read(&path).unwrap();
        assert_eq!(after.len(), before.len());
        let differ = (0..before.len()).filter(|at| before[*at] != after[*at]);
        assert_eq!(differ.clone().count() as u64, changed);
        // Each of the two chunks has become another one, of which the last has two bytes.
        assert!(changed >= 4, "{changed}");
        assert!(differ.into_iter().all(|at| (at / 4) % 2 == 1));
        for chunk in after.chunks(4) {
            let holds = |one: &[u8]| one == chunk || one == b"ee" && chunk.starts_with(one);
            assert!(before.chunks(4).any(holds), "{after:?}");
        }
        let again = file(folder.path(), before);
        copy(&again, CHUNKS, 7).unwrap();
        assert_eq!(fs::read(&again).unwrap(), after);
    }

    #[test]
    fn a_file_of_one_chunk_has_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), b"abc");
        let whole = Chunks { every: 1, ..CHUNKS };
        assert_eq!(copy(&path, whole, 1).unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }

    #[test]
    fn what_was_saved_is_put_back_over_what_was_written_since() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let path = file(folder.path(), b"aaaabbbbccccdd");
        assert_eq!(snapshot(&path, "data/log", &store, CHUNKS).unwrap(), 6);
        fs::write(&path, b"AAAABBBBCCCCDDDDEEEEFFFF").unwrap();
        assert_eq!(restore(&path, "data/log", &store, CHUNKS).unwrap(), 6);
        assert_eq!(fs::read(&path).unwrap(), b"AAAAbbbbCCCCddDDEEEEFFFF");
        assert_eq!(restore(&path, "data/log", &store, CHUNKS).unwrap(), 0);
        // Another file, or chunks of another length, were never saved.
        assert_eq!(restore(&path, "data_log", &store, CHUNKS).unwrap(), 0);
        let longer = Chunks { size: 8, ..CHUNKS };
        assert_eq!(restore(&path, "data/log", &store, longer).unwrap(), 0);
    }

    #[test]
    fn offsets_divide_the_chunks_among_replicas() {
        let numbers = |offset| -> Vec<u64> {
            let chunks = Chunks {
                size: 10,
                every: 3,
                offset,
            };
            chunks.of(65).collect()
        };
        assert_eq!(
            [0, 1, 2].map(numbers),
            [vec![0, 3, 6], vec![1, 4], vec![2, 5]]
        );
        assert_eq!(numbers(4), numbers(1));
    }
}

//! The file of epochs: two slots, written in turn, so that a torn write always leaves the other one.
//!
//! A slot is `[magic u32][crc32c u32][sequence u64][accepted u32][current u32][node u8]`, big endian;
//! the checksum covers everything behind it. The valid slot with the greatest sequence counts. The
//! file has its full size from the beginning, hence a change costs one `fdatasync` and no rename.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::StorageError;
use super::files;
use crate::jute::{JuteError, Reader, Writer};

/// Both epochs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    pub(super) accepted: u32,
    pub(super) current: u32,
}

/// The open file.
#[derive(Debug)]
pub(super) struct MetaFile {
    path: PathBuf,
    file: File,
    node: u8,
    sequence: u64,
    epochs: Epochs,
}

impl MetaFile {
    /// Opens the file, or makes a fresh one if there is none.
    pub(super) fn open(dir: &Path, node: u8, may_create: bool) -> Result<Self, StorageError> {
        let path = dir.join("epochs");
        let Some(bytes) = files::read(&path)? else {
            if !may_create {
                return Err(StorageError::NoEpochs(dir.to_owned()));
            }
            return Self::create(path, node);
        };
        let slots = [0, SLOT].map(|at| bytes.get(at..at + SLOT).and_then(|slot| read(slot).ok()));
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.sequence);
        let Some(slot) = newest else {
            return Err(StorageError::corrupt(&path, 0, "no slot is whole"));
        };
        if slot.node != node {
            return Err(StorageError::OtherNode {
                path: dir.to_owned(),
                found: slot.node,
                expected: node,
            });
        }
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(StorageError::io("open", &path))?;
        Ok(Self {
            path,
            file,
            node,
            sequence: slot.sequence,
            epochs: slot.epochs,
        })
    }

    /// Replaces both epochs, durably.
    pub(super) fn set(&mut self, epochs: Epochs) -> Result<(), StorageError> {
        self.sequence += 1;
        self.epochs = epochs;
        let slot = write(self.node, self.sequence, epochs);
        let at = if self.sequence.is_multiple_of(2) {
            0
        } else {
            SLOT as u64
        };
        self.file
            .write_all_at(&slot, at)
            .and_then(|()| self.file.sync_data())
            .map_err(StorageError::io("write", &self.path))
    }

    pub(super) const fn epochs(&self) -> Epochs {
        self.epochs
    }

    fn create(path: PathBuf, node: u8) -> Result<Self, StorageError> {
        let epochs = Epochs::default();
        let slot = write(node, 0, epochs);
        let mut bytes = vec![0; 2 * SLOT];
        bytes[..slot.len()].copy_from_slice(&slot);
        let file = files::replace(&path, &[&bytes])?;
        Ok(Self {
            path,
            file,
            node,
            sequence: 0,
            epochs,
        })
    }
}

struct Slot {
    sequence: u64,
    epochs: Epochs,
    node: u8,
}

fn write(node: u8, sequence: u64, epochs: Epochs) -> Vec<u8> {
    let mut body = Writer::new();
    body.u64(sequence);
    body.raw(&epochs.accepted.to_be_bytes());
    body.raw(&epochs.current.to_be_bytes());
    body.u8(node);
    let body = body.into_bytes();
    let mut slot = Writer::new();
    slot.raw(&MAGIC);
    slot.raw(&crc32c::crc32c(&body).to_be_bytes());
    slot.raw(&body);
    slot.into_bytes()
}

fn read(bytes: &[u8]) -> Result<Slot, JuteError> {
    let mut input = Reader::new(bytes);
    let magic = input.take(4)?;
    let crc = input.take(4)?;
    let body = input.take(BODY)?;
    if magic != MAGIC || crc != crc32c::crc32c(body).to_be_bytes() {
        return Err(JuteError::Tag(0));
    }
    let mut body = Reader::new(body);
    let sequence = body.u64()?;
    let both = body.u64()?;
    Ok(Slot {
        sequence,
        epochs: Epochs {
            accepted: u32::try_from(both >> 32).unwrap_or(u32::MAX),
            current: u32::try_from(both & 0xffff_ffff).unwrap_or(u32::MAX),
        },
        node: body.u8()?,
    })
}

/// One page: a torn write damages one slot only.
const SLOT: usize = 4096;
const BODY: usize = 17;
const MAGIC: [u8; 4] = *b"chE1";

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(accepted: u32, current: u32) -> Epochs {
        Epochs { accepted, current }
    }

    #[test]
    fn the_newest_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut meta = MetaFile::open(dir.path(), 3, true).unwrap();
        assert_eq!(meta.epochs(), Epochs::default());
        for epoch in 1..5 {
            meta.set(epochs(epoch, epoch - 1)).unwrap();
            let again = MetaFile::open(dir.path(), 3, false).unwrap();
            assert_eq!(again.epochs(), epochs(epoch, epoch - 1));
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epochs");
        let mut meta = MetaFile::open(dir.path(), 3, true).unwrap();
        meta.set(epochs(1, 0)).unwrap();
        let before = std::fs::read(&path).unwrap();
        meta.set(epochs(2, 1)).unwrap();
        let after = std::fs::read(&path).unwrap();
        for cut in 0..8 + BODY {
            let mut torn = before.clone();
            torn[..cut].copy_from_slice(&after[..cut]);
            std::fs::write(&path, &torn).unwrap();
            let found = MetaFile::open(dir.path(), 3, false).unwrap().epochs();
            let expected = if torn == after {
                epochs(2, 1)
            } else {
                epochs(1, 0)
            };
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[test]
    fn two_bad_slots_or_another_node_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        MetaFile::open(dir.path(), 3, true).unwrap();
        assert!(matches!(
            MetaFile::open(dir.path(), 4, true),
            Err(StorageError::OtherNode { found: 3, .. })
        ));
        std::fs::write(dir.path().join("epochs"), [0; 2 * SLOT]).unwrap();
        assert!(matches!(
            MetaFile::open(dir.path(), 3, true),
            Err(StorageError::Corrupt { .. })
        ));
    }

    #[test]
    fn a_history_without_epochs_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            MetaFile::open(dir.path(), 3, false),
            Err(StorageError::NoEpochs(_))
        ));
    }
}

//! The file of epochs, and of the directory's owner: two pairs of equal slots, written in turn.
//!
//! A slot is `[magic u32][crc32c u32][sequence u64][accepted u32][current u32][owner]`, big endian; the
//! checksum covers everything behind it. A change writes both slots of the pair that does not hold the
//! newest sequence, with one `fdatasync`. A torn write leaves the other pair; damage to one slot leaves
//! its twin. So whatever single mishap comes, the newest epochs that were durable are read: an older
//! slot alone never counts as the truth. The file has its full size from the beginning.

use std::path::PathBuf;

use super::error::{Damage, StorageError};
use super::files::{self, Files};
use super::home::Owner;
use crate::jute::{JuteError, Reader, Writer};

/// Both epochs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    pub(super) accepted: u32,
    pub(super) current: u32,
}

/// The open file.
#[derive(Debug)]
pub(super) struct MetaFile<F: Files> {
    path: PathBuf,
    file: F::File,
    owner: Owner,
    sequence: u64,
    epochs: Epochs,
}

impl<F: Files> MetaFile<F> {
    /// Opens the file, and makes durable what it reads; `None` if there is none.
    pub(super) fn open(files: &F, path: PathBuf, node: u8) -> Result<Option<Self>, StorageError> {
        let Some(bytes) = files::read(files, &path)? else {
            return Ok(None);
        };
        if [0, SLOT]
            .iter()
            .any(|at| bytes.get(*at..).is_some_and(is_old))
        {
            return Err(StorageError::OtherFormat {
                path,
                found: '1',
                supported: char::from(MAGIC[3]),
            });
        }
        let slot = newest(&bytes).map_err(|damage| damage.of(&path))?;
        if slot.owner.node != node {
            return Err(StorageError::OtherNode {
                path,
                found: slot.owner.node,
                expected: node,
            });
        }
        let file = files.open(&path).map_err(StorageError::io("open", &path))?;
        let mut meta = Self {
            path,
            file,
            owner: slot.owner,
            sequence: slot.sequence,
            epochs: slot.epochs,
        };
        // What can be read need not be durable: the process may have ended before its fdatasync did.
        meta.set(slot.epochs)?;
        Ok(Some(meta))
    }

    /// Makes the file of a fresh directory.
    pub(super) fn create(files: &F, path: PathBuf, owner: Owner) -> Result<Self, StorageError> {
        let epochs = Epochs::default();
        let mut bytes = vec![0; SLOTS * SLOT];
        for sequence in 0..2 {
            let pair = pair_of(owner, sequence, epochs);
            bytes[pair.at..][..pair.bytes.len()].copy_from_slice(&pair.bytes);
        }
        let file = files::replace(files, &path, |file| files::write_all(file, &bytes, 0))?;
        Ok(Self {
            path,
            file,
            owner,
            sequence: 1,
            epochs,
        })
    }

    /// Replaces both epochs, durably.
    pub(super) fn set(&mut self, epochs: Epochs) -> Result<(), StorageError> {
        self.sequence += 1;
        self.epochs = epochs;
        let pair = pair_of(self.owner, self.sequence, epochs);
        files::write_all(&self.file, &pair.bytes, pair.at as u64)
            .map_err(StorageError::io("write", &self.path))?;
        files::sync(&self.file, &self.path)
    }

    pub(super) const fn epochs(&self) -> Epochs {
        self.epochs
    }

    pub(super) const fn owner(&self) -> Owner {
        self.owner
    }
}

/// What a slot holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    sequence: u64,
    pub(super) epochs: Epochs,
    owner: Owner,
}

/// The newest slot of a file. One bad slot is made good by its twin, and one bad pair is what a torn
/// write leaves; bad slots in both pairs are neither.
pub(super) fn newest(bytes: &[u8]) -> Result<Slot, Damage> {
    if bytes.len() != SLOTS * SLOT {
        return Err(Damage::at(bytes.len(), "not the size of a file of epochs"));
    }
    let slots: Vec<Option<Slot>> = (0..SLOTS)
        .map(|index| {
            let slot = bytes.get(index * SLOT..(index + 1) * SLOT)?;
            let slot = read(slot).ok()?;
            // The pair that a sequence belongs to is known, so a slot in the wrong place is bad.
            (slot.sequence % 2 == index as u64 / 2).then_some(slot)
        })
        .collect();
    let bad = |pair: &[Option<Slot>]| pair.iter().position(Option::is_none);
    if let (Some(first), Some(_)) = (bad(&slots[..2]), bad(&slots[2..])) {
        return Err(Damage::at(first * SLOT, "bad slots in both pairs"));
    }
    let newest = slots.into_iter().flatten().max_by_key(|slot| slot.sequence);
    newest.ok_or_else(|| Damage::at(0, "no slot is whole"))
}

/// Two equal slots, and where they belong.
struct Pair {
    bytes: Vec<u8>,
    at: usize,
}

fn pair_of(owner: Owner, sequence: u64, epochs: Epochs) -> Pair {
    let slot = write(owner, sequence, epochs);
    let mut bytes = vec![0; 2 * SLOT];
    bytes[..slot.len()].copy_from_slice(&slot);
    bytes[SLOT..SLOT + slot.len()].copy_from_slice(&slot);
    let at = if sequence.is_multiple_of(2) {
        0
    } else {
        2 * SLOT
    };
    Pair { bytes, at }
}

fn write(owner: Owner, sequence: u64, epochs: Epochs) -> Vec<u8> {
    let mut body = Writer::new();
    body.u64(sequence);
    body.raw(&epochs.accepted.to_be_bytes());
    body.raw(&epochs.current.to_be_bytes());
    body.raw(&owner.bytes());
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
    let epochs = Epochs {
        accepted: body.i32()?.cast_unsigned(),
        current: body.i32()?.cast_unsigned(),
    };
    let owner = body.take(Owner::SIZE)?;
    let owner = owner.try_into().map_err(|_| JuteError::Tag(0))?;
    Ok(Slot {
        sequence,
        epochs,
        owner: Owner::from_bytes(owner),
    })
}

fn is_old(slot: &[u8]) -> bool {
    slot.starts_with(b"chE1")
}

/// The name of the file.
pub(super) const NAME: &str = "epochs";
/// One page: a torn write damages one pair only, and no page holds both twins.
const SLOT: usize = 4096;
const SLOTS: usize = 4;
const BODY: usize = 16 + Owner::SIZE;
const MAGIC: [u8; 4] = *b"chE2";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::SystemFiles;

    fn epochs(accepted: u32, current: u32) -> Epochs {
        Epochs { accepted, current }
    }

    fn open(dir: &Path, node: u8) -> Result<Option<MetaFile<SystemFiles>>, StorageError> {
        MetaFile::open(&SystemFiles, dir.join(NAME), node)
    }

    fn create(dir: &Path) -> MetaFile<SystemFiles> {
        let owner = Owner { node: 3, store: 99 };
        MetaFile::create(&SystemFiles, dir.join(NAME), owner).unwrap()
    }

    #[test]
    fn the_newest_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(dir.path(), 3).unwrap().is_none());
        let mut meta = create(dir.path());
        assert_eq!(meta.epochs(), Epochs::default());
        for epoch in 1..5 {
            meta.set(epochs(epoch, epoch - 1)).unwrap();
            meta = open(dir.path(), 3).unwrap().unwrap();
            assert_eq!(meta.epochs(), epochs(epoch, epoch - 1));
            assert_eq!(meta.owner().store, 99);
        }
    }

    #[test]
    fn a_torn_change_leaves_the_epochs_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let mut meta = create(dir.path());
        meta.set(epochs(1, 0)).unwrap();
        let before = std::fs::read(&path).unwrap();
        meta.set(epochs(2, 1)).unwrap();
        let after = std::fs::read(&path).unwrap();
        for cut in (0..before.len()).filter(|cut| before[*cut] != after[*cut]) {
            let mut torn = before.clone();
            torn[..cut].copy_from_slice(&after[..cut]);
            std::fs::write(&path, &torn).unwrap();
            let found = open(dir.path(), 3).unwrap().unwrap().epochs();
            assert!(
                found == epochs(1, 0) || found == epochs(2, 1),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_flipped_byte_never_brings_older_epochs_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let mut meta = create(dir.path());
        for epoch in 1..=2 {
            meta.set(epochs(epoch, epoch)).unwrap();
            let whole = std::fs::read(&path).unwrap();
            for at in (0..whole.len()).filter(|at| at % SLOT < 8 + BODY) {
                let mut bad = whole.clone();
                bad[at] ^= 8;
                std::fs::write(&path, &bad).unwrap();
                let found = open(dir.path(), 3).unwrap().unwrap().epochs();
                assert_eq!(found, epochs(epoch, epoch), "flipped at {at}");
            }
            std::fs::write(&path, &whole).unwrap();
        }
    }

    #[test]
    fn damage_that_no_mishap_explains_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        create(dir.path());
        let whole = std::fs::read(&path).unwrap();
        let mut bad = whole.clone();
        (bad[SLOT + 9], bad[3 * SLOT + 9]) = (7, 7);
        for bytes in [vec![], vec![0; SLOTS * SLOT], whole[..SLOT].to_vec(), bad] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(
                open(dir.path(), 3),
                Err(StorageError::Corrupt { .. })
            ));
        }
    }

    #[test]
    fn another_node_and_another_format_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path());
        assert!(matches!(
            open(dir.path(), 4),
            Err(StorageError::OtherNode { found: 3, .. })
        ));
        std::fs::write(dir.path().join(NAME), b"chE1").unwrap();
        let error = open(dir.path(), 3).unwrap_err().to_string();
        assert!(error.contains("format 1"), "{error}");
    }
}

//! Snapshot files: `[magic][owner][generation u32][zxid u64][length u64][crc32c u32]`, then the bytes
//! in blocks of 64 KiB (the last one shorter), each followed by its checksum, big endian. Each checksum
//! begins from that of the header, so blocks of another file are noticed.
//!
//! A snapshot belongs to a generation of the log. One that came from another node begins a new
//! generation, and its file alone makes the log of the older generation void: that is how snapshot
//! and log change in one step.

use std::path::PathBuf;

use super::error::{Damage, StorageError};
use super::files::{self, Files, OpenFile};
use super::home::{Home, Owner};
use crate::jute::Reader;
use crate::protocol::blob::Blob;
use crate::protocol::zxid::Zxid;

/// Which snapshot. A later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SnapshotId {
    pub(super) generation: u32,
    pub(super) zxid: Zxid,
}

impl SnapshotId {
    /// From the name of a file; `None` for other files.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (generation, zxid) = name.strip_prefix("snapshot.")?.split_once('.')?;
        let id = Self {
            generation: u32::from_str_radix(generation, 16).ok()?,
            zxid: Zxid(u64::from_str_radix(zxid, 16).ok()?),
        };
        (id.name() == name).then_some(id)
    }

    pub(super) fn name(self) -> String {
        format!("snapshot.{:08x}.{:016x}", self.generation, self.zxid.0)
    }

    pub(super) fn path<F: Files>(self, home: &Home<F>) -> PathBuf {
        home.path(&self.name())
    }

    /// Writes it, durably. The disk gets it a part at a time, and is not kept busy for long at once:
    /// the log's `fdatasync` may wait for it.
    pub(super) fn write<F: Files>(self, home: &Home<F>, bytes: &[u8]) -> Result<(), StorageError> {
        let header = self.header(home.owner, bytes.len());
        let salt = crc32c::crc32c(&header);
        files::replace(&home.files, &self.path(home), |file| {
            let mut part = header.to_vec();
            let mut at = 0;
            for (index, block) in bytes.chunks(BLOCK).enumerate() {
                part.extend_from_slice(block);
                part.extend_from_slice(&crc32c::crc32c_append(salt, block).to_be_bytes());
                if (index + 1) % PART == 0 {
                    files::write_all(file, &part, at)?;
                    file.sync()?;
                    at += part.len() as u64;
                    part.clear();
                }
            }
            files::write_all(file, &part, at)
        })?;
        Ok(())
    }

    /// Reads it back.
    pub(super) fn read<F: Files>(self, home: &Home<F>) -> Result<Blob, StorageError> {
        let path = self.path(home);
        let file = home
            .files
            .read(&path)
            .map_err(StorageError::io("read", &path))?;
        let (owner, id, bytes) = parse(&file).map_err(|damage| damage.of(&path))?;
        if owner.node != home.owner.node {
            return Err(StorageError::OtherNode {
                path,
                found: owner.node,
                expected: home.owner.node,
            });
        }
        if owner != home.owner || id != self {
            let what = "the header of another snapshot";
            return Err(Damage::at(0, what).of(&path));
        }
        Ok(bytes)
    }

    fn header(self, owner: Owner, length: usize) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&MAGIC);
        header[4..13].copy_from_slice(&owner.bytes());
        header[13..17].copy_from_slice(&self.generation.to_be_bytes());
        header[17..25].copy_from_slice(&self.zxid.0.to_be_bytes());
        header[25..33].copy_from_slice(&(length as u64).to_be_bytes());
        let crc = crc32c::crc32c(&header[..HEADER - 4]);
        header[HEADER - 4..].copy_from_slice(&crc.to_be_bytes());
        header
    }
}

/// Reads a snapshot file of whatever name.
pub(super) fn parse(file: &[u8]) -> Result<(Owner, SnapshotId, Blob), Damage> {
    let bad_header = || Damage::at(0, "a bad header");
    let header = file.get(..HEADER).ok_or_else(bad_header)?;
    let (front, crc) = header.split_at(HEADER - 4);
    if !front.starts_with(&MAGIC) || crc != crc32c::crc32c(front).to_be_bytes() {
        return Err(bad_header());
    }
    let (owner, id, length) = fields(front).ok_or_else(bad_header)?;
    let blocks = length.div_ceil(BLOCK as u64);
    if file.len() as u64 != HEADER as u64 + length.saturating_add(4 * blocks) {
        let what = format!("not the size of a snapshot of {length} bytes");
        return Err(Damage::at(file.len(), what));
    }
    let salt = crc32c::crc32c(header);
    let mut bytes = Vec::with_capacity(file.len() - HEADER);
    for (index, block) in file[HEADER..].chunks(BLOCK + 4).enumerate() {
        let (block, crc) = block.split_at(block.len().saturating_sub(4));
        if crc != crc32c::crc32c_append(salt, block).to_be_bytes() {
            return Err(Damage::at(HEADER + index * (BLOCK + 4), "a bad block"));
        }
        bytes.extend_from_slice(block);
    }
    Ok((owner, id, Blob::from(bytes)))
}

/// What the header of a whole snapshot tells.
fn fields(header: &[u8]) -> Option<(Owner, SnapshotId, u64)> {
    let mut input = Reader::new(header.get(4..)?);
    let owner = input.take(Owner::SIZE).ok()?.try_into().ok()?;
    let id = SnapshotId {
        generation: input.i32().ok()?.cast_unsigned(),
        zxid: Zxid(input.u64().ok()?),
    };
    Some((Owner::from_bytes(owner), id, input.u64().ok()?))
}

/// Magic, owner, generation, zxid, length, checksum.
const HEADER: usize = 4 + Owner::SIZE + 4 + 8 + 8 + 4;
const MAGIC: [u8; 4] = *b"chS2";
/// Bytes under one checksum.
const BLOCK: usize = 64 << 10;
/// Blocks that are written at a time.
const PART: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::SystemFiles;

    #[test]
    fn a_cut_or_damaged_snapshot_is_refused_and_the_place_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home {
            files: SystemFiles,
            dir: dir.path().to_owned(),
            owner: Owner { node: 1, store: 9 },
        };
        let id = SnapshotId {
            generation: 1,
            zxid: Zxid::new(2, 3),
        };
        let long: Vec<u8> = (0..3 * BLOCK + 7)
            .map(|index| index.to_le_bytes()[0])
            .collect();
        for bytes in [&b""[..], b"state", &long[..BLOCK], &long] {
            id.write(&home, bytes).unwrap();
            assert_eq!(&*id.read(&home).unwrap(), bytes);
            let path = id.path(&home);
            let whole = std::fs::read(&path).unwrap();
            for at in (0..whole.len()).step_by(1 + whole.len() / 500) {
                std::fs::write(&path, &whole[..at]).unwrap();
                assert!(id.read(&home).is_err(), "cut at {at}");
                let mut bad = whole.clone();
                bad[at] ^= 4;
                std::fs::write(&path, &bad).unwrap();
                let Err(StorageError::Corrupt { damage, .. }) = id.read(&home) else {
                    panic!("damaged at {at}");
                };
                assert!(damage.offset <= at && at < damage.offset + BLOCK + HEADER);
            }
        }
    }

    #[test]
    fn only_names_that_it_would_give_are_snapshots() {
        let id = SnapshotId {
            generation: 1,
            zxid: Zxid::new(2, 3),
        };
        assert_eq!(SnapshotId::parse(&id.name()), Some(id));
        for name in [
            "snapshot.1.2",
            "snapshot.+0000001.0000000200000003",
            "snapshot",
        ] {
            assert_eq!(SnapshotId::parse(name), None, "{name}");
        }
    }
}

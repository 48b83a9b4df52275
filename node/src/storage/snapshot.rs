//! Snapshot files: `[magic u32][generation u32][zxid u64][crc32c u32][bytes]`, big endian; the
//! checksum covers everything but itself.
//!
//! A snapshot belongs to a generation of the log. One that came from another node begins a new
//! generation, and its file alone makes the log of the older generation void: that is how snapshot
//! and log change in one step.

use std::path::{Path, PathBuf};

use super::error::StorageError;
use super::files;
use crate::jute::Writer;
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
        Some(Self {
            generation: u32::from_str_radix(generation, 16).ok()?,
            zxid: Zxid(u64::from_str_radix(zxid, 16).ok()?),
        })
    }

    pub(super) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!(
            "snapshot.{:08x}.{:016x}",
            self.generation, self.zxid.0
        ))
    }

    /// Writes it, durably.
    pub(super) fn write(self, dir: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        let head = self.head();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), bytes);
        files::replace(&self.path(dir), &[&head, &crc.to_be_bytes(), bytes])?;
        Ok(())
    }

    /// Reads it back.
    pub(super) fn read(self, dir: &Path) -> Result<Blob, StorageError> {
        let path = self.path(dir);
        let file = std::fs::read(&path).map_err(StorageError::io("read", &path))?;
        let head = self.head();
        let body = file
            .strip_prefix(head.as_slice())
            .and_then(|rest| rest.split_at_checked(4));
        match body {
            Some((crc, bytes))
                if crc == crc32c::crc32c_append(crc32c::crc32c(&head), bytes).to_be_bytes() =>
            {
                Ok(bytes.into())
            }
            _ => Err(StorageError::corrupt(&path, 0, "a bad snapshot")),
        }
    }

    fn head(self) -> Vec<u8> {
        let mut head = Writer::new();
        head.raw(&MAGIC).raw(&self.generation.to_be_bytes());
        head.u64(self.zxid.0);
        head.into_bytes()
    }
}

const MAGIC: [u8; 4] = *b"chS1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_or_damaged_snapshot_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let id = SnapshotId {
            generation: 1,
            zxid: Zxid::new(2, 3),
        };
        id.write(dir.path(), b"state").unwrap();
        assert_eq!(&*id.read(dir.path()).unwrap(), b"state");
        let path = id.path(dir.path());
        assert_eq!(
            SnapshotId::parse(path.file_name().unwrap().to_str().unwrap()),
            Some(id)
        );
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(id.read(dir.path()).is_err(), "cut at {at}");
            let mut bad = whole.clone();
            bad[at] ^= 4;
            std::fs::write(&path, &bad).unwrap();
            assert!(id.read(dir.path()).is_err(), "damaged at {at}");
        }
    }
}

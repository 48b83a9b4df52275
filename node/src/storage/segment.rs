//! One file of the log: a header, then records, then zeros up to the size it was made with.
//!
//! The name and the header tell the *generation* and the *base*: a log that is replaced by a snapshot
//! from another node begins a new generation, and the base is the transaction before the first
//! record. Segments are made whole (zeros written, not only reserved) so that a later `fdatasync` has
//! no metadata to write. A segment that is not the newest is *sealed*: cut to its records, and durable.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::StorageError;
use super::files;
use super::record::{self, Found};
use crate::jute::Writer;
use crate::protocol::message::Entry;
use crate::protocol::zxid::Zxid;

/// Which segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentId {
    pub(super) generation: u32,
    pub(super) base: Zxid,
}

impl SegmentId {
    /// From the name of a file; `None` for other files.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (generation, base) = name.strip_prefix("log.")?.split_once('.')?;
        Some(Self {
            generation: u32::from_str_radix(generation, 16).ok()?,
            base: Zxid(u64::from_str_radix(base, 16).ok()?),
        })
    }

    pub(super) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("log.{:08x}.{:016x}", self.generation, self.base.0))
    }

    fn header(self) -> Vec<u8> {
        let mut body = Writer::new();
        body.raw(&MAGIC).raw(&self.generation.to_be_bytes());
        body.u64(self.base.0);
        let body = body.into_bytes();
        let mut header = Writer::new();
        header.raw(&body);
        header.raw(&crc32c::crc32c(&body).to_be_bytes());
        header.into_bytes()
    }
}

/// The records of a segment as found on disk.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// Where each record ends, in the order of `entries`.
    ends: Vec<usize>,
    /// The size of the file.
    size: usize,
}

impl Contents {
    /// Reads a segment up to its last whole record. In a sealed segment anything that follows is
    /// damage; in the newest one it may be what a crash left of the last batch.
    pub(super) fn read(dir: &Path, id: SegmentId, is_newest: bool) -> Result<Self, StorageError> {
        let path = id.path(dir);
        let bytes = std::fs::read(&path).map_err(StorageError::io("read", &path))?;
        if !bytes.starts_with(&id.header()) {
            return Err(StorageError::corrupt(&path, 0, "a bad header"));
        }
        let mut contents = Self {
            entries: Vec::new(),
            ends: Vec::new(),
            size: bytes.len(),
        };
        let mut at = HEADER;
        let mut last = id.base;
        loop {
            let found = record::read(&bytes, at);
            match found {
                Found::Record { entry, end } => {
                    if !entry.zxid.follows(last) {
                        let what = format!("transaction {} behind {last}", entry.zxid);
                        return Err(StorageError::corrupt(&path, at as u64, what));
                    }
                    last = entry.zxid;
                    contents.entries.push(entry);
                    contents.ends.push(end);
                    at = end;
                }
                Found::Bad if !is_newest => {
                    let what = "a bad record in a sealed segment";
                    return Err(StorageError::corrupt(&path, at as u64, what));
                }
                Found::End | Found::Bad => break,
            }
        }
        if record::was_durable_beyond(&bytes, at) {
            let what = "a bad record before durable ones";
            return Err(StorageError::corrupt(&path, at as u64, what));
        }
        Ok(contents)
    }

    /// The length of the file that keeps the records up to `zxid` and no others.
    pub(super) fn length_through(&self, zxid: Zxid) -> usize {
        let kept = self.entries.partition_point(|entry| entry.zxid <= zxid);
        kept.checked_sub(1).map_or(HEADER, |last| self.ends[last])
    }

    /// The length that the sealed file has.
    pub(super) fn length(&self) -> usize {
        self.ends.last().copied().unwrap_or(HEADER)
    }

    /// Whether the file is longer than its records.
    pub(super) fn has_tail(&self) -> bool {
        self.size > self.length()
    }
}

/// Cuts a segment to this length, durably.
pub(super) fn seal(path: &Path, length: usize) -> Result<(), StorageError> {
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(StorageError::io("open", path))?;
    file.set_len(length as u64)
        .and_then(|()| file.sync_all())
        .map_err(StorageError::io("cut", path))
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct OpenSegment {
    path: PathBuf,
    file: File,
    length: usize,
    capacity: usize,
}

impl OpenSegment {
    /// Makes a segment with room for `capacity` bytes of records.
    pub(super) fn create(dir: &Path, id: SegmentId, capacity: usize) -> Result<Self, StorageError> {
        let path = id.path(dir);
        let file = files::replace(&path, &[&id.header(), &vec![0; capacity]])?;
        Ok(Self {
            path,
            file,
            length: HEADER,
            capacity: HEADER + capacity,
        })
    }

    /// Whether so many bytes still fit in.
    pub(super) const fn has_room(&self, bytes: usize) -> bool {
        self.length + bytes <= self.capacity
    }

    /// Appends these entries, which must fit, durably.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), StorageError> {
        let synced = u32::try_from(self.length).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(entries.iter().map(record::size).sum());
        for entry in entries {
            record::append(entry, synced, &mut bytes);
        }
        debug_assert!(self.has_room(bytes.len()), "the caller made room");
        self.file
            .write_all_at(&bytes, self.length as u64)
            .and_then(|()| self.file.sync_data())
            .map_err(StorageError::io("write", &self.path))?;
        self.length += bytes.len();
        Ok(())
    }

    /// Cuts off the room that is left; nothing is appended any more.
    pub(super) fn seal(self) -> Result<(), StorageError> {
        self.file
            .set_len(self.length as u64)
            .and_then(|()| self.file.sync_all())
            .map_err(StorageError::io("cut", &self.path))
    }
}

/// Magic, generation, base, checksum.
const HEADER: usize = 20;
const MAGIC: [u8; 4] = *b"chL1";

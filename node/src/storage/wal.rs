//! The log: segments one behind the other, of which the last is written.
//!
//! Invariants: each segment's base is the last transaction of the one before it; only the newest
//! segment may end in bytes that are not records; nothing is appended to a segment that was cut.

use std::path::{Path, PathBuf};

use super::error::StorageError;
use super::files;
use super::record;
use super::segment::{self, Contents, OpenSegment, SegmentId};
use crate::protocol::message::Entry;
use crate::protocol::zxid::Zxid;

/// The log of one generation.
#[derive(Debug)]
pub(super) struct Wal {
    dir: PathBuf,
    generation: u32,
    /// Oldest first. The last is the open one, if one is open.
    segments: Vec<SegmentId>,
    open: Option<OpenSegment>,
    /// The last transaction, or the base if there is none.
    last: Zxid,
    segment_bytes: usize,
}

impl Wal {
    /// An empty log behind `base`.
    pub(super) fn create(
        dir: &Path,
        id: SegmentId,
        segment_bytes: usize,
    ) -> Result<Self, StorageError> {
        let mut wal = Self {
            dir: dir.to_owned(),
            generation: id.generation,
            segments: Vec::new(),
            open: None,
            last: id.base,
            segment_bytes,
        };
        wal.open_segment(0)?;
        Ok(wal)
    }

    /// Reads the log of these segments, which are of one generation and in order, and cuts off what
    /// a crash left behind its end. Gives the entries too.
    pub(super) fn recover(
        dir: &Path,
        segments: Vec<SegmentId>,
        segment_bytes: usize,
    ) -> Result<(Self, Vec<Entry>), StorageError> {
        let first = segments[0];
        let mut entries: Vec<Entry> = Vec::new();
        let mut last = first.base;
        for (index, id) in segments.iter().enumerate() {
            if id.base != last {
                let what = format!(
                    "it begins behind {}, the one before ends with {last}",
                    id.base
                );
                return Err(StorageError::corrupt(&id.path(dir), 0, what));
            }
            let contents = Contents::read(dir, *id, index + 1 == segments.len())?;
            if contents.has_tail() {
                segment::seal(&id.path(dir), contents.length())?;
            }
            last = contents.entries.last().map_or(last, |entry| entry.zxid);
            entries.extend(contents.entries);
        }
        let mut wal = Self {
            dir: dir.to_owned(),
            generation: first.generation,
            segments,
            open: None,
            last,
            segment_bytes,
        };
        wal.open_segment(0)?;
        Ok((wal, entries))
    }

    /// The transaction before the first one of the log.
    pub(super) fn base(&self) -> Zxid {
        self.segments.first().map_or(self.last, |id| id.base)
    }

    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Appends entries, durably: one write and one `fdatasync` unless a segment is full.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), StorageError> {
        let mut rest = entries;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.room_for(rest)?);
            self.check_order(now)?;
            if let (Some(open), Some(entry)) = (self.open.as_mut(), now.last()) {
                open.append(now)?;
                self.last = entry.zxid;
            }
            rest = later;
        }
        Ok(())
    }

    /// Removes everything behind `after`, durably. A crash in the midst leaves a longer log, never
    /// one with a hole.
    pub(super) fn truncate(&mut self, after: Zxid) -> Result<(), StorageError> {
        if after > self.last || after < self.base() {
            return Err(StorageError::TruncateOutside {
                base: self.base(),
                last: self.last,
                after,
            });
        }
        self.seal_open()?;
        while let Some(id) = self.segments.pop() {
            let path = id.path(&self.dir);
            if id.base >= after && !self.segments.is_empty() {
                files::remove(&path)?;
                continue;
            }
            let contents = Contents::read(&self.dir, id, false)?;
            segment::seal(&path, contents.length_through(after))?;
            self.segments.push(id);
            break;
        }
        self.last = after;
        self.open_segment(0)
    }

    /// Deletes the segments that hold nothing behind `zxid`, but for the newest.
    pub(super) fn forget(&mut self, zxid: Zxid) -> Result<(), StorageError> {
        while self.segments.len() > 1 && self.segments[1].base <= zxid {
            files::remove(&self.segments[0].path(&self.dir))?;
            self.segments.remove(0);
        }
        Ok(())
    }

    /// How many of these entries go into the open segment; makes room for at least one.
    fn room_for(&mut self, entries: &[Entry]) -> Result<usize, StorageError> {
        let fits = |open: &OpenSegment| {
            let mut bytes = 0;
            entries
                .iter()
                .take_while(|entry| {
                    bytes += record::size(entry);
                    open.has_room(bytes)
                })
                .count()
        };
        match self.open.as_ref().map_or(0, fits) {
            0 => {
                self.seal_open()?;
                self.open_segment(record::size(&entries[0]))?;
                Ok(self.open.as_ref().map_or(0, fits).max(1))
            }
            count => Ok(count),
        }
    }

    fn check_order(&self, entries: &[Entry]) -> Result<(), StorageError> {
        let mut last = self.last;
        for entry in entries {
            if !entry.zxid.follows(last) {
                return Err(StorageError::AppendGap {
                    last,
                    next: entry.zxid,
                });
            }
            last = entry.zxid;
        }
        Ok(())
    }

    fn seal_open(&mut self) -> Result<(), StorageError> {
        self.open.take().map_or(Ok(()), OpenSegment::seal)
    }

    /// Begins a new segment behind the last transaction, with room for at least `bytes`. An empty
    /// one of the same base is replaced by it.
    fn open_segment(&mut self, bytes: usize) -> Result<(), StorageError> {
        let id = SegmentId {
            generation: self.generation,
            base: self.last,
        };
        let capacity = self.segment_bytes.max(bytes);
        self.open = Some(OpenSegment::create(&self.dir, id, capacity)?);
        if self.segments.last() != Some(&id) {
            self.segments.push(id);
        }
        Ok(())
    }
}

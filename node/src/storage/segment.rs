//! One file of the log: a header, then batches, then zeros up to the size it was made with.
//!
//! A segment is made whole before it is used (zeros written, not only reserved), so that a later
//! `fdatasync` has no metadata to write. Its name and its header tell the *generation* of the log and
//! the *sequence* of the segment in it: a log that is replaced by a snapshot from another node begins
//! a new generation. The header is `[magic][owner][generation u32][sequence u32][size u32][crc32c u32]`,
//! big endian; `size` is that of the file, and the checksum is the salt of the batches.

use std::io;
use std::path::PathBuf;

use super::batch::{HEAD, Head};
use super::error::{Damage, StorageError};
use super::files::{self, Files, OpenFile};
use super::home::{Home, Owner};
use crate::protocol::message::Entry;
use crate::protocol::zxid::Zxid;

/// Which segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentId {
    pub(super) generation: u32,
    pub(super) sequence: u32,
}

impl SegmentId {
    /// From the name of a file; `None` for other files.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (generation, sequence) = name.strip_prefix("log.")?.split_once('.')?;
        let id = Self {
            generation: u32::from_str_radix(generation, 16).ok()?,
            sequence: u32::from_str_radix(sequence, 16).ok()?,
        };
        (id.name() == name).then_some(id)
    }

    pub(super) fn name(self) -> String {
        format!("log.{:08x}.{:08x}", self.generation, self.sequence)
    }

    pub(super) fn path<F: Files>(self, home: &Home<F>) -> PathBuf {
        home.path(&self.name())
    }

    fn header(self, owner: Owner, size: usize) -> [u8; HEADER] {
        let size = u32::try_from(size).expect("segments are far below 2^32 bytes");
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&MAGIC);
        header[4..13].copy_from_slice(&owner.bytes());
        header[13..17].copy_from_slice(&self.generation.to_be_bytes());
        header[17..21].copy_from_slice(&self.sequence.to_be_bytes());
        header[21..25].copy_from_slice(&size.to_be_bytes());
        let crc = crc32c::crc32c(&header[..HEADER - 4]);
        header[HEADER - 4..].copy_from_slice(&crc.to_be_bytes());
        header
    }
}

/// What the bytes of a segment hold.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) batches: Vec<Found>,
    /// Where the last batch ends.
    pub(super) end: usize,
    pub(super) tail: Tail,
    /// The size of the file.
    pub(super) size: usize,
}

/// A batch and where it stands.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) base: Zxid,
    pub(super) start: usize,
    pub(super) entries: Vec<Entry>,
}

/// What stands behind the last batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Zeros.
    Free,
    /// A seal: this batch was written into a later segment, when all before it were durable.
    Sealed(u64),
    /// What a crash left of one batch.
    Torn,
}

impl Contents {
    /// Reads the segment of this owner and name.
    pub(super) fn read<F: Files>(home: &Home<F>, id: SegmentId) -> Result<Self, StorageError> {
        let path = id.path(home);
        let bytes = home
            .files
            .read(&path)
            .map_err(StorageError::io("read", &path))?;
        let contents = Self::parse(&bytes).map_err(|damage| damage.of(&path))?;
        if bytes.starts_with(&id.header(home.owner, bytes.len())) {
            Ok(contents)
        } else {
            Err(stranger(home, id, &bytes))
        }
    }

    /// Reads a segment of whatever name.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let no_header = || Damage::at(0, "a bad header");
        let header = bytes.get(..HEADER).ok_or_else(no_header)?;
        let salt = crc32c::crc32c(&header[..HEADER - 4]);
        if !header.starts_with(&MAGIC) || header[HEADER - 4..] != salt.to_be_bytes() {
            return Err(no_header());
        }
        if header[21..25] != u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes() {
            return Err(Damage::at(
                bytes.len(),
                "not the size that it was made with",
            ));
        }
        let mut batches: Vec<Found> = Vec::new();
        let mut at = HEADER;
        let mut expected = None;
        let tail = loop {
            let rest = &bytes[at..];
            let head = Head::parse(rest, salt)
                .filter(|head| expected.is_none_or(|number| number == head.number));
            let Some(head) = head else {
                break tail(bytes, at, salt, expected)?;
            };
            if head.is_seal() {
                break Tail::Sealed(head.number);
            }
            let Some(entries) = head.entries(rest, salt) else {
                break tail(bytes, at, salt, Some(head.number))?;
            };
            batches.push(Found {
                number: head.number,
                base: head.base,
                start: at,
                entries,
            });
            at += head.size();
            expected = Some(head.number + 1);
        };
        Ok(Self {
            batches,
            end: at,
            tail,
            size: bytes.len(),
        })
    }

    /// The number of the last batch.
    pub(super) fn last_number(&self) -> Option<u64> {
        self.batches.last().map(|batch| batch.number)
    }
}

/// What the bytes from `at` on are, where no whole batch stands: the batch of number `expected`, torn,
/// unless a later head proves that it was durable.
fn tail(bytes: &[u8], at: usize, salt: u32, expected: Option<u64>) -> Result<Tail, Damage> {
    let Some(length) = bytes[at..].iter().rposition(|byte| *byte != 0) else {
        return Ok(Tail::Free);
    };
    let is_later = |head: Head| expected.is_none_or(|number| head.number > number);
    // A head that ends in zeros ends behind the last byte that is not zero.
    for start in at + 1..=at + length {
        if Head::parse(&bytes[start..], salt).is_some_and(is_later) {
            let what =
                format!("a bad batch, and a later one at byte {start} that proves it durable");
            return Err(Damage::at(at, what));
        }
    }
    // A seal stands behind whole batches only, so a seal out of order proves damage too.
    match Head::parse(&bytes[at..], salt) {
        Some(head) if is_later(head) && expected.is_some() => {
            let what = format!(
                "a batch is missing before the one of number {}",
                head.number
            );
            Err(Damage::at(at, what))
        }
        _ => Ok(Tail::Torn),
    }
}

/// Why this header, which is whole, does not belong there.
fn stranger<F: Files>(home: &Home<F>, id: SegmentId, header: &[u8]) -> StorageError {
    let path = id.path(home);
    if header[4] != home.owner.node {
        return StorageError::OtherNode {
            path,
            found: header[4],
            expected: home.owner.node,
        };
    }
    let what = if header[4..13] == home.owner.bytes() {
        "the header of another segment"
    } else {
        "the header of another data directory"
    };
    Damage::at(0, what).of(&path)
}

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct OpenSegment<O> {
    pub(super) id: SegmentId,
    path: PathBuf,
    file: O,
    pub(super) salt: u32,
    length: usize,
    capacity: usize,
}

impl<O: OpenFile> OpenSegment<O> {
    /// Makes a segment of about `capacity` bytes, durably, in place of one of the same name.
    pub(super) fn create<F: Files<File = O>>(
        home: &Home<F>,
        id: SegmentId,
        capacity: usize,
    ) -> Result<Self, StorageError> {
        let path = id.path(home);
        let capacity = capacity.max(HEADER + 2 * HEAD);
        let header = id.header(home.owner, capacity);
        let file = files::replace(&home.files, &path, |file| fill(file, &header, capacity))?;
        Ok(Self {
            id,
            path,
            file,
            salt: crc32c::crc32c(&header[..HEADER - 4]),
            length: HEADER,
            capacity,
        })
    }

    /// Opens a segment that was read, to go on behind its batches. The last of them is written again:
    /// that it can be read does not tell that it is durable, and if its `fdatasync` failed, no later
    /// one makes it so.
    pub(super) fn resume<F: Files<File = O>>(
        home: &Home<F>,
        id: SegmentId,
        contents: &Contents,
    ) -> Result<Self, StorageError> {
        let path = id.path(home);
        let header = id.header(home.owner, contents.size);
        let file = home
            .files
            .open(&path)
            .map_err(StorageError::io("open", &path))?;
        let segment = Self {
            id,
            path,
            file,
            salt: crc32c::crc32c(&header[..HEADER - 4]),
            length: contents.end,
            capacity: contents.size,
        };
        if let Some(last) = contents.batches.last() {
            let bytes = home
                .files
                .read(&segment.path)
                .map_err(StorageError::io("read", &segment.path))?;
            segment.write(&bytes[last.start..contents.end], last.start)?;
            segment.sync()?;
        }
        Ok(segment)
    }

    /// Whether a batch of so many bytes still fits in, and a seal behind it.
    pub(super) const fn has_room(&self, bytes: usize) -> bool {
        self.length + bytes + HEAD <= self.capacity
    }

    /// The capacity with which [`Self::has_room`] for a batch of so many bytes, if it is the only one.
    pub(super) const fn capacity_for(bytes: usize) -> usize {
        HEADER + bytes + HEAD
    }

    /// Appends a finished batch, which must fit, durably.
    pub(super) fn append(&mut self, batch: &[u8]) -> Result<(), StorageError> {
        debug_assert!(self.has_room(batch.len()), "the caller made room");
        self.write(batch, self.length)?;
        self.sync()?;
        self.length += batch.len();
        Ok(())
    }

    /// Writes a head behind the last batch that proves it durable, and that the next batch overwrites.
    /// It need not be durable itself.
    pub(super) fn mark(&self, head: Head) -> Result<(), StorageError> {
        self.write(&head.bytes(self.salt), self.length)
    }

    /// Ends the segment: the batches before `number` are durable, which is in another segment.
    pub(super) fn seal(self, number: u64) -> Result<(), StorageError> {
        self.mark(Head::seal(number))?;
        self.sync()
    }

    fn write(&self, bytes: &[u8], at: usize) -> Result<(), StorageError> {
        files::write_all(&self.file, bytes, at as u64)
            .map_err(StorageError::io("write", &self.path))
    }

    fn sync(&self) -> Result<(), StorageError> {
        files::sync(&self.file, &self.path)
    }
}

/// Writes the header and zeros, a part at a time: the disk is not kept busy for long at once, because
/// somebody else's `fdatasync` may wait for it.
fn fill(file: &impl OpenFile, header: &[u8], capacity: usize) -> io::Result<()> {
    files::write_all(file, header, 0)?;
    let zeros = vec![0; PART.min(capacity)];
    let mut at = header.len();
    while at < capacity {
        let count = zeros.len().min(capacity - at);
        files::write_all(file, &zeros[..count], at as u64)?;
        at += count;
        if at < capacity {
            file.sync()?;
        }
    }
    Ok(())
}

/// Magic, owner, generation, sequence, size, checksum.
const HEADER: usize = 4 + Owner::SIZE + 4 + 4 + 4 + 4;
const MAGIC: [u8; 4] = *b"chL2";
/// Bytes that are written at a time into a new segment.
const PART: usize = 256 << 10;

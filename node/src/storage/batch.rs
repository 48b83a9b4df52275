//! What one `fdatasync` makes durable: a batch of transactions behind a place of the log.
//!
//! A batch is `[head crc u32][length u32][body crc u32][number u64][base u64][count u32][body]`, big
//! endian; the body is `count` records `[length u32][zxid u64][origin u8][request u64][payload]`.
//! Both checksums (CRC-32C) begin from the *salt* of the file, which comes from the header of the
//! file, so bytes of another file or of a client's payload are never taken for a batch.
//!
//! Applying a batch to a log: what lies behind `base` is void, the records follow it. A truncation is
//! a batch without records; that way it needs no change of older bytes and is one step.
//!
//! The *number* rises by one from batch to batch of a generation, over all its segments. A batch is
//! written only when all before it are durable, hence a head with a later number proves what stands
//! before it durable: that is the durable mark. A *seal* (`count` is `u32::MAX`, no body) proves the
//! same of the batches of other segments before its number, and stands at the end of a segment.

use std::sync::Arc;

use crate::jute::{JuteError, Reader};
use crate::protocol::message::{Entry, MAX_PAYLOAD};
use crate::protocol::zxid::{Sid, Zxid};

/// A batch that is being made.
#[derive(Debug)]
pub(super) struct BatchBuilder {
    bytes: Vec<u8>,
    base: Zxid,
    count: u32,
}

impl BatchBuilder {
    /// An empty batch behind `base`. Takes the buffer of an older one.
    pub(super) fn new(base: Zxid, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEAD, 0);
        Self {
            bytes: buffer,
            base,
            count: 0,
        }
    }

    pub(super) fn push(&mut self, entry: &Entry) {
        let length = u32::try_from(entry.payload.len()).expect("payloads are far below 2^32 bytes");
        self.count += 1;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(&entry.zxid.0.to_be_bytes());
        self.bytes.push(entry.origin.0);
        self.bytes.extend_from_slice(&entry.request.to_be_bytes());
        self.bytes.extend_from_slice(&entry.payload);
    }

    /// Bytes of the batch as it is now.
    pub(super) const fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) const fn base(&self) -> Zxid {
        self.base
    }

    /// The bytes of the finished batch.
    pub(super) fn finish(&mut self, number: u64, salt: u32) -> &[u8] {
        let body = &self.bytes[HEAD..];
        let head = Head {
            length: u32::try_from(body.len()).expect("batches are far below 2^32 bytes"),
            body_crc: crc32c::crc32c_append(salt, body),
            number,
            base: self.base,
            count: self.count,
        };
        self.bytes[..HEAD].copy_from_slice(&head.bytes(salt));
        &self.bytes
    }

    /// The buffer, for the next batch.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// The front of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    length: u32,
    body_crc: u32,
    pub(super) number: u64,
    pub(super) base: Zxid,
    count: u32,
}

impl Head {
    /// A seal: every batch before `number` is durable.
    pub(super) const fn seal(number: u64) -> Self {
        Self {
            length: 0,
            body_crc: 0,
            number,
            base: Zxid::ZERO,
            count: SEAL,
        }
    }

    /// The head at the front of these bytes; `None` if none is there whole.
    pub(super) fn parse(bytes: &[u8], salt: u32) -> Option<Self> {
        let (crc, rest) = bytes.get(..HEAD)?.split_at(4);
        if crc != crc32c::crc32c_append(salt, rest).to_be_bytes() {
            return None;
        }
        let mut input = Reader::new(rest);
        let head = Self {
            length: u32_of(&mut input).ok()?,
            body_crc: u32_of(&mut input).ok()?,
            number: input.u64().ok()?,
            base: Zxid(input.u64().ok()?),
            count: u32_of(&mut input).ok()?,
        };
        // Numbers are counted from 1 and never get so far that none could follow.
        (1..u64::MAX).contains(&head.number).then_some(head)
    }

    pub(super) fn bytes(self, salt: u32) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[4..8].copy_from_slice(&self.length.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.body_crc.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.number.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.base.0.to_be_bytes());
        bytes[28..].copy_from_slice(&self.count.to_be_bytes());
        let crc = crc32c::crc32c_append(salt, &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    pub(super) const fn is_seal(&self) -> bool {
        self.count == SEAL
    }

    /// Bytes of the whole batch.
    pub(super) const fn size(&self) -> usize {
        HEAD + self.length as usize
    }

    /// The entries of the batch that stands at the front of these bytes; `None` if it is not whole.
    pub(super) fn entries(&self, bytes: &[u8], salt: u32) -> Option<Vec<Entry>> {
        let body = bytes.get(HEAD..self.size())?;
        let is_possible = self.count as usize <= body.len() / RECORD;
        if !is_possible || self.body_crc != crc32c::crc32c_append(salt, body) {
            return None;
        }
        let mut input = Reader::new(body);
        let entries: Result<Vec<Entry>, JuteError> =
            (0..self.count).map(|_| record(&mut input)).collect();
        entries.ok().filter(|_| input.is_empty())
    }
}

fn record(input: &mut Reader<'_>) -> Result<Entry, JuteError> {
    let length = u32_of(input)? as usize;
    if length > MAX_PAYLOAD {
        return Err(JuteError::Tag(0));
    }
    Ok(Entry {
        zxid: Zxid(input.u64()?),
        origin: Sid(input.u8()?),
        request: input.u64()?,
        payload: Arc::from(input.take(length)?),
    })
}

fn u32_of(input: &mut Reader<'_>) -> Result<u32, JuteError> {
    input.i32().map(i32::cast_unsigned)
}

/// Bytes of a head.
pub(super) const HEAD: usize = 32;
/// Bytes of a record without its payload.
pub(super) const RECORD: usize = 21;
const SEAL: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(counter: u32) -> Entry {
        Entry {
            zxid: Zxid::new(1, counter),
            origin: Sid(2),
            request: 77,
            payload: Arc::from(&b"payload"[..]),
        }
    }

    fn batch(number: u64, salt: u32) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Zxid::new(1, 4), Vec::new());
        builder.push(&entry(5));
        builder.push(&entry(6));
        builder.finish(number, salt).to_vec()
    }

    fn read(bytes: &[u8], salt: u32) -> Option<(Head, Vec<Entry>)> {
        let head = Head::parse(bytes, salt)?;
        Some((head, head.entries(bytes, salt)?))
    }

    #[test]
    fn a_batch_reads_back() {
        let mut bytes = batch(9, 5);
        let size = bytes.len();
        bytes.extend_from_slice(&[0; 50]);
        let (head, entries) = read(&bytes, 5).unwrap();
        assert_eq!(
            (head.number, head.base, head.size()),
            (9, Zxid::new(1, 4), size)
        );
        assert_eq!(entries, [entry(5), entry(6)]);
        assert!(!head.is_seal());
    }

    #[test]
    fn a_batch_of_another_file_is_none() {
        assert!(read(&batch(9, 5), 6).is_none());
        assert!(Head::parse(&[0; 50], 6).is_none());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = batch(9, 5);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad, 5).is_none(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut], 5).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn numbers_that_are_never_reached_are_no_batch() {
        for number in [0, u64::MAX] {
            assert!(Head::parse(&Head::seal(number).bytes(3), 3).is_none());
        }
    }

    #[test]
    fn a_seal_reads_back() {
        let bytes = Head::seal(12).bytes(3);
        let head = Head::parse(&bytes, 3).unwrap();
        assert!(head.is_seal() && head.number == 12);
    }
}

//! One transaction in a segment of the log, and the search for the end of the log.
//!
//! A record is `[length u32][crc32c u32][synced u32][zxid u64][origin u8][request u64][payload]`, big
//! endian. `length` counts everything behind the checksum, which covers the length too; a length of 0
//! is the end. `synced` is how many bytes of the segment were durable when the record was written:
//! with it a record that a crash left half written can be told from one that was damaged later.

use std::sync::Arc;

use crate::jute::{JuteError, Reader};
use crate::protocol::message::{Entry, MAX_PAYLOAD};
use crate::protocol::zxid::{Sid, Zxid};

/// Appends the record of `entry` to `out`; `synced` is the durable length of the segment.
pub(super) fn append(entry: &Entry, synced: u32, out: &mut Vec<u8>) {
    let start = out.len();
    let length = u32::try_from(FIXED + entry.payload.len())
        .expect("payloads are bounded far below 2^32 bytes");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&synced.to_be_bytes());
    out.extend_from_slice(&entry.zxid.0.to_be_bytes());
    out.push(entry.origin.0);
    out.extend_from_slice(&entry.request.to_be_bytes());
    out.extend_from_slice(&entry.payload);
    let crc = checksum(length, &out[start + PREFIX..]);
    out[start + 4..start + PREFIX].copy_from_slice(&crc.to_be_bytes());
}

/// Bytes that the record of `entry` takes.
pub(super) fn size(entry: &Entry) -> usize {
    PREFIX + FIXED + entry.payload.len()
}

/// What stands at a place of a segment.
pub(super) enum Found {
    /// A whole record, which ends here.
    Record { entry: Entry, end: usize },
    /// The end mark, or no room for one.
    End,
    /// Bytes that are not a record.
    Bad,
}

/// Reads what stands at `at`.
pub(super) fn read(bytes: &[u8], at: usize) -> Found {
    match parse(&bytes[at..]) {
        Ok(Some((_, entry, size))) => Found::Record {
            entry,
            end: at + size,
        },
        Ok(None) => Found::End,
        Err(_) => Found::Bad,
    }
}

/// Whether a whole record somewhere behind `end` tells that more than `end` bytes were durable when
/// it was written: then what stands at `end` was damaged after it had been durable.
pub(super) fn was_durable_beyond(bytes: &[u8], end: usize) -> bool {
    if bytes[end..].iter().all(|byte| *byte == 0) {
        return false;
    }
    (end..bytes.len())
        .any(|start| matches!(parse(&bytes[start..]), Ok(Some((synced, _, _))) if synced > end))
}

/// The record at the front: its `synced`, the entry, and the size. `None` is the end mark.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Entry, usize)>, JuteError> {
    let mut input = Reader::new(bytes);
    let Ok(length) = input.take(4) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
    if length == 0 {
        return Ok(None);
    }
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if !(FIXED..=FIXED + MAX_PAYLOAD).contains(&size) {
        return Err(JuteError::Truncated {
            wanted: size,
            left: 0,
        });
    }
    let crc = input.take(4)?;
    let body = input.take(size)?;
    if crc != checksum(length, body).to_be_bytes() {
        return Err(JuteError::Tag(0));
    }
    let mut body = Reader::new(body);
    let synced = usize::try_from(body.i32()?).unwrap_or(0);
    let entry = Entry {
        zxid: Zxid(body.u64()?),
        origin: Sid(body.u8()?),
        request: body.u64()?,
        payload: Arc::from(body.take(size - FIXED)?),
    };
    Ok(Some((synced, entry, PREFIX + size)))
}

fn checksum(length: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_be_bytes()), body)
}

/// Length and checksum.
const PREFIX: usize = 8;
/// `synced`, zxid, origin and request.
const FIXED: usize = 21;

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

    #[test]
    fn a_record_reads_back_and_ends_where_the_next_begins() {
        let mut bytes = Vec::new();
        append(&entry(1), 0, &mut bytes);
        assert_eq!(bytes.len(), size(&entry(1)));
        append(&entry(2), 0, &mut bytes);
        bytes.extend_from_slice(&[0; 50]);
        let Found::Record { entry: first, end } = read(&bytes, 0) else {
            panic!("no record");
        };
        assert_eq!(first, entry(1));
        assert!(
            matches!(read(&bytes, end), Found::Record { entry: second, .. } if second == entry(2))
        );
        assert!(matches!(read(&bytes, 2 * end), Found::End));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        append(&entry(1), 0, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(read(&bad, 0), Found::Record { .. }), "bit {bit}");
        }
    }

    #[test]
    fn damage_before_durable_bytes_is_told_from_a_torn_end() {
        let mut bytes = Vec::new();
        append(&entry(1), 0, &mut bytes);
        let first = bytes.len();
        append(&entry(2), 0, &mut bytes);
        assert!(!was_durable_beyond(&bytes, 0), "one batch, torn");
        append(&entry(3), u32::try_from(2 * first).unwrap(), &mut bytes);
        bytes[..first].fill(0);
        assert!(!was_durable_beyond(&bytes, 2 * first));
        bytes[first..2 * first].fill(0);
        assert!(was_durable_beyond(&bytes, 0));
        assert!(was_durable_beyond(&bytes, first));
    }
}

//! Single files of a data directory, wherever they come from.

use chaos_node::protocol::zxid::Zxid;
use chaos_node::storage::{read_epochs, read_segment, read_snapshot};

use super::{Target, directory};

pub(super) const SEGMENT: Target = Target {
    name: "segment",
    run: |input| read_segment(input).is_ok(),
    seeds: || directory::files("log."),
    repair: |input, choice| repair_segment(input, choice),
    // A record of 21 bytes is an `Entry` and an allocation, in a list that doubles.
    factor: 6,
    floor: 512,
};

pub(super) const SNAPSHOT: Target = Target {
    name: "snapshot",
    run: |input| read_snapshot(input).is_ok_and(|(zxid, _)| zxid >= Zxid::ZERO),
    seeds: || directory::files("snapshot."),
    repair: |input, _| repair_snapshot(input),
    factor: 2,
    floor: 256,
};

pub(super) const EPOCHS: Target = Target {
    name: "epochs",
    run: |input| read_epochs(input).is_ok(),
    seeds: || directory::files("epochs"),
    repair: repair_epochs,
    factor: 0,
    floor: 512,
};

/// Makes a file right that is one by its first bytes.
pub(super) fn repair(file: &mut Vec<u8>, choice: u64) {
    match file.get(..4) {
        Some(b"chL2") => repair_segment(file, choice),
        Some(b"chS2") => repair_snapshot(file),
        Some(b"chE2") => repair_epochs(file, choice),
        _ => {}
    }
}

/// Header: magic, owner, generation, sequence, size, checksum, which is the salt. Then batches.
fn repair_segment(file: &mut [u8], choice: u64) {
    const HEADER: usize = 29;
    const HEAD: usize = 32;
    if file.len() < HEADER {
        return;
    }
    let size = file.len() as u32;
    file[21..25].copy_from_slice(&size.to_be_bytes());
    let salt = crc32c::crc32c(&file[..HEADER - 4]);
    file[HEADER - 4..HEADER].copy_from_slice(&salt.to_be_bytes());
    let mut rest = &mut file[HEADER..];
    let mut number: Option<u64> = None;
    while rest.len() >= HEAD && rest[..HEAD].iter().any(|byte| *byte != 0) {
        let length = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        let length = if choice.is_multiple_of(2) {
            length.min(rest.len() - HEAD)
        } else {
            length
        };
        let Some(end) = length.checked_add(HEAD).filter(|end| *end <= rest.len()) else {
            break;
        };
        rest[4..8].copy_from_slice(&(length as u32).to_be_bytes());
        let body_crc = crc32c::crc32c_append(salt, &rest[HEAD..end]);
        rest[8..12].copy_from_slice(&body_crc.to_be_bytes());
        if let Some(number) = number.filter(|_| !choice.is_multiple_of(3)) {
            rest[12..20].copy_from_slice(&(number + 1).to_be_bytes());
        }
        number = rest[12..20].try_into().ok().map(u64::from_be_bytes);
        number = number.filter(|number| *number < u64::MAX);
        let crc = crc32c::crc32c_append(salt, &rest[4..HEAD]);
        rest[..4].copy_from_slice(&crc.to_be_bytes());
        rest = &mut rest[end..];
    }
}

/// Header: magic, owner, generation, zxid, length, checksum, over which blocks of 64 KiB begin theirs.
fn repair_snapshot(file: &mut [u8]) {
    const HEADER: usize = 37;
    const BLOCK: usize = (64 << 10) + 4;
    if file.len() < HEADER {
        return;
    }
    let blocks = (file.len() - HEADER).div_ceil(BLOCK);
    let length = (file.len() - HEADER).saturating_sub(4 * blocks) as u64;
    file[25..33].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&file[..HEADER - 4]);
    file[HEADER - 4..HEADER].copy_from_slice(&crc.to_be_bytes());
    let salt = crc32c::crc32c(&file[..HEADER]);
    for block in file[HEADER..]
        .chunks_mut(BLOCK)
        .filter(|block| block.len() >= 4)
    {
        let (bytes, crc) = block.split_at_mut(block.len() - 4);
        crc.copy_from_slice(&crc32c::crc32c_append(salt, bytes).to_be_bytes());
    }
}

/// Four slots of a page: magic, checksum, and what it covers. Bits of the choice leave a slot as it is.
fn repair_epochs(file: &mut Vec<u8>, choice: u64) {
    file.resize(4 * 4096, 0);
    for (index, slot) in file.chunks_mut(4096).enumerate() {
        if choice >> index & 1 == 0 {
            let crc = crc32c::crc32c(&slot[8..33]);
            slot[4..8].copy_from_slice(&crc.to_be_bytes());
        }
    }
}

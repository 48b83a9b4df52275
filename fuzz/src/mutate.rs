//! Changes of an input that leave most of its structure: bits, bytes, numbers that may be lengths, and
//! pieces that are cut, doubled, zeroed, moved or taken from another input.

use crate::rng::Rng;

/// Changes `input` in one to four places. `other` lends pieces.
pub(crate) fn mutate(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        change(input, other, rng);
    }
    input.truncate(MAX_INPUT);
}

fn change(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    if input.is_empty() {
        input.extend_from_slice(&other[..other.len().min(1 + rng.below(64))]);
        return;
    }
    let at = rng.below(input.len());
    let length = piece(input.len() - at, rng);
    match rng.below(12) {
        0 | 1 => input[at] ^= 1 << rng.below(8),
        2 => input[at] = rng.next().to_le_bytes()[0],
        3 => input[at] = *rng.pick(&BYTES),
        4 | 5 => number(input, at, rng),
        6 => input.truncate(at),
        7 => drop(input.drain(at..at + length)),
        8 => {
            let copy = input[at..at + length].to_vec();
            let to = rng.below(input.len() + 1);
            input.splice(to..to, copy);
        }
        9 => input[at..at + length].fill(0),
        10 if !other.is_empty() => {
            let from = rng.below(other.len());
            let length = piece(other.len() - from, rng);
            let end = if rng.one_in(2) {
                at
            } else {
                (at + length).min(input.len())
            };
            input.splice(at..end, other[from..from + length].iter().copied());
        }
        _ => {
            let extra = [rng.next().to_le_bytes()[0]; 16];
            input.splice(at..at, extra[..1 + rng.below(16)].iter().copied());
        }
    }
}

/// Mostly short, sometimes everything.
fn piece(most: usize, rng: &mut Rng) -> usize {
    let bound = if rng.one_in(8) { most } else { most.min(32) };
    1 + rng.below(bound)
}

/// Puts a number where a length, a count or a version may stand.
fn number(input: &mut [u8], at: usize, rng: &mut Rng) {
    let width = *rng.pick(&[2, 4, 4, 4, 8]);
    let Some(place) = input.get_mut(at..at + width) else {
        return;
    };
    let mut bytes = [0; 8];
    bytes[8 - width..].copy_from_slice(place);
    let old = u64::from_be_bytes(bytes);
    let new = match rng.below(6) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_add(rng.next() % 64).wrapping_sub(32),
        3 => old << rng.below(4),
        _ => *rng.pick(&NUMBERS),
    };
    place.copy_from_slice(&new.to_be_bytes()[8 - width..]);
}

/// Longer inputs find nothing new and take their time.
const MAX_INPUT: usize = 64 << 10;
const BYTES: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xff, b'/', b'0'];
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x000f_ffff,
    0x0010_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

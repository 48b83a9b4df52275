//! Splits what a sender's kernel has left joined: a segment of TCP over IPv4 that is longer than
//! its wire carries, into the packets that a network card would have made of it ("TCP segmentation
//! offload"; header as of Virtual I/O Device 1.2, section 5.1.6).
//!
//! Joined segments pass whole where no rule is in force, which is fast; where packets can be lost,
//! each must be one that a real wire carries.

use super::tap::CHECKSUM_HEADER;

/// A packet behind its header, of which the parts are known.
#[derive(Debug, Clone, Copy)]
struct Joined<'a> {
    bytes: &'a [u8],
    /// Where the header of IP begins, that of TCP, and the payload.
    ip: usize,
    tcp: usize,
    payload: usize,
    /// How much payload one packet carries.
    each: usize,
}

/// How many packets it is on the wire.
pub(super) fn count(packet: &[u8]) -> usize {
    parts(packet).map_or(1, |joined| {
        (packet.len() - joined.payload).div_ceil(joined.each)
    })
}

/// Hands on each packet that it is on the wire: itself, if nothing is joined in it.
pub(super) fn split(packet: &[u8], mut each: impl FnMut(&[u8])) {
    let Some(joined) = parts(packet) else {
        return each(packet);
    };
    let payload = &packet[joined.payload..];
    let count = payload.len().div_ceil(joined.each);
    let mut out = Vec::with_capacity(joined.payload + joined.each);
    for (number, piece) in payload.chunks(joined.each).enumerate() {
        out.clear();
        out.extend(&packet[..joined.payload]);
        out.extend(piece);
        joined.mend(&mut out, number, number + 1 == count);
        each(&out);
    }
}

/// The parts of a packet in which several are joined.
fn parts(packet: &[u8]) -> Option<Joined<'_>> {
    let byte = |at: usize| packet.get(at).copied();
    let kind = byte(1)? & !WITH_ECN;
    let each = usize::from(u16::from_ne_bytes([byte(4)?, byte(5)?]));
    let ip = CHECKSUM_HEADER + WIRE;
    let tcp = ip + usize::from(byte(ip)? & 0x0f) * 4;
    let payload = tcp + usize::from(byte(tcp + 12)? >> 4) * 4;
    let is_joined = kind == TCP_OVER_IPV4 && each > 0 && packet.len() > payload + each;
    is_joined.then_some(Joined {
        bytes: packet,
        ip,
        tcp,
        payload,
        each,
    })
}

impl Joined<'_> {
    /// Turns a copy of the headers into those of the packet with this number.
    fn mend(&self, out: &mut [u8], number: usize, is_last: bool) {
        // Nothing is joined any more; the sum over the payload is still to be computed.
        out[1] = 0;
        out[4..6].fill(0);
        let (ip, tcp) = (self.ip, self.tcp);
        let length = out.len() - ip;
        put(out, ip + 2, word(length));
        let identity = u16::from_be_bytes([self.bytes[ip + 4], self.bytes[ip + 5]]);
        put(out, ip + 4, identity.wrapping_add(word(number)));
        put(out, ip + 10, 0);
        let sum = !fold(sum(&out[ip..tcp]));
        put(out, ip + 10, sum);
        let mut sequence = [0; 4];
        sequence.copy_from_slice(&self.bytes[tcp + 4..tcp + 8]);
        let offset = u32::try_from(number * self.each).unwrap_or(u32::MAX);
        let sequence = u32::from_be_bytes(sequence).wrapping_add(offset);
        out[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        if !is_last {
            out[tcp + 13] &= !(FIN | PUSH);
        }
        if number > 0 {
            out[tcp + 13] &= !REDUCED;
        }
        // What the receiver's kernel completes: addresses, protocol and length.
        let addresses = sum_of_addresses(&out[ip..tcp]);
        let pseudo = addresses + u32::from(PROTOCOL) + u32::from(word(out.len() - tcp));
        put(out, tcp + 16, fold(pseudo));
    }
}

fn sum_of_addresses(ip: &[u8]) -> u32 {
    sum(&ip[12..20])
}

/// The sum of all 16-bit words (RFC 1071), before its carries are added.
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            u32::from(u16::from_be_bytes([pair[0], low]))
        })
        .sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

fn put(out: &mut [u8], at: usize, value: u16) {
    out[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Lengths of IPv4 fit.
fn word(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// Bytes of the header of Ethernet.
const WIRE: usize = 14;
const PROTOCOL: u8 = 6;
const TCP_OVER_IPV4: u8 = 1;
const WITH_ECN: u8 = 0x80;
const FIN: u8 = 0x01;
const PUSH: u8 = 0x08;
const REDUCED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: usize = CHECKSUM_HEADER + WIRE + 20;
    const PAYLOAD: usize = TCP + 32;

    /// A joined segment with so much payload, of which each packet carries 1448 bytes.
    fn joined(payload: usize) -> Vec<u8> {
        let mut packet = vec![0; CHECKSUM_HEADER];
        packet[0] = 1;
        packet[1] = TCP_OVER_IPV4;
        packet[4..6].copy_from_slice(&1448_u16.to_ne_bytes());
        packet.extend([0; WIRE]);
        let length = u16::try_from(20 + 32 + payload).unwrap().to_be_bytes();
        packet.extend([
            0x45, 0, length[0], length[1], 0xff, 0xff, 0x40, 0, 64, 6, 0, 0,
        ]);
        packet.extend([10, 77, 0, 1, 10, 77, 0, 2]);
        packet.extend([0; 4]);
        packet.extend(0xffff_fff0_u32.to_be_bytes());
        packet.extend([0, 0, 0, 9, 0x80, REDUCED | PUSH | FIN | 0x10]);
        packet.extend([0; 18]);
        packet.extend((0..payload).map(|at| u8::try_from(at % 251).unwrap()));
        packet
    }

    fn pieces(packet: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        split(packet, |piece| pieces.push(piece.to_vec()));
        pieces
    }

    #[test]
    fn the_payload_of_all_pieces_is_that_of_the_whole_and_sequences_follow() {
        let whole = joined(4000);
        let pieces = pieces(&whole);
        assert_eq!(pieces.len(), 3);
        assert_eq!(count(&whole), 3);
        let payload: Vec<u8> = pieces.iter().flat_map(|p| p[PAYLOAD..].to_vec()).collect();
        assert_eq!(payload, whole[PAYLOAD..]);
        let mut expected = 0xffff_fff0_u32;
        for piece in &pieces {
            let sequence: [u8; 4] = piece[TCP + 4..TCP + 8].try_into().unwrap();
            assert_eq!(u32::from_be_bytes(sequence), expected);
            expected = expected.wrapping_add(u32::try_from(piece.len() - PAYLOAD).unwrap());
        }
    }

    #[test]
    fn each_piece_has_lengths_sums_and_flags_of_its_own() {
        let pieces = pieces(&joined(4000));
        let flags: Vec<u8> = pieces.iter().map(|piece| piece[TCP + 13]).collect();
        assert_eq!(flags, [REDUCED | 0x10, 0x10, PUSH | FIN | 0x10]);
        for (number, piece) in pieces.iter().enumerate() {
            let ip = &piece[TCP - 20..TCP];
            assert_eq!(fold(sum(ip)), 0xffff, "the sum over a right header");
            let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            assert_eq!(length, piece.len() - CHECKSUM_HEADER - WIRE);
            let identity = u16::from_be_bytes([ip[4], ip[5]]);
            assert_eq!(identity, 0xffff_u16.wrapping_add(word(number)));
            assert_eq!(piece[1], 0);
        }
    }

    #[test]
    fn what_is_not_joined_stays_as_it_is() {
        for packet in [joined(1448), joined(0), vec![0; 30], Vec::new()] {
            assert_eq!(pieces(&packet), std::slice::from_ref(&packet));
            assert_eq!(count(&packet), 1);
        }
        let mut other = joined(4000);
        other[1] = 5;
        assert_eq!(pieces(&other), std::slice::from_ref(&other));
    }
}

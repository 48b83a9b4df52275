//! The bytes of a frame: `[u32 length][body]`, all numbers big endian.
//!
//! The body is `[u32 crc32c][content]`: a bit that flips on the way gets past TCP's own checksum once
//! in some ten thousand times, and a frame that says something else would be believed. A frame whose
//! sum is wrong ends its connection.
//!
//! The content begins with one byte for the kind of frame. Decoding is total: whatever the bytes, it
//! gives a frame or an error, reads nothing past the end and allocates no more than the input is
//! long. A decoded body has no bytes left over.

mod decode;
mod encode;

use thiserror::Error;

use self::decode::Reader;
use self::encode::put_frame;
use super::message::{Frame, MAX_FRAME};

/// The bytes in front of a body that give its length.
pub const PREFIX: usize = 4;

/// Bytes that are not a frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The length in front is out of bounds.
    #[error("a frame of {0} bytes is out of bounds")]
    Length(u32),
    /// The body is not what was sent.
    #[error("the checksum of the frame is wrong")]
    Checksum,
    /// The body ends early.
    #[error("the frame ends early")]
    Short,
    /// The body goes on behind its end.
    #[error("the frame has {0} bytes too many")]
    Trailing(usize),
    /// An unknown kind or flag.
    #[error("unknown {what} {tag}")]
    Tag {
        /// What was being read.
        what: &'static str,
        /// The byte found.
        tag: u8,
    },
}

/// The bytes of the checksum in front of the content.
const CHECKSUM: usize = 4;

/// The longest body: content of [`MAX_FRAME`] bytes and its checksum.
pub const MAX_BODY: usize = MAX_FRAME + CHECKSUM;

/// The length of the body that follows this prefix, 5 ..= [`MAX_BODY`] bytes.
pub fn body_length(prefix: [u8; PREFIX]) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(bytes) if (CHECKSUM + 1..=MAX_BODY).contains(&bytes) => Ok(bytes),
        _ => Err(WireError::Length(length)),
    }
}

/// Appends prefix and body of `frame` to `out`.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX + CHECKSUM]);
    put_frame(out, frame);
    let length = out.len() - start - PREFIX;
    debug_assert!(length <= MAX_BODY, "senders keep frames within bounds");
    let prefix = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out[start..start + PREFIX].copy_from_slice(&prefix);
    seal(&mut out[start + PREFIX..]);
}

/// Puts the right checksum in front of the content of a body. A body without content stays as it
/// is.
pub fn seal(body: &mut [u8]) {
    if let Some((sum, content)) = body.split_first_chunk_mut::<CHECKSUM>() {
        *sum = crc32c::crc32c(content).to_be_bytes();
    }
}

/// Reads the frame whose body this is.
pub fn decode(body: &[u8]) -> Result<Frame, WireError> {
    let (sum, content) = body
        .split_first_chunk::<CHECKSUM>()
        .ok_or(WireError::Short)?;
    if crc32c::crc32c(content) != u32::from_be_bytes(*sum) {
        return Err(WireError::Checksum);
    }
    let mut reader = Reader::new(content);
    let frame = reader.frame()?;
    match reader.left() {
        0 => Ok(frame),
        left => Err(WireError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use proptest::{collection, option};

    use super::super::message::{
        Body, Entry, Hello, MAX_EPOCH_ENDS, Message, Payload, PeerRole, Ping, Segment, Standing,
        StreamAck, SyncMode, Vote, VoteRequest,
    };
    use super::super::zxid::{Sid, Zxid};
    use super::*;

    fn payload() -> impl Strategy<Value = Payload> {
        collection::vec(any::<u8>(), 0..40).prop_map(Payload::from)
    }

    fn zxid() -> impl Strategy<Value = Zxid> {
        any::<u64>().prop_map(Zxid)
    }

    fn standing() -> impl Strategy<Value = Standing> {
        (any::<u32>(), zxid()).prop_map(|(current_epoch, last_zxid)| Standing {
            current_epoch,
            last_zxid,
        })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        (zxid(), any::<u8>(), any::<u64>(), payload()).prop_map(
            |(zxid, origin, request, payload)| Entry {
                zxid,
                origin: Sid(origin),
                request,
                payload,
            },
        )
    }

    fn mode() -> impl Strategy<Value = SyncMode> {
        prop_oneof![
            Just(SyncMode::Diff),
            Just(SyncMode::Trunc),
            Just(SyncMode::Snap)
        ]
    }

    fn body() -> impl Strategy<Value = Body> {
        let ends = collection::vec(zxid(), 0..MAX_EPOCH_ENDS);
        let discovery = prop_oneof![
            any::<u32>().prop_map(|accepted_epoch| Body::FollowerInfo { accepted_epoch }),
            any::<u32>().prop_map(|epoch| Body::NewEpoch { epoch }),
            (any::<bool>(), standing(), ends).prop_map(|(promised, standing, epoch_ends)| {
                Body::AckEpoch {
                    promised,
                    standing,
                    epoch_ends,
                }
            }),
        ];
        let sync = prop_oneof![
            zxid().prop_map(|to| Body::Truncate { to }),
            (zxid(), any::<u64>(), any::<u64>(), payload()).prop_map(
                |(zxid, total, offset, bytes)| Body::SnapshotChunk {
                    zxid,
                    total,
                    offset,
                    bytes: bytes[..].into()
                }
            ),
            collection::vec(entry(), 0..5).prop_map(|entries| Body::SyncEntries { entries }),
            (any::<u32>(), zxid(), mode()).prop_map(|(epoch, zxid, mode)| Body::NewLeader {
                epoch,
                zxid,
                mode
            }),
            zxid().prop_map(|zxid| Body::AckNewLeader { zxid }),
            zxid().prop_map(|commit| Body::UpToDate { commit }),
        ];
        let broadcast = prop_oneof![
            (entry(), zxid()).prop_map(|(entry, commit)| Body::Proposal { entry, commit }),
            zxid().prop_map(|zxid| Body::Ack { zxid }),
            zxid().prop_map(|zxid| Body::Commit { zxid }),
            (any::<u64>(), payload())
                .prop_map(|(request, payload)| Body::Request { request, payload }),
            any::<u64>().prop_map(|request| Body::RequestRefused { request }),
            any::<u64>().prop_map(|request| Body::ReadIndex { request }),
            (any::<u64>(), zxid())
                .prop_map(|(request, zxid)| Body::ReadIndexReply { request, zxid }),
        ];
        prop_oneof![discovery, sync, broadcast]
    }

    fn ping() -> impl Strategy<Value = Ping> {
        let role = prop_oneof![
            Just(PeerRole::Looking),
            any::<u8>().prop_map(|sid| PeerRole::Following(Sid(sid))),
            any::<u32>().prop_map(|epoch| PeerRole::Leading { epoch }),
        ];
        (
            any::<[u64; 4]>(),
            role,
            any::<bool>(),
            any::<u32>(),
            standing(),
        )
            .prop_map(
                |([incarnation, sent_at, echo, held], role, reply, accepted_epoch, standing)| {
                    Ping {
                        incarnation,
                        role,
                        sent_at,
                        echo,
                        held,
                        reply,
                        accepted_epoch,
                        standing,
                    }
                },
            )
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let ack =
            || any::<(u64, u64)>().prop_map(|(through, beyond)| StreamAck { through, beyond });
        let hello = || {
            any::<(u8, u8)>().prop_map(|(from, to)| Hello {
                from: Sid(from),
                to: Sid(to),
            })
        };
        prop_oneof![
            hello().prop_map(Frame::Hello),
            hello().prop_map(Frame::Welcome),
            ping().prop_map(Frame::Ping),
            (any::<u64>(), standing())
                .prop_map(|(round, standing)| Frame::VoteRequest(VoteRequest { round, standing })),
            any::<(u64, bool)>().prop_map(|(round, granted)| Frame::Vote(Vote { round, granted })),
            (any::<u64>(), ack(), any::<(u64, u64)>(), body()).prop_map(
                |(seq, ack, (from, to), body)| Frame::Segment(Segment {
                    seq,
                    ack,
                    message: Message { from, to, body },
                })
            ),
            ack().prop_map(Frame::StreamAck),
        ]
    }

    fn body_of(bytes: &[u8]) -> &[u8] {
        let prefix = bytes[..PREFIX].try_into().unwrap();
        assert_eq!(body_length(prefix).unwrap(), bytes.len() - PREFIX);
        &bytes[PREFIX..]
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(frame in frame()) {
            let mut bytes = Vec::new();
            encode(&frame, &mut bytes);
            proptest::prop_assert_eq!(decode(body_of(&bytes)), Ok(frame));
        }

        #[test]
        fn any_cut_or_changed_frame_is_an_error_or_a_frame(
            frame in frame(), cut in any::<proptest::sample::Index>(),
            change in option::of(any::<(proptest::sample::Index, u8)>()),
        ) {
            let mut bytes = Vec::new();
            encode(&frame, &mut bytes);
            let mut body = body_of(&bytes).to_vec();
            let mut short = body[..cut.index(body.len())].to_vec();
            seal(&mut short);
            proptest::prop_assert!(decode(&short).is_err());
            if let Some((at, value)) = change {
                let at = at.index(body.len());
                body[at] = value;
                let _ = decode(&body);
                seal(&mut body);
                let _ = decode(&body);
            }
        }

        #[test]
        fn no_flipped_bit_is_believed(frame in frame(), bit in any::<proptest::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(&frame, &mut bytes);
            let mut body = body_of(&bytes).to_vec();
            let bit = bit.index(body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
            proptest::prop_assert_eq!(decode(&body), Err(WireError::Checksum));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let mut sealed = bytes;
            seal(&mut sealed);
            let _ = decode(&sealed);
        }
    }

    #[test]
    fn a_length_of_zero_or_past_the_bound_is_refused() {
        assert_eq!(body_length([0; 4]), Err(WireError::Length(0)));
        assert_eq!(body_length(4u32.to_be_bytes()), Err(WireError::Length(4)));
        assert_eq!(body_length(5u32.to_be_bytes()), Ok(5));
        let most = u32::try_from(MAX_BODY).unwrap();
        assert_eq!(body_length(most.to_be_bytes()), Ok(MAX_BODY));
        assert_eq!(
            body_length((most + 1).to_be_bytes()),
            Err(WireError::Length(most + 1))
        );
    }

    #[test]
    fn a_lying_count_of_entries_costs_no_memory() {
        let mut body = vec![0, 0, 0, 0, 6];
        body.extend_from_slice(&[0; 40]);
        body.push(6);
        body.extend_from_slice(&u32::MAX.to_be_bytes());
        seal(&mut body);
        assert_eq!(decode(&body), Err(WireError::Short));
    }

    #[test]
    fn bytes_behind_the_end_are_refused() {
        let mut bytes = Vec::new();
        encode(
            &Frame::Hello(Hello {
                from: Sid(3),
                to: Sid(1),
            }),
            &mut bytes,
        );
        bytes.push(0);
        seal(&mut bytes[PREFIX..]);
        assert_eq!(decode(&bytes[PREFIX..]), Err(WireError::Trailing(1)));
    }
}

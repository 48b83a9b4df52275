//! The bytes of a frame: `[u32 length][body]`, all numbers big endian.
//!
//! The body begins with one byte for the kind of frame. Decoding is total: whatever the bytes, it
//! gives a frame or an error, reads nothing past the end and allocates no more than the input is
//! long. A decoded body has no bytes left over.

use thiserror::Error;

use super::message::{
    Body, Entry, Frame, Hello, MAX_EPOCH_ENDS, MAX_FRAME, Message, Payload, PeerRole, Ping,
    Segment, Standing, StreamAck, SyncMode, Vote, VoteRequest,
};
use super::zxid::{Sid, Zxid};

/// The bytes in front of a body that give its length.
pub const PREFIX: usize = 4;

/// Bytes that are not a frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The length in front is out of bounds.
    #[error("a frame of {0} bytes is out of bounds")]
    Length(u32),
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

/// The length of the body that follows this prefix, 1 ..= [`MAX_FRAME`] bytes.
pub fn body_length(prefix: [u8; PREFIX]) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(bytes) if (1..=MAX_FRAME).contains(&bytes) => Ok(bytes),
        _ => Err(WireError::Length(length)),
    }
}

/// Appends prefix and body of `frame` to `out`.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    put_frame(out, frame);
    let length = out.len() - start - PREFIX;
    debug_assert!(length <= MAX_FRAME, "senders keep frames within bounds");
    let prefix = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out[start..start + PREFIX].copy_from_slice(&prefix);
}

/// Reads the frame whose body this is.
pub fn decode(body: &[u8]) -> Result<Frame, WireError> {
    let mut reader = Reader { rest: body };
    let frame = reader.frame()?;
    match reader.rest.len() {
        0 => Ok(frame),
        left => Err(WireError::Trailing(left)),
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

fn put_standing(out: &mut Vec<u8>, standing: Standing) {
    put_u32(out, standing.current_epoch);
    put_u64(out, standing.last_zxid.0);
}

fn put_ack(out: &mut Vec<u8>, ack: StreamAck) {
    put_u64(out, ack.through);
    put_u64(out, ack.beyond);
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_u64(out, entry.zxid.0);
    out.push(entry.origin.0);
    put_u64(out, entry.request);
    put_bytes(out, &entry.payload);
}

fn put_frame(out: &mut Vec<u8>, frame: &Frame) {
    match frame {
        Frame::Hello(hello) => out.extend_from_slice(&[1, hello.from.0, hello.to.0]),
        Frame::Welcome(hello) => out.extend_from_slice(&[2, hello.from.0, hello.to.0]),
        Frame::Ping(ping) => {
            out.push(3);
            put_ping(out, ping);
        }
        Frame::VoteRequest(request) => {
            out.push(4);
            put_u64(out, request.round);
            put_standing(out, request.standing);
        }
        Frame::Vote(vote) => {
            out.push(5);
            put_u64(out, vote.round);
            out.push(u8::from(vote.granted));
        }
        Frame::Segment(segment) => {
            out.push(6);
            put_u64(out, segment.seq);
            put_ack(out, segment.ack);
            put_u64(out, segment.message.from);
            put_u64(out, segment.message.to);
            put_body(out, &segment.message.body);
        }
        Frame::StreamAck(ack) => {
            out.push(7);
            put_ack(out, *ack);
        }
    }
}

fn put_ping(out: &mut Vec<u8>, ping: &Ping) {
    put_u64(out, ping.incarnation);
    match ping.role {
        PeerRole::Looking => out.push(0),
        PeerRole::Following(leader) => out.extend_from_slice(&[1, leader.0]),
        PeerRole::Leading { epoch } => {
            out.push(2);
            put_u32(out, epoch);
        }
    }
    put_u64(out, ping.sent_at);
    put_u64(out, ping.echo);
    put_u64(out, ping.held);
    out.push(u8::from(ping.reply));
    put_u32(out, ping.accepted_epoch);
    put_standing(out, ping.standing);
}

fn put_body(out: &mut Vec<u8>, body: &Body) {
    match body {
        Body::FollowerInfo { accepted_epoch } => {
            out.push(1);
            put_u32(out, *accepted_epoch);
        }
        Body::NewEpoch { epoch } => {
            out.push(2);
            put_u32(out, *epoch);
        }
        Body::AckEpoch {
            promised,
            standing,
            epoch_ends,
        } => {
            out.push(3);
            out.push(u8::from(*promised));
            put_standing(out, *standing);
            out.push(u8::try_from(epoch_ends.len()).unwrap_or(u8::MAX));
            for end in epoch_ends {
                put_u64(out, end.0);
            }
        }
        Body::Truncate { to } => put_zxid(out, 4, *to),
        Body::SnapshotChunk {
            zxid,
            total,
            offset,
            bytes,
        } => {
            put_zxid(out, 5, *zxid);
            put_u64(out, *total);
            put_u64(out, *offset);
            put_bytes(out, bytes);
        }
        Body::SyncEntries { entries } => {
            out.push(6);
            put_u32(out, u32::try_from(entries.len()).unwrap_or(u32::MAX));
            for entry in entries {
                put_entry(out, entry);
            }
        }
        Body::NewLeader { epoch, zxid, mode } => {
            put_zxid(out, 7, *zxid);
            put_u32(out, *epoch);
            out.push(mode_tag(*mode));
        }
        Body::AckNewLeader { zxid } => put_zxid(out, 8, *zxid),
        Body::UpToDate { commit } => put_zxid(out, 9, *commit),
        Body::Proposal { entry, commit } => {
            put_zxid(out, 10, *commit);
            put_entry(out, entry);
        }
        Body::Ack { zxid } => put_zxid(out, 11, *zxid),
        Body::Commit { zxid } => put_zxid(out, 12, *zxid),
        Body::Request { request, payload } => {
            out.push(13);
            put_u64(out, *request);
            put_bytes(out, payload);
        }
        Body::RequestRefused { request } => put_tagged(out, 14, *request),
        Body::ReadIndex { request } => put_tagged(out, 15, *request),
        Body::ReadIndexReply { request, zxid } => {
            put_zxid(out, 16, *zxid);
            put_u64(out, *request);
        }
    }
}

fn put_zxid(out: &mut Vec<u8>, tag: u8, zxid: Zxid) {
    put_tagged(out, tag, zxid.0);
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, value: u64) {
    out.push(tag);
    put_u64(out, value);
}

const fn mode_tag(mode: SyncMode) -> u8 {
    match mode {
        SyncMode::Diff => 0,
        SyncMode::Trunc => 1,
        SyncMode::Snap => 2,
    }
}

/// Reads from the front of a body.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(WireError::Short)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(WireError::Short)?;
        self.rest = tail;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(WireError::Tag { what: "flag", tag }),
        }
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    fn sid(&mut self) -> Result<Sid, WireError> {
        self.byte().map(Sid)
    }

    fn zxid(&mut self) -> Result<Zxid, WireError> {
        self.u64().map(Zxid)
    }

    fn bytes(&mut self) -> Result<Payload, WireError> {
        let length = self.u32()?;
        let length = usize::try_from(length).map_err(|_| WireError::Length(length))?;
        self.take(length).map(Payload::from)
    }

    fn standing(&mut self) -> Result<Standing, WireError> {
        Ok(Standing {
            current_epoch: self.u32()?,
            last_zxid: self.zxid()?,
        })
    }

    fn ack(&mut self) -> Result<StreamAck, WireError> {
        Ok(StreamAck {
            through: self.u64()?,
            beyond: self.u64()?,
        })
    }

    fn entry(&mut self) -> Result<Entry, WireError> {
        Ok(Entry {
            zxid: self.zxid()?,
            origin: self.sid()?,
            request: self.u64()?,
            payload: self.bytes()?,
        })
    }

    fn hello(&mut self) -> Result<Hello, WireError> {
        Ok(Hello {
            from: self.sid()?,
            to: self.sid()?,
        })
    }

    fn frame(&mut self) -> Result<Frame, WireError> {
        Ok(match self.byte()? {
            1 => Frame::Hello(self.hello()?),
            2 => Frame::Welcome(self.hello()?),
            3 => Frame::Ping(self.ping()?),
            4 => Frame::VoteRequest(VoteRequest {
                round: self.u64()?,
                standing: self.standing()?,
            }),
            5 => Frame::Vote(Vote {
                round: self.u64()?,
                granted: self.flag()?,
            }),
            6 => Frame::Segment(Segment {
                seq: self.u64()?,
                ack: self.ack()?,
                message: Message {
                    from: self.u64()?,
                    to: self.u64()?,
                    body: self.body()?,
                },
            }),
            7 => Frame::StreamAck(self.ack()?),
            tag => return Err(WireError::Tag { what: "frame", tag }),
        })
    }

    fn ping(&mut self) -> Result<Ping, WireError> {
        Ok(Ping {
            incarnation: self.u64()?,
            role: match self.byte()? {
                0 => PeerRole::Looking,
                1 => PeerRole::Following(self.sid()?),
                2 => PeerRole::Leading { epoch: self.u32()? },
                tag => return Err(WireError::Tag { what: "role", tag }),
            },
            sent_at: self.u64()?,
            echo: self.u64()?,
            held: self.u64()?,
            reply: self.flag()?,
            accepted_epoch: self.u32()?,
            standing: self.standing()?,
        })
    }

    fn body(&mut self) -> Result<Body, WireError> {
        Ok(match self.byte()? {
            1 => Body::FollowerInfo {
                accepted_epoch: self.u32()?,
            },
            2 => Body::NewEpoch { epoch: self.u32()? },
            3 => self.ack_epoch()?,
            4 => Body::Truncate { to: self.zxid()? },
            5 => Body::SnapshotChunk {
                zxid: self.zxid()?,
                total: self.u64()?,
                offset: self.u64()?,
                bytes: self.bytes()?,
            },
            6 => self.sync_entries()?,
            7 => self.new_leader()?,
            8 => Body::AckNewLeader { zxid: self.zxid()? },
            9 => Body::UpToDate {
                commit: self.zxid()?,
            },
            10 => Body::Proposal {
                commit: self.zxid()?,
                entry: self.entry()?,
            },
            11 => Body::Ack { zxid: self.zxid()? },
            12 => Body::Commit { zxid: self.zxid()? },
            13 => Body::Request {
                request: self.u64()?,
                payload: self.bytes()?,
            },
            14 => Body::RequestRefused {
                request: self.u64()?,
            },
            15 => Body::ReadIndex {
                request: self.u64()?,
            },
            16 => Body::ReadIndexReply {
                zxid: self.zxid()?,
                request: self.u64()?,
            },
            tag => {
                return Err(WireError::Tag {
                    what: "message",
                    tag,
                });
            }
        })
    }

    fn ack_epoch(&mut self) -> Result<Body, WireError> {
        let promised = self.flag()?;
        let standing = self.standing()?;
        let count = self.byte()?;
        if usize::from(count) > MAX_EPOCH_ENDS {
            return Err(WireError::Tag {
                what: "number of epoch ends",
                tag: count,
            });
        }
        let epoch_ends = (0..count).map(|_| self.zxid()).collect::<Result<_, _>>()?;
        Ok(Body::AckEpoch {
            promised,
            standing,
            epoch_ends,
        })
    }

    fn sync_entries(&mut self) -> Result<Body, WireError> {
        let count = self.u32()?;
        // Grown entry by entry: a lying count runs out of input before it costs memory.
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(self.entry()?);
        }
        Ok(Body::SyncEntries { entries })
    }

    fn new_leader(&mut self) -> Result<Body, WireError> {
        let zxid = self.zxid()?;
        let epoch = self.u32()?;
        let mode = match self.byte()? {
            0 => SyncMode::Diff,
            1 => SyncMode::Trunc,
            2 => SyncMode::Snap,
            tag => return Err(WireError::Tag { what: "mode", tag }),
        };
        Ok(Body::NewLeader { epoch, zxid, mode })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use proptest::{collection, option};

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
                    bytes
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
            proptest::prop_assert!(decode(&body[..cut.index(body.len())]).is_err());
            if let Some((at, value)) = change {
                let at = at.index(body.len());
                body[at] = value;
                let _ = decode(&body);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_length_of_zero_or_past_the_bound_is_refused() {
        assert_eq!(body_length([0; 4]), Err(WireError::Length(0)));
        assert_eq!(body_length(1u32.to_be_bytes()), Ok(1));
        let most = u32::try_from(MAX_FRAME).unwrap();
        assert_eq!(body_length(most.to_be_bytes()), Ok(MAX_FRAME));
        assert_eq!(
            body_length((most + 1).to_be_bytes()),
            Err(WireError::Length(most + 1))
        );
    }

    #[test]
    fn a_lying_count_of_entries_costs_no_memory() {
        let mut body = vec![6];
        body.extend_from_slice(&[0; 40]);
        body.push(6);
        body.extend_from_slice(&u32::MAX.to_be_bytes());
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
        assert_eq!(decode(&bytes[PREFIX..]), Err(WireError::Trailing(1)));
    }
}

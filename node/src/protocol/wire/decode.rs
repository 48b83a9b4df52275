//! Reading frames.

use super::super::message::{
    Body, Entry, Frame, Hello, MAX_EPOCH_ENDS, Message, PeerRole, Ping, Segment, Standing,
    StreamAck, SyncMode, Vote, VoteRequest,
};
use super::super::zxid::{Sid, Zxid};
use super::WireError;

/// Reads from the front of a body.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// How many bytes are not read yet.
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

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

    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u32()?;
        let length = usize::try_from(length).map_err(|_| WireError::Length(length))?;
        self.take(length)
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
            payload: self.bytes()?.into(),
        })
    }

    fn hello(&mut self) -> Result<Hello, WireError> {
        Ok(Hello {
            from: self.sid()?,
            to: self.sid()?,
        })
    }

    pub(super) fn frame(&mut self) -> Result<Frame, WireError> {
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
                bytes: self.bytes()?.into(),
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
                payload: self.bytes()?.into(),
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

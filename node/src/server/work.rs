//! What must happen until one request is answered, and the answer.

use crate::client::{
    Form, NO_ZXID, Read, Reply, View, WatchRequest, WatchTable, connect_response, expired_response,
    multi_read_body, unknown_operation,
};
use crate::protocol::zxid::{ConnId, Zxid};
use crate::state::{ErrorCode, Identity, Outcome, PASSWORD_LEN, State, TxnOp};

/// What must happen until a request is answered.
#[derive(Debug)]
pub(super) enum Work {
    /// Applied by the log.
    Write { request: u64, write: WriteKind },
    /// Will be proposed when nothing before it waits for a quorum.
    Deferred { op: TxnOp, write: WriteKind },
    /// Served from the state.
    Read { xid: i32, read: Read, when: When },
    /// Several reads of one state.
    MultiRead {
        xid: i32,
        reads: Vec<Read>,
        when: When,
    },
    /// Served from the watches.
    Watch { xid: i32, watch: WatchRequest },
    /// Nothing but the wait.
    Sync { xid: i32, path: String, when: When },
    /// The answer is no.
    Refuse { xid: i32, code: ErrorCode },
    /// The answer is no, and the connection ends.
    RefuseUnknown { xid: i32 },
    /// Here is the answer.
    Done(Ready),
}

/// How a write is answered.
#[derive(Debug, Clone)]
pub(super) enum WriteKind {
    /// With the outcome.
    Plain { xid: i32, form: Form },
    /// With the outcome, and the connection ends.
    Close { xid: i32 },
    /// With a connect response.
    Open { attach: Attach, timeout_ms: i32 },
    /// With a connect response, if the session is still open.
    Move { attach: Attach },
}

/// Which session a connection wants, and the form of the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attach {
    pub(super) session: i64,
    pub(super) password: [u8; PASSWORD_LEN],
    pub(super) has_read_only: bool,
}

/// When a request may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// As soon as it is at the front.
    Now,
    /// When this read-index request is answered.
    Asked(u64),
    /// When this is applied.
    Applied(Zxid),
}

/// An answer that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ready {
    /// The frame of the answer, behind those of events that must come before it.
    pub(super) frames: Vec<u8>,
    pub(super) is_last: bool,
    /// The number of the request, and the transaction that the answer names.
    pub(super) xid: i32,
    pub(super) zxid: u64,
}

/// What answers are made from.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) conn: ConnId,
    pub(super) state: &'a State,
    pub(super) watches: &'a mut WatchTable,
    pub(super) members: &'a str,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) session: i64,
    pub(super) ids: &'a [Identity],
}

impl Work {
    pub(super) fn waits_for_quorum(&self) -> bool {
        match self {
            Self::Read { when, .. } | Self::MultiRead { when, .. } | Self::Sync { when, .. } => {
                *when != When::Now
            }
            Self::Write { .. }
            | Self::Deferred { .. }
            | Self::Watch { .. }
            | Self::Refuse { .. }
            | Self::RefuseUnknown { .. }
            | Self::Done(_) => false,
        }
    }

    /// When it may be served, if that can change.
    pub(super) const fn when(&mut self) -> Option<&mut When> {
        match self {
            Self::Read { when, .. } | Self::MultiRead { when, .. } | Self::Sync { when, .. } => {
                Some(when)
            }
            Self::Write { .. }
            | Self::Deferred { .. }
            | Self::Watch { .. }
            | Self::Refuse { .. }
            | Self::RefuseUnknown { .. }
            | Self::Done(_) => None,
        }
    }

    /// The answer, if it is time for it. To be called for the front of a queue only.
    pub(super) fn answer(&self, asking: Asking<'_>, desk: &mut Desk<'_>) -> Option<Ready> {
        let zxid = desk.state.applied();
        let reply = match self {
            Self::Write { .. } | Self::Deferred { .. } => return None,
            Self::Read { when, .. } | Self::MultiRead { when, .. } | Self::Sync { when, .. }
                if !when.has_come(desk.state) =>
            {
                return None;
            }
            Self::Read { xid, read, .. } => Reply {
                xid: *xid,
                zxid,
                body: desk.read(read, asking),
            },
            Self::MultiRead { xid, reads, .. } => {
                let body = desk.read_all(reads, asking);
                Reply {
                    xid: *xid,
                    zxid,
                    body,
                }
            }
            Self::Watch { xid, watch } => return Some(desk.watch(*xid, watch)),
            Self::Sync { xid, path, .. } => Reply::to_sync(*xid, zxid, path),
            Self::Refuse { xid, code } => Reply::empty(*xid, zxid, Err(*code)),
            Self::RefuseUnknown { xid } => {
                return Some(Ready {
                    frames: unknown_operation(*xid),
                    is_last: true,
                    xid: *xid,
                    zxid: NO_ZXID,
                });
            }
            Self::Done(ready) => return Some(ready.clone()),
        };
        Some(Ready::from(&reply))
    }
}

impl WriteKind {
    /// What is left to do when the write was applied.
    pub(super) fn answered(&self, zxid: u64, outcome: &Outcome) -> Work {
        Work::Done(match self {
            Self::Plain { xid, form } => Ready::from(&Reply::to_write(*xid, zxid, outcome, form)),
            Self::Close { xid } => Ready {
                is_last: true,
                ..Ready::from(&Reply::to_write(*xid, zxid, outcome, &Form::Plain))
            },
            Self::Open { attach, timeout_ms } => attach.answered(zxid, Some(*timeout_ms)),
            Self::Move { attach } => match outcome {
                Outcome::Moved { timeout_ms } => attach.answered(zxid, Some(*timeout_ms)),
                _ => attach.answered(zxid, None),
            },
        })
    }
}

impl Attach {
    /// A connect response, which ends the connection if the session has no timeout any more.
    fn answered(&self, zxid: u64, timeout_ms: Option<i32>) -> Ready {
        let frames = match timeout_ms {
            Some(timeout_ms) => {
                connect_response(self.session, timeout_ms, self.password, self.has_read_only)
            }
            None => expired_response(self.has_read_only),
        };
        Ready {
            frames,
            is_last: timeout_ms.is_none(),
            xid: 0,
            zxid,
        }
    }
}

impl From<&Reply> for Ready {
    fn from(reply: &Reply) -> Self {
        Self {
            frames: reply.frame(),
            is_last: false,
            xid: reply.xid,
            zxid: reply.zxid,
        }
    }
}

impl Desk<'_> {
    /// Reads, and leaves the watch that was asked for.
    fn read(&mut self, read: &Read, asking: Asking<'_>) -> Result<Vec<u8>, ErrorCode> {
        let body = read.answer(View {
            state: self.state,
            session: asking.session,
            ids: asking.ids,
            members: self.members,
        });
        let answer = match &body {
            Ok(_) => Ok(()),
            Err(code) => Err(*code),
        };
        if let Some(kind) = read.watch(answer)
            && self.watches.add(self.conn, &read.path, kind).is_err()
        {
            return Err(ErrorCode::Throttled);
        }
        body
    }

    /// Several reads in one answer, which has a bound: few bytes can ask for one large znode often.
    fn read_all(&mut self, reads: &[Read], asking: Asking<'_>) -> Result<Vec<u8>, ErrorCode> {
        let mut answers = Vec::new();
        let mut bytes = 0;
        for read in reads {
            let answer = self.read(read, asking);
            bytes += answer.as_ref().map_or(0, Vec::len);
            if bytes > MULTI_READ_BYTES {
                return Err(ErrorCode::Throttled);
            }
            answers.push((read.kind, answer));
        }
        Ok(multi_read_body(answers))
    }

    fn watch(&mut self, xid: i32, watch: &WatchRequest) -> Ready {
        let zxid = self.state.applied();
        let answer = watch.answer(self.conn, self.state, self.watches);
        let body = answer.body;
        let reply = Reply { xid, zxid, body };
        let mut ready = Ready::from(&reply);
        ready.frames.splice(..0, answer.events);
        ready
    }
}

impl When {
    /// A read-index request is answered, perhaps the one that this waits for.
    pub(super) fn answered(&mut self, request: u64, zxid: Zxid) {
        if *self == Self::Asked(request) {
            *self = Self::Applied(zxid);
        }
    }

    fn has_come(self, state: &State) -> bool {
        match self {
            Self::Now => true,
            Self::Asked(_) => false,
            Self::Applied(zxid) => state.applied() >= zxid.0,
        }
    }
}

/// Most bytes that a multi of reads may be answered with: more than clients take by default.
const MULTI_READ_BYTES: usize = 8 << 20;

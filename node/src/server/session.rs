//! One client connection: its requests in their order, and the answers that are ready.
//!
//! Requests of one connection are answered strictly in order. A write is proposed when it arrives and
//! answered when it is applied; a read waits until everything before it is answered, so a session
//! always reads its own writes. A write behind a request that waits for a quorum is *deferred*:
//! proposed only when that one is answered, or else a read could see a write that came after it.
//!
//! Invariant: only the front of the queue is ever answered.

use std::collections::VecDeque;

use crate::client::{Read, Reply, connect_response, expired_response, unknown_operation};
use crate::protocol::zxid::Zxid;
use crate::state::{ErrorCode, Outcome, PASSWORD_LEN, State, TxnOp};

/// A connection with its session, if it has one already.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The session; `None` before the connect request.
    pub(super) id: Option<i64>,
    queue: VecDeque<Pending>,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// When it arrived, in monotonic nanoseconds.
    pub(super) since: u64,
    pub(super) work: Work,
}

/// What must happen until a request is answered.
#[derive(Debug)]
pub(super) enum Work {
    /// Applied by the log.
    Write { request: u64, write: WriteKind },
    /// Will be proposed when nothing before it waits for a quorum.
    Deferred { op: TxnOp, write: WriteKind },
    /// Served from the state.
    Read { xid: i32, read: Read, when: When },
    /// Nothing but the wait.
    Sync { xid: i32, path: String, when: When },
    /// Continues a session of another connection, if it is still open.
    Attach { attach: Attach, when: When },
    /// The answer is no.
    Refuse { xid: i32, code: ErrorCode },
    /// The answer is no, and the connection ends.
    RefuseUnknown { xid: i32 },
    /// Here is the answer.
    Done { frame: Vec<u8>, is_last: bool },
}

/// How a write is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum WriteKind {
    /// With the outcome.
    Plain { xid: i32, with_stat: bool },
    /// With the outcome, and the connection ends.
    Close { xid: i32 },
    /// With a connect response.
    Open { attach: Attach, timeout_ms: i32 },
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

/// An answer to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) frame: Vec<u8>,
    pub(super) is_last: bool,
    /// When its request arrived, in monotonic nanoseconds.
    pub(super) since: u64,
}

impl Session {
    pub(super) fn push(&mut self, since: u64, work: Work) {
        self.queue.push_back(Pending { since, work });
    }

    /// How many requests are not answered.
    pub(super) fn outstanding(&self) -> usize {
        self.queue.len()
    }

    /// Whether it waits to continue a session.
    pub(super) fn is_attaching(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|front| matches!(front.work, Work::Attach { .. }))
    }

    /// Whether a write that comes now must be deferred.
    pub(super) fn defers(&self) -> bool {
        self.queue.iter().any(|pending| {
            pending.work.waits_for_quorum() || matches!(pending.work, Work::Deferred { .. })
        })
    }

    /// The first deferred write, if nothing before it waits for a quorum any more: it is proposed
    /// now, with this number.
    pub(super) fn start_deferred(&mut self, request: u64) -> Option<TxnOp> {
        let work = self
            .queue
            .iter_mut()
            .map(|pending| &mut pending.work)
            .take_while(|work| !work.waits_for_quorum())
            .find(|work| matches!(work, Work::Deferred { .. }))?;
        if let Work::Deferred { write, .. } = *work
            && let Work::Deferred { op, .. } =
                std::mem::replace(work, Work::Write { request, write })
        {
            return Some(op);
        }
        None
    }

    /// This node's own write was applied.
    pub(super) fn applied(&mut self, request: u64, zxid: u64, outcome: &Outcome) {
        for pending in &mut self.queue {
            if let Work::Write {
                request: found,
                write,
            } = pending.work
                && found == request
            {
                pending.work = write.answered(zxid, outcome);
                return;
            }
        }
    }

    /// A read-index request is answered.
    pub(super) fn read_ready(&mut self, request: u64, zxid: Zxid) {
        for pending in &mut self.queue {
            if let Work::Read { when, .. } | Work::Sync { when, .. } | Work::Attach { when, .. } =
                &mut pending.work
                && *when == When::Asked(request)
            {
                *when = When::Applied(zxid);
            }
        }
    }

    /// The next answer, if the front of the queue has one.
    pub(super) fn answer(&mut self, state: &State) -> Option<Answer> {
        let front = self.queue.front()?;
        let (frame, is_last) = front.work.answer(state)?;
        let answer = Answer {
            frame,
            is_last,
            since: front.since,
        };
        self.queue.pop_front();
        Some(answer)
    }
}

impl WriteKind {
    fn answered(self, zxid: u64, outcome: &Outcome) -> Work {
        let (frame, is_last) = match self {
            Self::Plain { xid, with_stat } => {
                let reply = Reply::to_write(xid, zxid, outcome, with_stat);
                (reply.frame(), false)
            }
            Self::Close { xid } => (Reply::to_write(xid, zxid, outcome, false).frame(), true),
            Self::Open { attach, timeout_ms } => (attach.accepted(timeout_ms), false),
        };
        Work::Done { frame, is_last }
    }
}

impl Work {
    fn waits_for_quorum(&self) -> bool {
        match self {
            Self::Read { when, .. } | Self::Sync { when, .. } | Self::Attach { when, .. } => {
                *when != When::Now
            }
            Self::Write { .. }
            | Self::Deferred { .. }
            | Self::Refuse { .. }
            | Self::RefuseUnknown { .. }
            | Self::Done { .. } => false,
        }
    }

    fn answer(&self, state: &State) -> Option<(Vec<u8>, bool)> {
        let zxid = state.applied();
        match self {
            Self::Write { .. } | Self::Deferred { .. } => None,
            Self::Read { xid, read, when } => when.has_come(state).then(|| {
                let reply = Reply {
                    xid: *xid,
                    zxid,
                    body: read.answer(state),
                };
                (reply.frame(), false)
            }),
            Self::Sync { xid, path, when } => when
                .has_come(state)
                .then(|| (Reply::to_sync(*xid, zxid, path).frame(), false)),
            Self::Attach { attach, when } => {
                when.has_come(state)
                    .then(|| match state.session_timeout_ms(attach.session) {
                        Some(timeout_ms) => (attach.accepted(timeout_ms), false),
                        None => (expired_response(attach.has_read_only), true),
                    })
            }
            Self::Refuse { xid, code } => {
                let reply = Reply {
                    xid: *xid,
                    zxid,
                    body: Err(*code),
                };
                Some((reply.frame(), false))
            }
            Self::RefuseUnknown { xid } => Some((unknown_operation(*xid), true)),
            Self::Done { frame, is_last } => Some((frame.clone(), *is_last)),
        }
    }
}

impl Attach {
    fn accepted(&self, timeout_ms: i32) -> Vec<u8> {
        connect_response(self.session, timeout_ms, self.password, self.has_read_only)
    }
}

impl When {
    fn has_come(self, state: &State) -> bool {
        match self {
            Self::Now => true,
            Self::Asked(_) => false,
            Self::Applied(zxid) => state.applied() >= zxid.0,
        }
    }
}

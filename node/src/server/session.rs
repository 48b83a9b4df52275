//! One client connection: its requests in their order, and the answers that are ready.
//!
//! Requests of one connection are answered strictly in order. A write is proposed when it arrives and
//! answered when it is applied; a read waits until everything before it is answered, so a session
//! always reads its own writes. A write behind a request that waits for a quorum is *deferred*:
//! proposed only when that one is answered, or else a read could see a write that came after it.
//!
//! Invariant: only the front of the queue is ever answered.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::latency::Latency;
use super::work::{Asking, Desk, Ready, Work};
use crate::client::{ConnectionLine, MAX_IDENTITIES, SessionPart};
use crate::protocol::zxid::Zxid;
use crate::state::{Identity, Outcome, TxnOp};

/// A connection with its session, if it has one already.
#[derive(Debug)]
pub(super) struct Session {
    /// The session; `None` before the connect request.
    pub(super) id: Option<i64>,
    /// The number by which the log knows this connection.
    pub(super) link: u64,
    /// Where the client is.
    pub(super) address: SocketAddr,
    /// Who the client is: where it comes from, and what it has authenticated as.
    pub(super) ids: Vec<Identity>,
    /// What came and went.
    pub(super) traffic: Traffic,
    queue: VecDeque<Pending>,
}

/// What came and went on one connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
    /// In milliseconds since 1970.
    established_ms: i64,
    last_xid: i32,
    last_zxid: u64,
    latency: Latency,
}

/// A request that is not answered yet.
#[derive(Debug)]
struct Pending {
    /// When it arrived, in monotonic nanoseconds.
    since: u64,
    work: Work,
}

/// An answer to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) ready: Ready,
    /// When its request arrived, in monotonic nanoseconds.
    pub(super) since: u64,
}

impl Session {
    /// A connection that has said nothing yet.
    pub(super) fn new(link: u64, address: SocketAddr, wall_ms: i64) -> Self {
        let ip = Identity {
            scheme: "ip".to_owned(),
            id: address.ip().to_canonical().to_string(),
        };
        Self {
            id: None,
            link,
            address,
            ids: vec![ip],
            traffic: Traffic {
                established_ms: wall_ms,
                ..Traffic::default()
            },
            queue: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, since: u64, work: Work) {
        self.queue.push_back(Pending { since, work });
    }

    /// The client has told more of who it is. False if that is more than a transaction can carry.
    pub(super) fn authenticated(&mut self, more: Vec<Identity>) -> bool {
        for id in more {
            if !self.ids.contains(&id) {
                self.ids.push(id);
            }
        }
        let size = |id: &Identity| id.scheme.len() + id.id.len() + 8;
        self.ids.iter().map(size).sum::<usize>() <= MAX_IDENTITIES
    }

    /// How many requests are not answered.
    pub(super) fn outstanding(&self) -> usize {
        self.queue.len()
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
        if let Work::Deferred { write, .. } = work {
            let write = write.clone();
            if let Work::Deferred { op, .. } =
                std::mem::replace(work, Work::Write { request, write })
            {
                return Some(op);
            }
        }
        None
    }

    /// This node's own write was applied.
    pub(super) fn applied(&mut self, request: u64, zxid: u64, outcome: &Outcome) {
        for pending in &mut self.queue {
            if let Work::Write {
                request: found,
                write,
            } = &pending.work
                && *found == request
            {
                pending.work = write.answered(zxid, outcome);
                return;
            }
        }
    }

    /// A read-index request is answered.
    pub(super) fn read_ready(&mut self, request: u64, zxid: Zxid) {
        for pending in &mut self.queue {
            if let Some(when) = pending.work.when() {
                when.answered(request, zxid);
            }
        }
    }

    /// The next answer, if the front of the queue has one.
    pub(super) fn answer(&mut self, desk: &mut Desk<'_>, now: u64) -> Option<Answer> {
        let front = self.queue.front()?;
        let asking = Asking {
            session: self.id.unwrap_or(0),
            ids: &self.ids,
        };
        let ready = front.work.answer(asking, desk)?;
        let since = front.since;
        self.queue.pop_front();
        let traffic = &mut self.traffic;
        traffic.sent += 1;
        traffic.last_xid = ready.xid;
        traffic.last_zxid = ready.zxid;
        traffic.latency.record(now.saturating_sub(since));
        Some(Answer { ready, since })
    }

    /// What the four-letter words tell of it. `timeout_ms` is that of its session.
    pub(super) fn line(&self, timeout_ms: i32) -> ConnectionLine {
        let traffic = &self.traffic;
        ConnectionLine {
            address: self.address,
            queued: self.queue.len(),
            received: traffic.received,
            sent: traffic.sent,
            session: self.id.map(|id| SessionPart {
                id,
                established_ms: traffic.established_ms,
                timeout_ms,
                last_xid: traffic.last_xid,
                last_zxid: traffic.last_zxid,
                latency_ms: traffic.latency.in_whole_ms(),
            }),
        }
    }
}

impl Traffic {
    /// Counts from nothing again.
    pub(super) fn reset(&mut self) {
        *self = Self {
            established_ms: self.established_ms,
            ..Self::default()
        };
    }
}

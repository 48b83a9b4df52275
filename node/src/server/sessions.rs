//! All client connections of this node: what their frames ask for, and what they are told.
//!
//! Pure: it says what is to be done as [`Effect`]s, and the server does it.
//!
//! Invariants: an answer never tells a transaction older than one the connection was told before; a
//! request whose outcome is not known is never answered, its connection ends instead.

use std::collections::{BTreeMap, BTreeSet};

use super::activity::Activity;
use super::session::{Attach, Session, When, Work, WriteKind};
use crate::client::{ConnectRequest, ReadKind, Request, expired_response, parse};
use crate::protocol::zxid::{ConnId, Sid, Zxid};
use crate::state::{Outcome, Secret, State, Txn, TxnOp};

/// What does not change while the node runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) me: Sid,
    pub(super) secret: Secret,
    /// Session timeouts lie between 2 and 20 of these.
    pub(super) tick_ms: u32,
    /// Whether reads ask a quorum first.
    pub(super) linear_reads: bool,
    /// Distinguishes the requests and sessions of this boot from those of earlier ones.
    pub(super) boot: u32,
}

/// What the server shall do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Propose to the log.
    Propose { request: u64, txn: Txn },
    /// Ask for a read index.
    ReadIndex { request: u64 },
    /// Send a frame that answers one request.
    Send { conn: ConnId, frame: Vec<u8> },
    /// End the connection after what was sent.
    Finish { conn: ConnId },
}

/// An instant on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) monotonic_ns: u64,
    pub(super) wall_ms: i64,
}

/// How long requests took, in nanoseconds.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Latency {
    pub(super) least: u64,
    pub(super) most: u64,
    pub(super) sum: u64,
    pub(super) count: u64,
}

/// All client connections of this node.
#[derive(Debug)]
pub(super) struct Sessions {
    rules: Rules,
    connections: BTreeMap<ConnId, Session>,
    /// Which connection waits for which request.
    waiting: BTreeMap<u64, ConnId>,
    /// Connections whose front waits for something to be applied.
    held: BTreeSet<ConnId>,
    by_id: BTreeMap<i64, ConnId>,
    activity: Activity,
    last_request: u64,
    last_session: i64,
    pub(super) latency: Latency,
    effects: Vec<Effect>,
}

impl Sessions {
    pub(super) fn new(rules: Rules, now: Moment) -> Self {
        let start = (now.wall_ms << 16) & 0x00ff_ffff_ffff_ffff;
        Self {
            rules,
            connections: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: BTreeSet::new(),
            by_id: BTreeMap::new(),
            activity: Activity::default(),
            last_request: u64::from(rules.boot) << 32,
            last_session: (i64::from(rules.me.0) << 56) | start,
            latency: Latency::default(),
            effects: Vec::new(),
        }
    }

    /// What is to be done now.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// How many requests are not answered.
    pub(super) fn outstanding(&self) -> usize {
        self.connections.values().map(Session::outstanding).sum()
    }

    pub(super) fn opened(&mut self, conn: ConnId) {
        self.connections.insert(conn, Session::default());
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        self.held.remove(&conn);
        if let Some(session) = self.connections.remove(&conn)
            && let Some(id) = session.id
            && self.by_id.get(&id) == Some(&conn)
        {
            self.by_id.remove(&id);
        }
    }

    /// A frame arrived on a connection of a node that serves.
    pub(super) fn frame(&mut self, conn: ConnId, body: &[u8], now: Moment, state: &State) {
        let Some(session) = self.connections.get(&conn) else {
            return;
        };
        let is_understood = match session.id {
            None => self.connect(conn, body, now, state),
            Some(id) => {
                self.activity.heard(id, now.monotonic_ns);
                self.request(conn, id, body, now)
            }
        };
        if is_understood {
            self.advance(conn, now, state);
        } else {
            self.finish(conn);
        }
    }

    /// A transaction was applied; `request` is its number if this node proposed it in this boot.
    pub(super) fn applied(
        &mut self,
        txn: &Txn,
        request: Option<u64>,
        outcome: &Outcome,
        now: Moment,
        state: &State,
    ) {
        let owner = request.and_then(|request| self.waiting.remove(&request));
        if let (Some(conn), Some(request)) = (owner, request)
            && let Some(session) = self.connections.get_mut(&conn)
        {
            session.applied(request, state.applied(), outcome);
            self.advance(conn, now, state);
        }
        match &txn.op {
            TxnOp::Touch { sessions } => {
                for id in sessions {
                    self.activity.told(*id, now.monotonic_ns);
                }
            }
            TxnOp::CloseSession => {
                self.activity.closed(txn.session);
                // A connection that still waits for the session will be told that it has expired.
                if let Some(conn) = self.by_id.remove(&txn.session)
                    && !self
                        .connections
                        .get(&conn)
                        .is_some_and(Session::is_attaching)
                {
                    self.finish(conn);
                }
            }
            TxnOp::OpenSession { .. }
            | TxnOp::MoveSession
            | TxnOp::Create { .. }
            | TxnOp::Delete { .. }
            | TxnOp::SetData { .. }
            | TxnOp::SetAccess { .. }
            | TxnOp::Check { .. }
            | TxnOp::Multi { .. }
            | TxnOp::Reap { .. } => self.activity.told(txn.session, now.monotonic_ns),
        }
    }

    /// Something was applied: requests that waited for that may be answered.
    pub(super) fn advance_held(&mut self, now: Moment, state: &State) {
        for conn in std::mem::take(&mut self.held) {
            self.advance(conn, now, state);
        }
    }

    /// A read-index request was answered.
    pub(super) fn read_ready(&mut self, request: u64, zxid: Zxid, now: Moment, state: &State) {
        if let Some(conn) = self.waiting.remove(&request)
            && let Some(session) = self.connections.get_mut(&conn)
        {
            session.read_ready(request, zxid);
            self.advance(conn, now, state);
        }
    }

    /// A request ended without an answer: its connection ends, too.
    pub(super) fn rejected(&mut self, request: u64) {
        if let Some(conn) = self.waiting.remove(&request) {
            self.finish(conn);
        }
    }

    /// The node does not serve any more: all connections end but those that have said nothing yet;
    /// they may bring a four-letter word.
    pub(super) fn not_serving(&mut self) {
        let connections: Vec<ConnId> = self
            .connections
            .iter()
            .filter_map(|(conn, session)| session.id.map(|_| *conn))
            .collect();
        for conn in connections {
            self.finish(conn);
        }
        self.waiting.clear();
    }

    /// The node serves under a new leader.
    pub(super) fn serving(&mut self, now: Moment, state: &State) {
        self.activity.restart(state.sessions(), now.monotonic_ns);
    }

    /// To be called now and then while the node serves: the leader expires sessions, a follower tells
    /// of those that it heard.
    pub(super) fn review(&mut self, is_leader: bool, now: Moment, state: &State) {
        let open = state.sessions();
        if is_leader {
            for session in self.activity.expired(open, now.monotonic_ns) {
                self.propose(session, TxnOp::CloseSession, now);
            }
            return;
        }
        let sessions = self.activity.due_to_tell(open, now.monotonic_ns);
        if !sessions.is_empty() {
            self.propose(0, TxnOp::Touch { sessions }, now);
        }
    }

    fn connect(&mut self, conn: ConnId, body: &[u8], now: Moment, state: &State) -> bool {
        let Ok(asked) = ConnectRequest::parse(body) else {
            return false;
        };
        // This client has seen more than this node: what it reads here would go back in time.
        if asked.last_zxid_seen > state.applied() {
            return false;
        }
        let is_new = asked.session == 0;
        let session = if is_new {
            self.last_session += 1;
            self.last_session
        } else {
            asked.session
        };
        let password = self.rules.secret.password(session);
        if !is_new && asked.password != password {
            let frame = expired_response(asked.has_read_only);
            self.effects.push(Effect::Send { conn, frame });
            return false;
        }
        let attach = Attach {
            session,
            password,
            has_read_only: asked.has_read_only,
        };
        let work = if is_new {
            let timeout_ms = self.rules.session_timeout(asked.timeout_ms);
            let request = self.propose(session, TxnOp::OpenSession { timeout_ms }, now);
            self.waiting.insert(request, conn);
            let write = WriteKind::Open { attach, timeout_ms };
            Work::Write { request, write }
        } else {
            let when = self.ask(conn);
            Work::Attach { attach, when }
        };
        if let Some(old) = self.by_id.insert(session, conn) {
            self.finish(old);
            self.by_id.insert(session, conn);
        }
        self.activity.heard(session, now.monotonic_ns);
        if let Some(entry) = self.connections.get_mut(&conn) {
            entry.id = Some(session);
            entry.push(now.monotonic_ns, work);
        }
        true
    }

    fn request(&mut self, conn: ConnId, session: i64, body: &[u8], now: Moment) -> bool {
        let Ok((xid, request)) = parse(body) else {
            return false;
        };
        let work = match request {
            Request::Read(read) => {
                let when = if self.rules.linear_reads && read.kind != ReadKind::Ping {
                    self.ask(conn)
                } else {
                    When::Now
                };
                Work::Read { xid, read, when }
            }
            Request::Sync { path } => {
                let when = self.ask(conn);
                Work::Sync { xid, path, when }
            }
            Request::Write(asked) => {
                let write = if asked.op == TxnOp::CloseSession {
                    WriteKind::Close { xid }
                } else {
                    let with_stat = asked.with_stat;
                    WriteKind::Plain { xid, with_stat }
                };
                if self.connections.get(&conn).is_some_and(Session::defers) {
                    Work::Deferred {
                        op: asked.op,
                        write,
                    }
                } else {
                    let request = self.propose(session, asked.op, now);
                    self.waiting.insert(request, conn);
                    Work::Write { request, write }
                }
            }
            Request::Refused(code) => Work::Refuse { xid, code },
            Request::Unknown => Work::RefuseUnknown { xid },
        };
        if let Some(entry) = self.connections.get_mut(&conn) {
            entry.push(now.monotonic_ns, work);
        }
        true
    }

    /// Answers what can be answered.
    fn advance(&mut self, conn: ConnId, now: Moment, state: &State) {
        let Some(session) = self.connections.get_mut(&conn) else {
            return;
        };
        while let Some(answer) = session.answer(state) {
            self.latency
                .record(now.monotonic_ns.saturating_sub(answer.since));
            let frame = answer.frame;
            self.effects.push(Effect::Send { conn, frame });
            if answer.is_last {
                self.finish(conn);
                return;
            }
        }
        if session.outstanding() > 0 {
            self.held.insert(conn);
        }
        self.propose_deferred(conn, now);
    }

    /// Proposes the writes that nothing holds back any more.
    fn propose_deferred(&mut self, conn: ConnId, now: Moment) {
        while let Some(session) = self.connections.get_mut(&conn)
            && let Some(id) = session.id
            && let Some(op) = session.start_deferred(self.last_request + 1)
        {
            let request = self.propose(id, op, now);
            self.waiting.insert(request, conn);
        }
    }

    fn finish(&mut self, conn: ConnId) {
        self.closed(conn);
        self.effects.push(Effect::Finish { conn });
    }

    fn propose(&mut self, session: i64, op: TxnOp, now: Moment) -> u64 {
        self.last_request += 1;
        let request = self.last_request;
        let txn = Txn {
            time_ms: now.wall_ms,
            session,
            connection: 0,
            ids: Vec::new(),
            op,
        };
        self.effects.push(Effect::Propose { request, txn });
        request
    }

    fn ask(&mut self, conn: ConnId) -> When {
        self.last_request += 1;
        let request = self.last_request;
        self.waiting.insert(request, conn);
        self.effects.push(Effect::ReadIndex { request });
        When::Asked(request)
    }
}

impl Rules {
    /// The timeout that a client gets which asks for this one, in milliseconds.
    fn session_timeout(&self, asked_ms: i32) -> i32 {
        let tick = i32::try_from(self.tick_ms).unwrap_or(i32::MAX / 20);
        asked_ms.clamp(tick.saturating_mul(2), tick.saturating_mul(20))
    }
}

impl Latency {
    /// Least, mean and most, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "for display only")]
    pub(super) fn in_ms(self) -> (u64, f64, u64) {
        let mean = self.sum as f64 / self.count.max(1) as f64;
        (self.least / 1_000_000, mean / 1e6, self.most / 1_000_000)
    }

    fn record(&mut self, took: u64) {
        self.least = if self.count == 0 {
            took
        } else {
            self.least.min(took)
        };
        self.most = self.most.max(took);
        self.sum += took;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests;

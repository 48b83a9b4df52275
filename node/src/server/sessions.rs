//! All client connections of this node: what their frames ask for, and what they are told.
//!
//! Pure: it says what is to be done as [`Effect`]s, and the server does it.
//!
//! Every connection has a *link*, a number that no other connection of the cluster ever has. A session
//! belongs to the link that opened or last continued it, which is decided in the log; the state
//! refuses what comes later from another link.
//!
//! Invariants: an answer never tells a transaction older than one the connection was told before; a
//! request whose outcome is not known is never answered, its connection ends instead; an event goes
//! out before any answer that shows its change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::activity::Activity;
use super::latency::Latency;
use super::rules::Rules;
use super::session::Session;
use super::work::Desk;
use crate::client::{ConnectionLine, WatchTable, event};
use crate::protocol::zxid::{ConnId, Zxid};
use crate::state::{Change, ErrorCode, Outcome, State, Txn, TxnOp};

mod requests;

/// What the server shall do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Propose to the log.
    Propose { request: u64, txn: Txn },
    /// Ask for a read index.
    ReadIndex { request: u64 },
    /// Send what answers one request.
    Send { conn: ConnId, frames: Vec<u8> },
    /// Send an event.
    Tell { conn: ConnId, frame: Vec<u8> },
    /// End the connection after what was sent.
    Finish { conn: ConnId },
}

/// An instant on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) monotonic_ns: u64,
    pub(super) wall_ms: i64,
}

/// All client connections of this node.
#[derive(Debug)]
pub(super) struct Sessions {
    rules: Rules,
    connections: BTreeMap<ConnId, Session>,
    watches: WatchTable,
    /// Which connection waits for which request.
    waiting: BTreeMap<u64, ConnId>,
    /// Connections whose front waits for something to be applied.
    held: BTreeSet<ConnId>,
    /// Connections whose answers wait until the client has taken those before.
    full: BTreeSet<ConnId>,
    /// Those of them that the server has not been told of yet.
    held_up: Vec<ConnId>,
    /// Bytes of answers since the last flush.
    unflushed: BTreeMap<ConnId, usize>,
    /// The connection here to which a session belongs.
    by_id: BTreeMap<i64, ConnId>,
    activity: Activity,
    last_request: u64,
    /// The last number given to a session or a link.
    last_number: i64,
    /// When to look for znodes to delete, in monotonic nanoseconds.
    reap_at: u64,
    pub(super) latency: Latency,
    effects: Vec<Effect>,
}

impl Sessions {
    pub(super) fn new(rules: Rules, now: Moment) -> Self {
        let start = (now.wall_ms << 16) & 0x00ff_ffff_ffff_ffff;
        Self {
            connections: BTreeMap::new(),
            watches: WatchTable::default(),
            waiting: BTreeMap::new(),
            held: BTreeSet::new(),
            full: BTreeSet::new(),
            held_up: Vec::new(),
            unflushed: BTreeMap::new(),
            by_id: BTreeMap::new(),
            activity: Activity::default(),
            last_request: u64::from(rules.boot) << 32,
            last_number: (i64::from(rules.me.0) << 56) | start,
            reap_at: 0,
            latency: Latency::default(),
            effects: Vec::new(),
            rules,
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

    /// A client came. False if there are too many from its address already; it gets no connection.
    pub(super) fn opened(&mut self, conn: ConnId, address: SocketAddr, now: Moment) -> bool {
        let most = self.rules.max_connections;
        if most > 0 {
            let others = self.connections.values();
            let from_there = others.filter(|other| other.address.ip() == address.ip());
            if from_there.count() >= usize::try_from(most).unwrap_or(usize::MAX) {
                return false;
            }
        }
        let link = self.next_number().unsigned_abs();
        let session = Session::new(link, address, now.wall_ms);
        self.connections.insert(conn, session);
        true
    }

    pub(super) fn closed(&mut self, conn: ConnId) {
        self.held.remove(&conn);
        self.full.remove(&conn);
        self.watches.forget(conn);
        if let Some(session) = self.connections.remove(&conn)
            && let Some(id) = session.id
            && self.by_id.get(&id) == Some(&conn)
        {
            self.by_id.remove(&id);
        }
    }

    /// A transaction changed something: tells those who watch and may read it. To be called before
    /// [`Sessions::applied`], so that nobody learns of a change by an answer first.
    pub(super) fn changed(&mut self, zxid: u64, changes: &[Change]) {
        if self.watches.is_empty() {
            return;
        }
        for change in changes {
            let hearing = self.watches.fire(change);
            if hearing.is_empty() {
                continue;
            }
            let frame = event(zxid, change.kind, &change.path);
            for conn in hearing {
                let Some(session) = self.connections.get_mut(&conn) else {
                    continue;
                };
                if change.is_for(&session.ids) {
                    session.traffic.sent += 1;
                    let frame = frame.clone();
                    self.effects.push(Effect::Tell { conn, frame });
                }
            }
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
        match outcome {
            Outcome::Opened | Outcome::Moved { .. } => self.belongs_to(txn.session, owner),
            Outcome::Closed => {
                if let Some(conn) = self.by_id.remove(&txn.session) {
                    self.finish(conn);
                }
            }
            Outcome::Touched
            | Outcome::Created { .. }
            | Outcome::Deleted
            | Outcome::DataSet(_)
            | Outcome::AccessSet(_)
            | Outcome::Checked
            | Outcome::Reaped
            | Outcome::Multi(_)
            | Outcome::MultiRefused(_)
            | Outcome::Refused(_) => {}
        }
        self.note(txn, outcome, now.monotonic_ns);
    }

    /// Something was applied: requests that waited for that may be answered.
    pub(super) fn advance_held(&mut self, now: Moment, state: &State) {
        for conn in std::mem::take(&mut self.held) {
            self.advance(conn, now, state);
        }
    }

    /// What was answered is on its way. Gives the connections that get no more answers until
    /// [`Sessions::written`] is called for them.
    pub(super) fn flushed(&mut self) -> Vec<ConnId> {
        self.unflushed.clear();
        std::mem::take(&mut self.held_up)
    }

    /// A client does not take what it is sent: it gets no more answers until [`Sessions::written`] is
    /// called for it. False if that is so already.
    pub(super) fn hold_up(&mut self, conn: ConnId) -> bool {
        self.full.insert(conn)
    }

    /// A client has taken the answers that it was sent.
    pub(super) fn written(&mut self, conn: ConnId, now: Moment, state: &State) {
        if self.full.remove(&conn) {
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

    /// To be called now and then while the node serves: the leader expires sessions and deletes
    /// znodes whose time has come, a follower tells of the sessions that it heard.
    pub(super) fn review(&mut self, is_leader: bool, now: Moment, state: &State) {
        let open = state.sessions();
        if !is_leader {
            let sessions = self.activity.due_to_tell(open, now.monotonic_ns);
            if !sessions.is_empty() {
                self.propose_for_cluster(0, TxnOp::Touch { sessions }, now);
            }
            return;
        }
        for session in self.activity.expired(open, now.monotonic_ns) {
            self.propose_for_cluster(session, TxnOp::CloseSession, now);
        }
        if now.monotonic_ns >= self.reap_at {
            self.reap_at = now.monotonic_ns + REAP_NS;
            for path in state.due_for_reaping(now.wall_ms, REAP_MOST) {
                self.propose_for_cluster(0, TxnOp::Reap { path }, now);
            }
        }
    }

    /// What the four-letter words tell of each connection.
    pub(super) fn lines(&self, state: &State) -> Vec<ConnectionLine> {
        let timeout_ms = |id: Option<i64>| id.and_then(|id| state.session_timeout_ms(id));
        self.connections
            .values()
            .map(|session| session.line(timeout_ms(session.id).unwrap_or(0)))
            .collect()
    }

    /// The watches of all connections.
    pub(super) const fn watches(&self) -> &WatchTable {
        &self.watches
    }

    /// The session of a connection.
    pub(super) fn session_of(&self, conn: ConnId) -> Option<i64> {
        self.connections.get(&conn)?.id
    }

    /// Counts what comes and goes on connections from nothing again.
    pub(super) fn reset_traffic(&mut self) {
        for session in self.connections.values_mut() {
            session.traffic.reset();
        }
    }

    /// A session belongs to this connection now, or to none of this node.
    fn belongs_to(&mut self, session: i64, owner: Option<ConnId>) {
        let owner = owner.filter(|conn| self.connections.contains_key(conn));
        let old = match owner {
            Some(conn) => self.by_id.insert(session, conn),
            None => self.by_id.remove(&session),
        };
        if let Some(old) = old
            && owner != Some(old)
        {
            self.finish(old);
            if let Some(conn) = owner {
                self.by_id.insert(session, conn);
            }
        }
    }

    /// Notes which sessions a transaction shows to be alive.
    fn note(&mut self, txn: &Txn, outcome: &Outcome, now: u64) {
        match (&txn.op, outcome) {
            (TxnOp::Touch { sessions }, _) => {
                for id in sessions {
                    self.activity.told(*id, now);
                }
            }
            (_, Outcome::Closed) => self.activity.closed(txn.session),
            // What came late, or from the cluster itself, tells nothing of the client.
            (_, Outcome::Refused(ErrorCode::SessionExpired | ErrorCode::SessionMoved)) => {}
            _ if txn.connection == 0 => {}
            _ => self.activity.told(txn.session, now),
        }
    }

    /// Answers what can be answered.
    fn advance(&mut self, conn: ConnId, now: Moment, state: &State) {
        if self.full.contains(&conn) {
            return;
        }
        let Some(session) = self.connections.get_mut(&conn) else {
            return;
        };
        let mut desk = Desk {
            conn,
            state,
            watches: &mut self.watches,
            members: &self.rules.members,
        };
        while let Some(answer) = session.answer(&mut desk, now.monotonic_ns) {
            self.latency
                .record(now.monotonic_ns.saturating_sub(answer.since));
            let frames = answer.ready.frames;
            let unflushed = self.unflushed.entry(conn).or_default();
            *unflushed += frames.len();
            let is_enough = *unflushed > ANSWERED_AT_ONCE;
            self.effects.push(Effect::Send { conn, frames });
            if answer.ready.is_last {
                self.finish(conn);
                return;
            }
            if is_enough {
                self.full.insert(conn);
                self.held_up.push(conn);
                break;
            }
        }
        if session.outstanding() > 0 {
            self.held.insert(conn);
        }
        self.propose_deferred(conn, now);
    }

    fn finish(&mut self, conn: ConnId) {
        self.closed(conn);
        self.effects.push(Effect::Finish { conn });
    }

    fn propose_for_cluster(&mut self, session: i64, op: TxnOp, now: Moment) {
        self.propose(Txn {
            time_ms: now.wall_ms,
            session,
            connection: 0,
            ids: Vec::new(),
            op,
        });
    }

    fn propose(&mut self, txn: Txn) -> u64 {
        self.last_request += 1;
        let request = self.last_request;
        self.effects.push(Effect::Propose { request, txn });
        request
    }

    fn next_number(&mut self) -> i64 {
        self.last_number += 1;
        self.last_number
    }
}

/// Bytes of answers after which a client must take them before it gets more.
const ANSWERED_AT_ONCE: usize = 1 << 20;
/// How often to look for znodes to delete, and how many to delete at once.
const REAP_NS: u64 = 1_000_000_000;
const REAP_MOST: usize = 1_000;

#[cfg(test)]
mod tests;

//! The state machine of one node with its client sessions, without sockets, clock or protocol.
//!
//! What the server's loop does with the two between an entry of the log and the frames for clients is
//! done here in the same order, so that a simulation can drive exactly that.

use std::net::SocketAddr;

use super::rules::Rules;
use super::sessions::{Effect, Moment, Sessions};
use crate::bug::Bugs;
use crate::jute::JuteError;
use crate::protocol::message::{Entry, Payload};
use crate::protocol::zxid::{ConnId, Sid, Zxid};
use crate::state::{Change, Outcome, Secret, SnapshotError, State, Txn};

/// See the module.
#[derive(Debug)]
pub struct Replica {
    me: Sid,
    bugs: Bugs,
    state: State,
    sessions: Sessions,
    changes: Vec<Change>,
}

/// What a replica asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Propose to the log.
    Propose {
        /// The number of the request.
        request: u64,
        /// The transaction's bytes.
        payload: Payload,
    },
    /// Ask for a read index.
    ReadIndex {
        /// The number of the request.
        request: u64,
    },
    /// Send these whole frames to a client.
    Send {
        /// On which connection.
        conn: ConnId,
        /// The frames.
        frames: Vec<u8>,
    },
    /// End a connection after what was sent.
    Finish {
        /// Which.
        conn: ConnId,
    },
}

/// An instant: the monotonic clock in nanoseconds, and milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock in nanoseconds.
    pub monotonic_ns: u64,
    /// Milliseconds since 1970.
    pub wall_ms: i64,
}

/// What a replica is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaOptions {
    /// Which node it is on.
    pub me: Sid,
    /// Distinguishes this boot of the node from all others.
    pub boot: u32,
    /// The bounds of session timeouts, in milliseconds.
    pub session_timeout_ms: (i32, i32),
    /// Whether reads ask a quorum first.
    pub linear_reads: bool,
    /// Rules that are broken on purpose.
    pub bugs: Bugs,
}

impl Replica {
    /// A replica with the state that a snapshot holds, or an empty one.
    ///
    /// # Errors
    /// If the bytes are no snapshot.
    pub fn new(
        options: ReplicaOptions,
        snapshot: Option<&[u8]>,
        now: Now,
    ) -> Result<Self, SnapshotError> {
        let ReplicaOptions { me, bugs, .. } = options;
        let rules = Rules {
            me,
            secret: Secret::new("replica"),
            session_timeout_ms: options.session_timeout_ms,
            linear_reads: options.linear_reads,
            boot: options.boot,
            max_connections: 0,
            super_digest: None,
            members: String::new(),
        };
        let state = match snapshot {
            Some(bytes) => State::decode(bytes)?.with_bugs(bugs),
            None => State::new(),
        };
        Ok(Self {
            me,
            bugs,
            state,
            sessions: Sessions::new(rules, now.into()),
            changes: Vec::new(),
        })
    }

    /// Applies the next entry of the log and tells the clients that it concerns.
    ///
    /// # Errors
    /// If it holds no transaction.
    pub fn deliver(&mut self, entry: &Entry, now: Now) -> Result<(Txn, Outcome), JuteError> {
        let txn = Txn::decode(&entry.payload)?;
        self.changes.clear();
        let outcome = self.state.apply(entry.zxid.0, &txn, &mut self.changes);
        self.sessions.changed(entry.zxid.0, &self.changes);
        let request = (entry.origin == self.me).then_some(entry.request);
        self.sessions
            .applied(&txn, request, &outcome, now.into(), &self.state);
        Ok((txn, outcome))
    }

    /// Replaces the state by that of a snapshot.
    ///
    /// # Errors
    /// If the bytes are no snapshot.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.state = State::decode(bytes)?.with_bugs(self.bugs);
        Ok(())
    }

    /// A client came.
    pub fn opened(&mut self, conn: ConnId, now: Now) {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        // There is no bound on connections here, so none is turned away.
        let _ = self.sessions.opened(conn, address, now.into());
    }

    /// A frame of a client arrived while the node serves.
    pub fn frame(&mut self, conn: ConnId, body: &[u8], now: Now) {
        self.sessions.frame(conn, body, now.into(), &self.state);
    }

    /// A client went away.
    pub fn closed(&mut self, conn: ConnId) {
        self.sessions.closed(conn);
    }

    /// A read-index request was answered.
    pub fn read_ready(&mut self, request: u64, zxid: Zxid, now: Now) {
        self.sessions
            .read_ready(request, zxid, now.into(), &self.state);
    }

    /// A request ended without an answer.
    pub fn rejected(&mut self, request: u64) {
        self.sessions.rejected(request);
    }

    /// The node serves under a new leader.
    pub fn serving(&mut self, now: Now) {
        self.sessions.serving(now.into(), &self.state);
    }

    /// The node does not serve any more.
    pub fn not_serving(&mut self) {
        self.sessions.not_serving();
    }

    /// To be called now and then while the node serves.
    pub fn review(&mut self, is_leader: bool, now: Now) {
        self.sessions.review(is_leader, now.into(), &self.state);
    }

    /// What is to be done now, in order.
    pub fn asked(&mut self, now: Now) -> Vec<Asked> {
        self.sessions.advance_held(now.into(), &self.state);
        let effects = self.sessions.take_effects();
        effects.into_iter().map(Asked::from).collect()
    }

    /// The state as it is now.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }
}

impl From<Effect> for Asked {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Propose { request, txn } => Self::Propose {
                request,
                payload: txn.encode().into(),
            },
            Effect::ReadIndex { request } => Self::ReadIndex { request },
            Effect::Send { conn, frames } => Self::Send { conn, frames },
            Effect::Tell { conn, frame } => Self::Send {
                conn,
                frames: frame,
            },
            Effect::Finish { conn } => Self::Finish { conn },
        }
    }
}

impl From<Now> for Moment {
    fn from(now: Now) -> Self {
        Self {
            monotonic_ns: now.monotonic_ns,
            wall_ms: now.wall_ms,
        }
    }
}

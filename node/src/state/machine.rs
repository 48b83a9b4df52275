//! The whole replicated state: the tree and the open sessions, and what each transaction does.
//!
//! A session is on one *connection* at a time: the one that last asked for it, as a transaction says.
//! What comes later in the log from an earlier connection is refused, so a request that was under way
//! when its client moved on can never be done behind the client's back.
//!
//! Invariants: a session named by no `OpenSession` is unknown; transactions of a session that is not
//! open change nothing; every ephemeral znode belongs to an open session.

use super::access::{Identity, allows};
use super::error::ErrorCode;
use super::lifetime::Lifetime;
use super::outcome::{Change, Outcome};
use super::path;
use super::persistent::Map;
use super::snapshot::Snapshot;
use super::tree::{Tree, Znode};
use super::txn::{Txn, TxnOp};
use super::writes::Asked;
use crate::bug::{Bug, Bugs};
use crate::jute::Writer;
use crate::siphash::siphash;

/// The whole replicated state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    applied: u64,
    tree: Tree,
    sessions: Sessions,
    /// The wrapping sum of the hashes of the sessions.
    sessions_digest: u64,
}

/// Open sessions by id.
pub(super) type Sessions = Map<i64, OpenSession>;

/// An open session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenSession {
    pub(super) timeout_ms: i32,
    /// 0 if no connection ever asked for it.
    pub(super) connection: u64,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before the first transaction: the root, and the znodes that clients expect below
    /// `/zookeeper`.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(0, Tree::new(), Map::default())
    }

    /// From what a snapshot holds.
    pub(super) fn from_parts(applied: u64, tree: Tree, sessions: Sessions) -> Self {
        let mut sessions_digest: u64 = 0;
        for (id, session) in sessions.iter() {
            sessions_digest = sessions_digest.wrapping_add(session.hash(*id));
        }
        Self {
            applied,
            tree,
            sessions,
            sessions_digest,
        }
    }

    /// Restored from a snapshot by a node with these planted bugs.
    #[must_use]
    pub fn with_bugs(mut self, bugs: Bugs) -> Self {
        if bugs.has(Bug::LostSessionEphemerals) {
            self.tree.forget_owners();
        }
        self
    }

    /// Applies the next transaction of the log. What happened to znodes is appended to `changes` in
    /// the order in which ZooKeeper tells it to watches; a refused write gives none.
    pub fn apply(&mut self, zxid: u64, txn: &Txn, changes: &mut Vec<Change>) -> Outcome {
        debug_assert!(zxid > self.applied, "transactions are applied in order");
        self.applied = zxid;
        self.dispatch(zxid, txn, changes)
            .unwrap_or_else(Outcome::Refused)
    }

    /// The last transaction applied; 0 before the first.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// The state as it is now, in constant time: it can be encoded elsewhere while this one goes on.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(
            self.applied,
            self.tree.znodes().clone(),
            self.sessions.clone(),
            self.data_size(),
        )
    }

    /// A hash of the tree and the sessions.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.tree.digest().wrapping_add(self.sessions_digest)
    }

    /// The znode at this path.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<&Znode> {
        self.tree.get(path)
    }

    /// The names of the children of the znode at this path, in ascending order; none if there is no
    /// such znode.
    pub fn children(&self, path: &str) -> impl Iterator<Item = &str> + use<'_> {
        self.tree.children(path)
    }

    /// Whether somebody with these identities may do this with a znode.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`] if there is no such znode, [`ErrorCode::NoAuth`] if not.
    pub fn check_access(
        &self,
        path: &str,
        permission: i32,
        ids: &[Identity],
    ) -> Result<(), ErrorCode> {
        let node = self.node(path).ok_or(ErrorCode::NoNode)?;
        if allows(&node.access, permission, ids) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    /// How many znodes there are.
    #[must_use]
    pub const fn node_count(&self) -> usize {
        self.tree.znodes().len()
    }

    /// Bytes of all paths and data.
    #[must_use]
    pub const fn data_size(&self) -> u64 {
        self.tree.data_size()
    }

    /// The ephemeral znodes of a session, by path.
    pub fn ephemerals(&self, session: i64) -> impl Iterator<Item = &str> {
        let all = self.tree.ephemerals().range((session, String::new())..);
        all.take_while(move |(owner, _)| *owner == session)
            .map(|(_, path)| path.as_str())
    }

    /// All ephemeral znodes, by session and path.
    pub fn ephemeral_paths(&self) -> impl ExactSizeIterator<Item = (i64, &str)> {
        let all = self.tree.ephemerals().iter();
        all.map(|(session, path)| (*session, path.as_str()))
    }

    /// How many ephemeral znodes there are.
    #[must_use]
    pub fn ephemerals_count(&self) -> usize {
        self.tree.ephemerals().len()
    }

    /// How many znodes there are below this one, at any depth. Takes time in proportion to that, but
    /// for the root.
    #[must_use]
    pub fn all_children_number(&self, path: &str) -> Option<usize> {
        self.node(path)?;
        if path == "/" {
            return Some(self.node_count() - 1);
        }
        let mut count = 0;
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            for name in self.tree.children(&path) {
                count += 1;
                let child = path::child(&path, name);
                if self
                    .node(&child)
                    .is_some_and(|node| node.stat.num_children > 0)
                {
                    waiting.push(child);
                }
            }
        }
        Some(count)
    }

    /// Container and TTL znodes that may be deleted at this time (in milliseconds since 1970), at
    /// most `limit` of them, those that have been due longest first.
    #[must_use]
    pub fn due_for_reaping(&self, now_ms: i64, limit: usize) -> Vec<String> {
        let reapable = self.tree.reapable().iter();
        reapable
            .take_while(|(due_after_ms, _)| now_ms > *due_after_ms)
            .take(limit)
            .map(|(_, path)| path.clone())
            .collect()
    }

    /// The timeout of an open session, in milliseconds.
    #[must_use]
    pub fn session_timeout_ms(&self, session: i64) -> Option<i32> {
        Some(self.session(session)?.timeout_ms)
    }

    /// The connection on which an open session is; 0 if none ever asked for it.
    #[must_use]
    pub fn connection_of(&self, session: i64) -> Option<u64> {
        Some(self.session(session)?.connection)
    }

    /// How many sessions are open.
    #[must_use]
    pub const fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The open sessions and their timeouts in milliseconds, by id.
    pub fn sessions(&self) -> impl Iterator<Item = (i64, i32)> + '_ {
        self.sessions
            .iter()
            .map(|(id, session)| (*id, session.timeout_ms))
    }

    fn dispatch(
        &mut self,
        zxid: u64,
        txn: &Txn,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, ErrorCode> {
        let asked = Asked {
            zxid,
            time_ms: txn.time_ms,
            session: txn.session,
            ids: &txn.ids,
        };
        match &txn.op {
            TxnOp::OpenSession { timeout_ms } => self.open(txn, *timeout_ms),
            TxnOp::MoveSession => self.continue_elsewhere(txn),
            TxnOp::CloseSession => {
                self.check_session(txn)?;
                self.tree.end_session(zxid, txn.session, changes);
                self.set_session(txn.session, None);
                Ok(Outcome::Closed)
            }
            TxnOp::Touch { .. } => Ok(Outcome::Touched),
            TxnOp::Reap { path } => Ok(self.tree.reap(zxid, txn.time_ms, path, changes)),
            TxnOp::Multi { ops } => {
                self.check_session(txn)?;
                Ok(self.tree.write_all(asked, ops, changes))
            }
            TxnOp::Create { .. }
            | TxnOp::Delete { .. }
            | TxnOp::SetData { .. }
            | TxnOp::SetAccess { .. }
            | TxnOp::Check { .. } => {
                self.check_session(txn)?;
                self.tree.write(asked, &txn.op, changes)
            }
        }
    }

    fn open(&mut self, txn: &Txn, timeout_ms: i32) -> Result<Outcome, ErrorCode> {
        // An id that stands for something else could not own ephemeral znodes.
        if Lifetime::of(txn.session) != Lifetime::Ephemeral(txn.session) {
            return Err(ErrorCode::BadArguments);
        }
        let session = OpenSession {
            timeout_ms,
            connection: txn.connection,
        };
        self.set_session(txn.session, Some(session));
        Ok(Outcome::Opened)
    }

    fn continue_elsewhere(&mut self, txn: &Txn) -> Result<Outcome, ErrorCode> {
        let found = self.session(txn.session);
        let timeout_ms = found.ok_or(ErrorCode::SessionExpired)?.timeout_ms;
        let session = OpenSession {
            timeout_ms,
            connection: txn.connection,
        };
        self.set_session(txn.session, Some(session));
        Ok(Outcome::Moved { timeout_ms })
    }

    /// Demands that the session is open, and on the connection that asks unless the cluster does.
    fn check_session(&self, txn: &Txn) -> Result<(), ErrorCode> {
        let found = self.session(txn.session);
        let session = found.ok_or(ErrorCode::SessionExpired)?;
        if txn.connection == 0 || txn.connection == session.connection {
            Ok(())
        } else {
            Err(ErrorCode::SessionMoved)
        }
    }

    fn session(&self, id: i64) -> Option<&OpenSession> {
        self.sessions.get(|other: &i64| other.cmp(&id))
    }

    fn set_session(&mut self, id: i64, session: Option<OpenSession>) {
        let old = match session {
            Some(session) => self.sessions.insert(id, session),
            None => self.sessions.remove(|other: &i64| other.cmp(&id)),
        };
        let hash = |session: Option<OpenSession>| session.map_or(0, |session| session.hash(id));
        self.sessions_digest = self
            .sessions_digest
            .wrapping_sub(hash(old))
            .wrapping_add(hash(session));
    }
}

impl OpenSession {
    fn hash(self, id: i64) -> u64 {
        let mut bytes = Writer::new();
        bytes.i64(id).i32(self.timeout_ms).u64(self.connection);
        siphash(SESSION_KEY, &bytes.into_bytes())
    }
}

/// The key only keeps hashes of different things apart.
const SESSION_KEY: (u64, u64) = (0, 2);

//! The tree of znodes with its sessions, and what each transaction does to them.
//!
//! The *digest* is the wrapping sum of a keyed hash over every znode and every session. A sum does not
//! depend on order, so it is kept up to date by subtracting what changes and adding what it became:
//! its cost does not grow with the tree.
//!
//! Invariants: every znode but the root has a parent that lists it as a child; a session named by no
//! `OpenSession` is unknown; transactions of a session that is not open change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::access::{Access, Identity, open_list};
use super::error::ErrorCode;
use super::path;
use super::stat::Stat;
use super::txn::{CreateMode, Txn, TxnOp};
use crate::jute::Writer;
use crate::siphash::siphash;

/// One node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// What clients stored.
    pub data: Arc<[u8]>,
    /// The rest; `data_length` and `num_children` are kept true.
    pub stat: Stat,
    /// Who may do what with it.
    pub access: Arc<[Access]>,
    /// The names of its children.
    pub children: BTreeSet<String>,
}

impl Default for Znode {
    /// An empty persistent znode without children, open to everybody.
    fn default() -> Self {
        Self {
            data: Arc::from([]),
            stat: Stat::default(),
            access: open_list(),
            children: BTreeSet::new(),
        }
    }
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The session is open.
    Opened,
    /// The session continues on another connection.
    Moved {
        /// After how many silent milliseconds it expires.
        timeout_ms: i32,
    },
    /// The session is closed.
    Closed,
    /// The sessions were noted as alive.
    Touched,
    /// The znode was created.
    Created {
        /// Where.
        path: String,
        /// Its first state.
        stat: Stat,
    },
    /// The znode was deleted.
    Deleted,
    /// The data was replaced.
    DataSet(Stat),
    /// The access list was replaced.
    AccessSet(Stat),
    /// The znode has the version.
    Checked,
    /// The znode was deleted, if it was still due for that.
    Reaped,
    /// Everything was done.
    Multi(Vec<Self>),
    /// Nothing was done. For each operation a code: 0 before the one that failed, why that failed,
    /// and [`ErrorCode::RuntimeInconsistency`] behind it.
    MultiRefused(Vec<i32>),
    /// Nothing changed, for this reason.
    Refused(ErrorCode),
}

/// What happened to a znode, as watches tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub kind: ChangeKind,
    /// To which.
    pub path: String,
}

/// What may happen to a znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was set.
    DataChanged,
    /// A child of it was created or deleted.
    ChildrenChanged,
}

/// The whole replicated state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    applied: u64,
    nodes: BTreeMap<String, Znode>,
    /// Open sessions and their timeouts in milliseconds.
    sessions: BTreeMap<i64, i32>,
    digest: u64,
    data_size: u64,
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
        let nodes = RESERVED
            .iter()
            .map(|path| ((*path).to_owned(), Znode::default()))
            .collect();
        Self::from_parts(0, nodes, BTreeMap::new())
    }

    /// From what a snapshot holds; children, counts and digest are derived.
    pub(super) fn from_parts(
        applied: u64,
        mut nodes: BTreeMap<String, Znode>,
        sessions: BTreeMap<i64, i32>,
    ) -> Self {
        let paths: Vec<String> = nodes.keys().cloned().collect();
        for path in &paths {
            if let Some(parent) = path::parent(path).and_then(|parent| nodes.get_mut(parent)) {
                parent.children.insert(path::name(path).to_owned());
                parent.stat.num_children += 1;
            }
        }
        let mut state = Self {
            applied,
            nodes,
            sessions,
            digest: 0,
            data_size: 0,
        };
        for (path, node) in &state.nodes {
            state.digest = state.digest.wrapping_add(node_hash(path, node));
            state.data_size += size(path, node);
        }
        for (session, timeout_ms) in &state.sessions {
            state.digest = state
                .digest
                .wrapping_add(session_hash(*session, *timeout_ms));
        }
        state
    }

    /// Applies the next transaction of the log.
    pub fn apply(&mut self, zxid: u64, txn: &Txn, _changes: &mut Vec<Change>) -> Outcome {
        debug_assert!(zxid > self.applied, "transactions are applied in order");
        self.applied = zxid;
        self.dispatch(zxid, txn).unwrap_or_else(Outcome::Refused)
    }

    /// The last transaction applied; 0 before the first.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// A hash of the tree and the sessions.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// The znode at this path.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<&Znode> {
        self.nodes.get(path)
    }

    /// Whether somebody with these identities may do this with a znode.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`] if there is no such znode, [`ErrorCode::NoAuth`] if not.
    pub fn check_access(
        &self,
        path: &str,
        _permission: i32,
        _ids: &[Identity],
    ) -> Result<(), ErrorCode> {
        self.nodes.get(path).map(|_| ()).ok_or(ErrorCode::NoNode)
    }

    /// The ephemeral znodes of a session, by path.
    pub fn ephemerals(&self, session: i64) -> impl Iterator<Item = &str> {
        self.ephemeral_paths()
            .filter_map(move |(owner, path)| (owner == session).then_some(path))
    }

    /// All ephemeral znodes, by session and path.
    pub fn ephemeral_paths(&self) -> impl Iterator<Item = (i64, &str)> {
        let owned = self.nodes.iter();
        owned.filter_map(|(path, node)| {
            let owner = node.stat.ephemeral_owner;
            (owner != 0).then_some((owner, path.as_str()))
        })
    }

    /// How many ephemeral znodes there are.
    #[must_use]
    pub fn ephemerals_count(&self) -> usize {
        self.ephemeral_paths().count()
    }

    /// How many znodes there are below this one, at any depth.
    #[must_use]
    pub fn all_children_number(&self, path: &str) -> Option<usize> {
        let node = self.nodes.get(path)?;
        let below = node.children.iter().map(|name| {
            let child = path::child(path, name);
            1 + self.all_children_number(&child).unwrap_or(0)
        });
        Some(below.sum())
    }

    /// Container and TTL znodes that may be deleted at this time, at most `limit` of them.
    #[must_use]
    pub const fn due_for_reaping(&self, _now_ms: i64, _limit: usize) -> Vec<String> {
        Vec::new()
    }

    /// The connection on which an open session is; 0 if none ever asked for it.
    #[must_use]
    pub fn connection_of(&self, session: i64) -> Option<u64> {
        self.sessions.get(&session).map(|_| 0)
    }

    /// How many znodes there are.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes of all paths and data.
    #[must_use]
    pub const fn data_size(&self) -> u64 {
        self.data_size
    }

    /// The timeout of an open session, in milliseconds.
    #[must_use]
    pub fn session_timeout_ms(&self, session: i64) -> Option<i32> {
        self.sessions.get(&session).copied()
    }

    /// The open sessions and their timeouts in milliseconds, by id.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = (i64, i32)> + '_ {
        self.sessions.iter().map(|(id, timeout)| (*id, *timeout))
    }

    /// All znodes, by path.
    pub(super) fn nodes(&self) -> impl ExactSizeIterator<Item = (&String, &Znode)> {
        self.nodes.iter()
    }

    fn dispatch(&mut self, zxid: u64, txn: &Txn) -> Result<Outcome, ErrorCode> {
        match &txn.op {
            TxnOp::OpenSession { timeout_ms } => Ok(self.open(txn.session, *timeout_ms)),
            TxnOp::CloseSession => self.close(txn.session),
            TxnOp::Touch { .. } => Ok(Outcome::Touched),
            TxnOp::Create {
                path,
                data,
                access,
                mode: CreateMode::Persistent,
                sequential: false,
            } if *access == [Access::open()] => {
                self.check_session(txn.session)?;
                self.create(zxid, txn.time_ms, path, data)
            }
            TxnOp::Delete { path, version } => {
                self.check_session(txn.session)?;
                self.delete(zxid, path, *version)
            }
            TxnOp::SetData {
                path,
                data,
                version,
            } => {
                self.check_session(txn.session)?;
                self.set_data(zxid, txn.time_ms, (path, data), *version)
            }
            TxnOp::MoveSession
            | TxnOp::Create { .. }
            | TxnOp::SetAccess { .. }
            | TxnOp::Check { .. }
            | TxnOp::Multi { .. }
            | TxnOp::Reap { .. } => Err(ErrorCode::Unimplemented),
        }
    }

    fn open(&mut self, session: i64, timeout_ms: i32) -> Outcome {
        if let Some(old) = self.sessions.insert(session, timeout_ms) {
            self.digest = self.digest.wrapping_sub(session_hash(session, old));
        }
        self.digest = self.digest.wrapping_add(session_hash(session, timeout_ms));
        Outcome::Opened
    }

    fn close(&mut self, session: i64) -> Result<Outcome, ErrorCode> {
        let timeout_ms = self
            .sessions
            .remove(&session)
            .ok_or(ErrorCode::SessionExpired)?;
        self.digest = self.digest.wrapping_sub(session_hash(session, timeout_ms));
        Ok(Outcome::Closed)
    }

    fn check_session(&self, session: i64) -> Result<(), ErrorCode> {
        if self.sessions.contains_key(&session) {
            Ok(())
        } else {
            Err(ErrorCode::SessionExpired)
        }
    }

    fn create(
        &mut self,
        zxid: u64,
        time_ms: i64,
        path: &str,
        data: &[u8],
    ) -> Result<Outcome, ErrorCode> {
        if !path::is_valid_path(path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.nodes.contains_key(path) {
            return Err(ErrorCode::NodeExists);
        }
        let parent = path::parent(path).ok_or(ErrorCode::NodeExists)?;
        if !self.nodes.contains_key(parent) {
            return Err(ErrorCode::NoNode);
        }
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time_ms,
            mtime: time_ms,
            data_length: length(data),
            ..Stat::default()
        };
        let node = Znode {
            data: Arc::from(data),
            stat,
            access: open_list(),
            children: BTreeSet::new(),
        };
        self.change(parent, |node| {
            node.children.insert(path::name(path).to_owned());
            count_child(&mut node.stat, zxid, 1);
        });
        self.digest = self.digest.wrapping_add(node_hash(path, &node));
        self.data_size += size(path, &node);
        self.nodes.insert(path.to_owned(), node);
        Ok(Outcome::Created {
            path: path.to_owned(),
            stat,
        })
    }

    fn delete(&mut self, zxid: u64, path: &str, version: i32) -> Result<Outcome, ErrorCode> {
        if !path::is_valid_path(path) || RESERVED.contains(&path) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.nodes.get(path).ok_or(ErrorCode::NoNode)?;
        check_version(&node.stat, version)?;
        if !node.children.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        if let Some(node) = self.nodes.remove(path) {
            self.digest = self.digest.wrapping_sub(node_hash(path, &node));
            self.data_size -= size(path, &node);
        }
        if let Some(parent) = path::parent(path) {
            self.change(parent, |node| {
                node.children.remove(path::name(path));
                count_child(&mut node.stat, zxid, -1);
            });
        }
        Ok(Outcome::Deleted)
    }

    fn set_data(
        &mut self,
        zxid: u64,
        time_ms: i64,
        (path, data): (&str, &[u8]),
        version: i32,
    ) -> Result<Outcome, ErrorCode> {
        if !path::is_valid_path(path) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.nodes.get(path).ok_or(ErrorCode::NoNode)?;
        check_version(&node.stat, version)?;
        let stat = self.change(path, |node| {
            node.data = Arc::from(data);
            node.stat.mzxid = zxid;
            node.stat.mtime = time_ms;
            node.stat.version = node.stat.version.wrapping_add(1);
            node.stat.data_length = length(data);
        });
        Ok(Outcome::DataSet(stat))
    }

    /// Changes an existing znode and keeps digest and size true. Gives its new stat.
    fn change(&mut self, path: &str, change: impl FnOnce(&mut Znode)) -> Stat {
        let node = self
            .nodes
            .get_mut(path)
            .expect("callers looked the znode up just before");
        self.digest = self.digest.wrapping_sub(node_hash(path, node));
        self.data_size -= size(path, node);
        change(node);
        self.digest = self.digest.wrapping_add(node_hash(path, node));
        self.data_size += size(path, node);
        node.stat
    }
}

fn check_version(stat: &Stat, version: i32) -> Result<(), ErrorCode> {
    if version == -1 || version == stat.version {
        Ok(())
    } else {
        Err(ErrorCode::BadVersion)
    }
}

const fn count_child(stat: &mut Stat, zxid: u64, change: i32) {
    stat.cversion = stat.cversion.wrapping_add(1);
    stat.pzxid = zxid;
    stat.num_children += change;
}

fn length(data: &[u8]) -> i32 {
    i32::try_from(data.len()).expect("data arrives in frames of at most 1 MiB")
}

fn size(path: &str, node: &Znode) -> u64 {
    (path.len() + node.data.len()) as u64
}

fn node_hash(path: &str, node: &Znode) -> u64 {
    let mut bytes = Writer::new();
    bytes.text(path).buffer(&node.data);
    node.stat.write(&mut bytes);
    siphash(NODE_KEY, &bytes.into_bytes())
}

fn session_hash(session: i64, timeout_ms: i32) -> u64 {
    let mut bytes = Writer::new();
    bytes.i64(session).i32(timeout_ms);
    siphash(SESSION_KEY, &bytes.into_bytes())
}

/// The keys only keep the two kinds apart.
const NODE_KEY: (u64, u64) = (0, 1);
const SESSION_KEY: (u64, u64) = (0, 2);

/// Always there, and never deleted.
const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(op: TxnOp) -> Txn {
        Txn {
            time_ms: 1_000,
            session: 7,
            connection: 0,
            ids: Vec::new(),
            op,
        }
    }

    fn opened() -> State {
        let mut state = State::new();
        let outcome = state.apply(
            1,
            &txn(TxnOp::OpenSession { timeout_ms: 4_000 }),
            &mut Vec::new(),
        );
        assert_eq!(outcome, Outcome::Opened);
        state
    }

    fn create(path: &str) -> Txn {
        txn(TxnOp::Create {
            path: path.to_owned(),
            data: b"x".to_vec(),
            access: vec![Access::open()],
            mode: CreateMode::Persistent,
            sequential: false,
        })
    }

    fn set(path: &str, data: &[u8], version: i32) -> Txn {
        txn(TxnOp::SetData {
            path: path.to_owned(),
            data: data.to_vec(),
            version,
        })
    }

    fn delete(path: &str, version: i32) -> Txn {
        txn(TxnOp::Delete {
            path: path.to_owned(),
            version,
        })
    }

    #[test]
    fn a_created_node_counts_in_its_parent() {
        let mut state = opened();
        state.apply(2, &create("/a"), &mut Vec::new());
        let Outcome::Created { path, stat } = state.apply(3, &create("/a/b"), &mut Vec::new())
        else {
            panic!("not created");
        };
        assert_eq!(path, "/a/b");
        assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (3, 3, 3));
        assert_eq!(
            (stat.ctime, stat.mtime, stat.data_length),
            (1_000, 1_000, 1)
        );
        let parent = state.node("/a").unwrap();
        assert_eq!((parent.stat.cversion, parent.stat.num_children), (1, 1));
        assert_eq!((parent.stat.pzxid, parent.stat.mzxid), (3, 2));
        assert!(parent.children.contains("b"));
    }

    #[test]
    fn refused_writes_change_nothing_but_the_applied_transaction() {
        let mut state = opened();
        state.apply(2, &create("/a"), &mut Vec::new());
        state.apply(3, &create("/a/b"), &mut Vec::new());
        let digest = state.digest();
        let refusals = [
            (create("/a"), ErrorCode::NodeExists),
            (create("/"), ErrorCode::NodeExists),
            (create("/x/y"), ErrorCode::NoNode),
            (create("nopath"), ErrorCode::BadArguments),
            (set("/a", b"", 3), ErrorCode::BadVersion),
            (set("/x", b"", -1), ErrorCode::NoNode),
            (delete("/x", -1), ErrorCode::NoNode),
            (delete("/a", -1), ErrorCode::NotEmpty),
            (delete("/a/b", 1), ErrorCode::BadVersion),
            (delete("/zookeeper", -1), ErrorCode::BadArguments),
            (delete("/", -1), ErrorCode::BadArguments),
        ];
        for (zxid, (txn, code)) in (4..).zip(refusals) {
            assert_eq!(
                state.apply(zxid, &txn, &mut Vec::new()),
                Outcome::Refused(code),
                "{txn:?}"
            );
            assert_eq!(state.applied(), zxid);
        }
        assert_eq!(state.digest(), digest);
    }

    #[test]
    fn set_data_with_the_right_version_swaps_and_counts() {
        let mut state = opened();
        state.apply(2, &create("/a"), &mut Vec::new());
        let Outcome::DataSet(stat) = state.apply(3, &set("/a", b"yy", 0), &mut Vec::new()) else {
            panic!("not set");
        };
        assert_eq!((stat.version, stat.data_length, stat.mzxid), (1, 2, 3));
        assert_eq!(stat.czxid, 2);
        assert_eq!(
            state.apply(4, &set("/a", b"zz", 0), &mut Vec::new()),
            Outcome::Refused(ErrorCode::BadVersion)
        );
        assert_eq!(state.node("/a").unwrap().data[..], b"yy"[..]);
    }

    #[test]
    fn a_session_that_is_not_open_changes_nothing() {
        let mut state = State::new();
        let refused = Outcome::Refused(ErrorCode::SessionExpired);
        assert_eq!(state.apply(1, &create("/a"), &mut Vec::new()), refused);
        state.apply(
            2,
            &txn(TxnOp::OpenSession { timeout_ms: 1 }),
            &mut Vec::new(),
        );
        assert_eq!(
            state.apply(3, &txn(TxnOp::CloseSession), &mut Vec::new()),
            Outcome::Closed
        );
        assert_eq!(state.apply(4, &create("/a"), &mut Vec::new()), refused);
        assert_eq!(
            state.apply(5, &txn(TxnOp::CloseSession), &mut Vec::new()),
            refused
        );
    }

    #[test]
    fn undoing_every_change_but_the_versions_shows_in_the_digest() {
        let mut state = opened();
        let before = state.digest();
        state.apply(2, &create("/a"), &mut Vec::new());
        state.apply(3, &delete("/a", -1), &mut Vec::new());
        assert_ne!(state.digest(), before, "the root counted two changes");
        assert_eq!(state.node_count(), 4);
    }

    #[test]
    fn the_kept_digest_and_size_equal_those_computed_afresh() {
        let mut state = opened();
        for (zxid, txn) in (2..).zip([
            create("/a"),
            create("/a/b"),
            set("/a/b", b"longer", -1),
            create("/c"),
            delete("/c", 0),
            txn(TxnOp::CloseSession),
        ]) {
            state.apply(zxid, &txn, &mut Vec::new());
            let bytes = state.encode();
            assert_eq!(State::decode(&bytes).unwrap(), state);
        }
    }
}

//! The whole state as bytes, at the boundary of one transaction.
//!
//! A [`Snapshot`] is the state as it was at one moment; it is taken in constant time and can be sent
//! to another thread to be encoded there. Znodes are written in the order of their keys, so a parent
//! always comes before its children, and equal states give equal bytes. An access list is written
//! where it first occurs; later znodes name it by its number.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::access::{Access, Lists};
use super::data::Data;
use super::lifetime::Lifetime;
use super::machine::{OpenSession, Sessions, State};
use super::path;
use super::persistent::Map;
use super::stat::Stat;
use super::tree::{Tree, Znode, Znodes, key, path_of};
use super::txn_codec::{list, read_access, write_access};
use crate::jute::{JuteError, Reader, Writer};

/// The state as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    applied: u64,
    znodes: Znodes,
    sessions: Sessions,
    data_size: u64,
}

/// Why bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It was written by another version of this program, or is something else.
    #[error("a snapshot of format {0:#x}, not {FORMAT:#x}")]
    Format(u64),
    /// It holds a malformed value.
    #[error("a malformed snapshot: {0}")]
    Malformed(#[from] JuteError),
    /// A session stands out of order, or its id names no session.
    #[error("a snapshot with the misplaced session {0:#x}")]
    Session(i64),
    /// A znode has no parent, a bad path, or stands out of order.
    #[error("a snapshot with the misplaced path {0:?}")]
    Misplaced(String),
    /// A znode has another number of children than it says.
    #[error("a snapshot in which {path:?} says it has {said} children but has {found}")]
    Children {
        /// Which znode.
        path: String,
        /// What it says.
        said: i32,
        /// What there are.
        found: i32,
    },
    /// An ephemeral znode belongs to no open session.
    #[error("a snapshot in which {path:?} belongs to {session:#x}, which is not open")]
    Owner {
        /// Which znode.
        path: String,
        /// To whom it says that it belongs.
        session: i64,
    },
    /// A znode names an access list that is not there.
    #[error("a snapshot with an unknown access list")]
    AccessList,
}

impl Snapshot {
    pub(super) fn new(applied: u64, znodes: Znodes, sessions: Sessions, data_size: u64) -> Self {
        Self {
            applied,
            znodes,
            sessions,
            data_size,
        }
    }

    /// The last transaction applied before the moment.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let per_znode = (self.znodes.len() * ZNODE_BYTES) as u64;
        let expected = usize::try_from(self.data_size + per_znode).unwrap_or(0);
        let mut out = Writer::with_capacity(expected);
        out.u64(FORMAT).u64(self.applied);
        out.count(self.sessions.len());
        for (id, session) in self.sessions.iter() {
            out.i64(*id).i32(session.timeout_ms).u64(session.connection);
        }
        out.count(self.znodes.len());
        let mut numbers = BTreeMap::new();
        for (key, node) in self.znodes.iter() {
            out.text(&path_of(key));
            node.data.write(&mut out);
            node.stat.write(&mut out);
            out.i32(node.children_created);
            let next = numbers.len();
            let number = *numbers.entry(&node.access[..]).or_insert(next);
            out.count(number);
            if number == next {
                write_access(&node.access, &mut out);
            }
        }
        out.into_bytes()
    }
}

impl State {
    /// The whole state as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.snapshot().encode()
    }

    /// The state that these bytes hold.
    ///
    /// # Errors
    /// If the bytes are not exactly one snapshot of a whole tree.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut input = Reader::new(bytes);
        let format = input.u64()?;
        if format != FORMAT {
            return Err(SnapshotError::Format(format));
        }
        let applied = input.u64()?;
        let sessions = read_sessions(&mut input)?;
        let tree = Loading::default().read(&mut input, &sessions)?;
        input.end()?;
        Ok(Self::from_parts(applied, tree, sessions))
    }
}

fn read_sessions(input: &mut Reader<'_>) -> Result<Sessions, SnapshotError> {
    let mut sessions: Vec<(i64, OpenSession)> = Vec::new();
    for _ in 0..input.count()?.unwrap_or(0) {
        let id = input.i64()?;
        let session = OpenSession {
            timeout_ms: input.i32()?,
            connection: input.u64()?,
        };
        let is_ascending = sessions.last().is_none_or(|(last, _)| *last < id);
        if !is_ascending || Lifetime::of(id) != Lifetime::Ephemeral(id) {
            return Err(SnapshotError::Session(id));
        }
        sessions.push((id, session));
    }
    Ok(Map::from_ascending(sessions))
}

/// The tree while it is read.
#[derive(Default)]
struct Loading {
    znodes: Vec<(Arc<str>, Arc<Znode>)>,
    lists: Lists,
    /// The access lists by their numbers.
    numbered: Vec<Arc<[Access]>>,
    /// Where the parent of the last znode stands, and how many children of it were read. Children of
    /// one parent come one after the other.
    parent: usize,
    children: i32,
}

impl Loading {
    fn read(mut self, input: &mut Reader<'_>, sessions: &Sessions) -> Result<Tree, SnapshotError> {
        let mut said: i64 = 0;
        for _ in 0..input.count()?.unwrap_or(0) {
            let path = input.text()?;
            let key = self.place(path)?;
            let node = self.read_znode(input)?;
            if let Lifetime::Ephemeral(session) = Lifetime::of(node.stat.ephemeral_owner)
                && sessions.get(|id: &i64| id.cmp(&session)).is_none()
            {
                let path = path.to_owned();
                return Err(SnapshotError::Owner { path, session });
            }
            said += i64::from(node.stat.num_children);
            self.znodes.push((key.into(), Arc::new(node)));
        }
        self.check_children()?;
        match self.znodes.first() {
            None => Err(SnapshotError::Misplaced("/".to_owned())),
            // Those that have children say how many; so if the sum is right, the others say none.
            Some((_, root)) if said != self.znodes.len() as i64 - 1 => {
                Err(SnapshotError::Children {
                    path: "/".to_owned(),
                    said: root.stat.num_children,
                    found: self.children,
                })
            }
            Some(_) => Ok(Tree::from_znodes(self.znodes, self.lists)),
        }
    }

    /// The key of the next znode, if it may stand here.
    fn place(&mut self, path: &str) -> Result<String, SnapshotError> {
        let misplaced = || SnapshotError::Misplaced(path.to_owned());
        let key = key(path).filter(|_| path::is_valid_path(path));
        let key = key.ok_or_else(misplaced)?;
        let Some((last, _)) = self.znodes.last() else {
            return if key.is_empty() {
                Ok(key)
            } else {
                Err(misplaced())
            };
        };
        if **last >= *key {
            return Err(misplaced());
        }
        let parent = path::above(path).and_then(super::tree::key);
        let parent = parent.ok_or_else(misplaced)?;
        if *self.znodes[self.parent].0 != *parent {
            let found = self
                .znodes
                .binary_search_by(|(key, _)| (**key).cmp(&parent));
            let found = found.map_err(|_| misplaced())?;
            self.check_children()?;
            (self.parent, self.children) = (found, 0);
        }
        self.children += 1;
        Ok(key)
    }

    /// Demands that the last parent has as many children as it says.
    fn check_children(&self) -> Result<(), SnapshotError> {
        match self.znodes.get(self.parent) {
            Some((key, parent)) if parent.stat.num_children != self.children => {
                Err(SnapshotError::Children {
                    path: path_of(key),
                    said: parent.stat.num_children,
                    found: self.children,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn read_znode(&mut self, input: &mut Reader<'_>) -> Result<Znode, SnapshotError> {
        let data = Data::read(input)?;
        let stat = Stat::read(input)?;
        let children_created = input.i32()?;
        let number = input.count()?.ok_or(SnapshotError::AccessList)?;
        if number == self.numbered.len() {
            let list = list(input, read_access)?;
            self.numbered.push(self.lists.share(list));
        }
        let access = self.numbered.get(number);
        let access = access.ok_or(SnapshotError::AccessList)?;
        let mut node = Znode::new(data, stat, Arc::clone(access));
        node.children_created = children_created;
        Ok(node)
    }
}

/// Marks the format, and says "chaos" to whoever looks at the file.
const FORMAT: u64 = 0x6368_616f_735f_7332;

/// About as many bytes as a znode takes without path and data.
const ZNODE_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{CreateMode, Txn, TxnOp};

    fn create(path: &str, mode: CreateMode, access: Access) -> TxnOp {
        TxnOp::Create {
            path: path.to_owned(),
            data: Data::from(path.as_bytes()),
            access: vec![access],
            mode,
            sequential: false,
        }
    }

    fn sample() -> State {
        let mut state = State::new();
        let limited = Access {
            permissions: 13,
            ..Access::open()
        };
        let ops = [
            TxnOp::OpenSession { timeout_ms: 9 },
            create("/a", CreateMode::Container, Access::open()),
            create("/a/b", CreateMode::Ephemeral, limited.clone()),
            create("/a/c", CreateMode::Ttl { ttl_ms: 50 }, Access::open()),
            create("/a-", CreateMode::Persistent, limited),
            create("/a/c/d", CreateMode::Persistent, Access::open()),
        ];
        for (zxid, op) in (1..).zip(ops) {
            let txn = Txn {
                time_ms: 5,
                session: 3,
                connection: 8,
                ids: Vec::new(),
                op,
            };
            let outcome = state.apply(zxid, &txn, &mut Vec::new());
            assert!(!matches!(outcome, super::super::Outcome::Refused(_)));
        }
        state
    }

    /// The bytes of a snapshot of these znodes and no sessions.
    fn of_znodes(znodes: &[(&str, i32, i64)]) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(FORMAT).u64(1).count(0).count(znodes.len());
        for (at, (path, num_children, ephemeral_owner)) in znodes.iter().enumerate() {
            out.text(path).buffer(b"");
            let stat = Stat {
                num_children: *num_children,
                ephemeral_owner: *ephemeral_owner,
                ..Stat::default()
            };
            stat.write(&mut out);
            out.i32(0).i32(0);
            if at == 0 {
                write_access(&[Access::open()], &mut out);
            }
        }
        out.into_bytes()
    }

    #[test]
    fn a_snapshot_restores_the_same_state() {
        let state = sample();
        let restored = State::decode(&state.encode()).unwrap();
        assert_eq!(restored, state);
        assert_eq!(restored.digest(), state.digest());
        assert_eq!(restored.connection_of(3), Some(8));
        assert_eq!(restored.ephemerals(3).collect::<Vec<_>>(), ["/a/b"]);
        let lists = ["/", "/a", "/a/c/d"].map(|path| &restored.node(path).unwrap().access);
        assert!(lists.iter().all(|list| Arc::ptr_eq(list, lists[0])));
    }

    #[test]
    fn a_snapshot_stays_as_it_was_while_the_state_goes_on() {
        let mut state = sample();
        let (snapshot, bytes) = (state.snapshot(), state.encode());
        let txn = Txn {
            time_ms: 6,
            session: 3,
            connection: 0,
            ids: Vec::new(),
            op: TxnOp::CloseSession,
        };
        state.apply(9, &txn, &mut Vec::new());
        assert_ne!(state.encode(), bytes);
        assert_eq!((snapshot.encode(), snapshot.applied()), (bytes, 6));
    }

    #[test]
    fn a_cut_or_lengthened_snapshot_is_refused() {
        let mut bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(State::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        bytes.push(0);
        assert!(State::decode(&bytes).is_err());
    }

    #[test]
    fn a_snapshot_of_the_first_format_is_refused_by_its_name() {
        let mut bytes = sample().encode();
        bytes[7] = b'1';
        let refused = State::decode(&bytes).unwrap_err();
        let text = "a snapshot of format 0x6368616f735f7331, not 0x6368616f735f7332";
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn znodes_out_of_place_are_refused() {
        let misplaced = |znodes: &[(&str, i32, i64)]| match State::decode(&of_znodes(znodes)) {
            Err(SnapshotError::Misplaced(path)) => path,
            other => panic!("{other:?}"),
        };
        assert!(State::decode(&of_znodes(&[("/", 1, 0), ("/a", 0, 0)])).is_ok());
        assert_eq!(misplaced(&[]), "/");
        assert_eq!(misplaced(&[("/a", 0, 0)]), "/a");
        assert_eq!(misplaced(&[("/", 0, 0), ("/", 0, 0)]), "/");
        assert_eq!(misplaced(&[("/", 1, 0), ("/a/b", 0, 0)]), "/a/b");
        assert_eq!(misplaced(&[("/", 1, 0), ("/a/", 0, 0)]), "/a/");
        assert_eq!(misplaced(&[("/", 1, 0), ("a", 0, 0)]), "a");
        let unordered = [("/", 2, 0), ("/b", 0, 0), ("/a", 0, 0)];
        assert_eq!(misplaced(&unordered), "/a");
    }

    #[test]
    fn children_that_are_not_counted_right_are_refused() {
        for znodes in [
            &[("/", 0, 0), ("/a", 0, 0)][..],
            &[("/", 2, 0), ("/a", 0, 0)],
            &[("/", 1, 0), ("/a", 1, 0)],
            &[("/", 1, 0), ("/a", 2, 0), ("/a/b", 0, 0)],
        ] {
            let refused = State::decode(&of_znodes(znodes));
            assert!(
                matches!(refused, Err(SnapshotError::Children { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn an_ephemeral_znode_without_its_session_is_refused() {
        let znodes = [("/", 1, 0), ("/a", 0, 7)];
        let (path, session) = ("/a".to_owned(), 7);
        assert_eq!(
            State::decode(&of_znodes(&znodes)),
            Err(SnapshotError::Owner { path, session })
        );
    }
}

//! Who wants to hear of which znode.
//!
//! A *one-shot* watch tells of the next change and is gone: one of the data tells that the znode was
//! created, changed or deleted, one of the children tells that children came or went, or that the
//! znode was deleted. A *persistent* watch tells of all of these until it is removed; a *recursive*
//! one tells of the znode and everything below it, but not that children came or went, which their
//! own creation and deletion tell.
//!
//! Invariants: a connection hears of one change once, however many of its watches match; the two
//! indexes hold the same watches; a connection holds no more than [`MAX_WATCH_BYTES`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::protocol::zxid::ConnId;
use crate::state::{Change, ChangeKind};

/// A way to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchKind {
    /// Once: the znode itself.
    Data,
    /// Once: the list of its children.
    Children,
    /// Until removed: the znode itself and the list of its children.
    Persistent,
    /// Until removed: the znode and all below it.
    Recursive,
}

/// Which watches of a znode a client means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchTarget {
    /// Those of this kind.
    Only(WatchKind),
    /// All.
    Any,
}

/// A connection cannot hold more watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyWatches;

/// All watches of the clients of this node.
#[derive(Debug, Default)]
pub struct WatchTable {
    by_path: BTreeMap<Arc<str>, BTreeMap<ConnId, Marks>>,
    by_connection: BTreeMap<ConnId, Held>,
    total: usize,
    recursive: usize,
}

/// The kinds of watches that one connection has on one path: a sum of their bits.
type Marks = u8;

#[derive(Debug, Default)]
struct Held {
    paths: BTreeSet<Arc<str>>,
    bytes: usize,
}

impl WatchTable {
    /// Adds a watch; one that is there already stays.
    ///
    /// # Errors
    /// If the connection holds too many.
    pub fn add(&mut self, conn: ConnId, path: &str, kind: WatchKind) -> Result<(), TooManyWatches> {
        let marks = self.marks(conn, path);
        if marks == 0 {
            let held = self.by_connection.get(&conn).map_or(0, |held| held.bytes);
            if held + cost(path) > MAX_WATCH_BYTES {
                return Err(TooManyWatches);
            }
        }
        self.set(conn, path, marks | kind.bit());
        Ok(())
    }

    /// Removes watches. Tells if there were any.
    pub fn remove(&mut self, conn: ConnId, path: &str, target: WatchTarget) -> bool {
        let marks = self.marks(conn, path);
        self.set(conn, path, marks & !target.bits());
        marks & target.bits() != 0
    }

    /// Whether there are such watches.
    #[must_use]
    pub fn contains(&self, conn: ConnId, path: &str, target: WatchTarget) -> bool {
        self.marks(conn, path) & target.bits() != 0
    }

    /// Removes all watches of a connection.
    pub fn forget(&mut self, conn: ConnId) {
        let held = self.by_connection.remove(&conn).unwrap_or_default();
        for path in held.paths {
            let Some(watchers) = self.by_path.get_mut(&path) else {
                continue;
            };
            let marks = watchers.remove(&conn).unwrap_or(0);
            self.total -= count(marks);
            self.recursive -= usize::from(marks & RECURSIVE != 0);
            if watchers.is_empty() {
                self.by_path.remove(&path);
            }
        }
    }

    /// The connections that hear of a change, in order. Their one-shot watches of it are gone.
    pub fn fire(&mut self, change: &Change) -> BTreeSet<ConnId> {
        let mut hearing = BTreeSet::new();
        if self.is_empty() {
            return hearing;
        }
        let (once, always) = match change.kind {
            ChangeKind::Created | ChangeKind::DataChanged => (DATA, PERSISTENT | RECURSIVE),
            ChangeKind::Deleted => (DATA | CHILDREN, PERSISTENT | RECURSIVE),
            ChangeKind::ChildrenChanged => (CHILDREN, PERSISTENT),
        };
        let mut spent = Vec::new();
        for (conn, marks) in self.by_path.get(&*change.path).into_iter().flatten() {
            if marks & (once | always) != 0 {
                hearing.insert(*conn);
            }
            if marks & once != 0 {
                spent.push((*conn, marks & !once));
            }
        }
        for (conn, marks) in spent {
            self.set(conn, &change.path, marks);
        }
        if self.recursive > 0 && change.kind != ChangeKind::ChildrenChanged {
            self.fire_above(&change.path, &mut hearing);
        }
        hearing
    }

    /// Whether nobody watches anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// How many watches there are.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// How many paths are watched.
    #[must_use]
    pub fn path_count(&self) -> usize {
        self.by_path.len()
    }

    /// How many connections watch.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.by_connection.len()
    }

    /// Each watched path with the connections that watch it.
    pub fn paths(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        self.by_path
            .iter()
            .map(|(path, watchers)| (&**path, watchers.keys().copied()))
    }

    /// Each connection that watches with the paths that it watches.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, impl Iterator<Item = &str>)> {
        self.by_connection
            .iter()
            .map(|(conn, held)| (*conn, held.paths.iter().map(|path| &**path)))
    }

    /// Those that watch everything below an ancestor of this path.
    fn fire_above(&self, path: &str, hearing: &mut BTreeSet<ConnId>) {
        let mut below = path;
        while below.len() > 1
            && let Some(slash) = below.rfind('/')
        {
            below = if slash == 0 { "/" } else { &below[..slash] };
            for (conn, marks) in self.by_path.get(below).into_iter().flatten() {
                if marks & RECURSIVE != 0 {
                    hearing.insert(*conn);
                }
            }
        }
    }

    fn marks(&self, conn: ConnId, path: &str) -> Marks {
        let watchers = self.by_path.get(path);
        watchers
            .and_then(|watchers| watchers.get(&conn))
            .copied()
            .unwrap_or(0)
    }

    fn set(&mut self, conn: ConnId, path: &str, marks: Marks) {
        let before = self.marks(conn, path);
        self.total = self.total + count(marks) - count(before);
        self.recursive = self.recursive + usize::from(marks & RECURSIVE != 0)
            - usize::from(before & RECURSIVE != 0);
        match (before, marks) {
            (0, 0) => {}
            (_, 0) => self.take_out(conn, path),
            (0, _) => {
                let path: Arc<str> = match self.by_path.get_key_value(path) {
                    Some((known, _)) => Arc::clone(known),
                    None => Arc::from(path),
                };
                let held = self.by_connection.entry(conn).or_default();
                held.bytes += cost(&path);
                held.paths.insert(Arc::clone(&path));
                self.by_path.entry(path).or_default().insert(conn, marks);
            }
            (_, _) => {
                if let Some(watchers) = self.by_path.get_mut(path) {
                    watchers.insert(conn, marks);
                }
            }
        }
    }

    fn take_out(&mut self, conn: ConnId, path: &str) {
        if let Some(watchers) = self.by_path.get_mut(path) {
            watchers.remove(&conn);
            if watchers.is_empty() {
                self.by_path.remove(path);
            }
        }
        if let Some(held) = self.by_connection.get_mut(&conn) {
            held.paths.remove(path);
            held.bytes -= cost(path);
            if held.paths.is_empty() {
                self.by_connection.remove(&conn);
            }
        }
    }
}

impl WatchKind {
    const fn bit(self) -> Marks {
        match self {
            Self::Data => DATA,
            Self::Children => CHILDREN,
            Self::Persistent => PERSISTENT,
            Self::Recursive => RECURSIVE,
        }
    }
}

impl WatchTarget {
    const fn bits(self) -> Marks {
        match self {
            Self::Only(kind) => kind.bit(),
            Self::Any => DATA | CHILDREN | PERSISTENT | RECURSIVE,
        }
    }
}

/// What a watched path counts against the bound: its bytes, and about what the indexes take.
const fn cost(path: &str) -> usize {
    path.len() + 128
}

fn count(marks: Marks) -> usize {
    usize::try_from(marks.count_ones()).unwrap_or(0)
}

/// How much one connection may hold: some 200,000 watches of ordinary paths.
pub const MAX_WATCH_BYTES: usize = 32 << 20;

const DATA: Marks = 1;
const CHILDREN: Marks = 2;
const PERSISTENT: Marks = 4;
const RECURSIVE: Marks = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::Access;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);

    fn fire(table: &mut WatchTable, kind: ChangeKind, path: &str) -> Vec<ConnId> {
        let path = path.to_owned();
        let access = Arc::from([Access::open()]);
        let change = Change { kind, path, access };
        table.fire(&change).into_iter().collect()
    }

    #[test]
    fn a_one_shot_watch_tells_once() {
        let mut table = WatchTable::default();
        table.add(A, "/a", WatchKind::Data).unwrap();
        assert_eq!(fire(&mut table, ChangeKind::ChildrenChanged, "/a"), []);
        assert_eq!(fire(&mut table, ChangeKind::DataChanged, "/a"), [A]);
        assert_eq!(fire(&mut table, ChangeKind::DataChanged, "/a"), []);
        assert!(table.is_empty());
    }

    #[test]
    fn a_deletion_tells_both_one_shot_watches_in_one_event() {
        let mut table = WatchTable::default();
        table.add(A, "/a", WatchKind::Data).unwrap();
        table.add(A, "/a", WatchKind::Children).unwrap();
        table.add(B, "/a", WatchKind::Children).unwrap();
        assert_eq!(table.total(), 3);
        assert_eq!(fire(&mut table, ChangeKind::Deleted, "/a"), [A, B]);
        assert_eq!((table.total(), table.is_empty()), (0, true));
    }

    #[test]
    fn a_watch_of_the_data_survives_a_change_of_the_children() {
        let mut table = WatchTable::default();
        table.add(A, "/a", WatchKind::Data).unwrap();
        table.add(A, "/a", WatchKind::Children).unwrap();
        assert_eq!(fire(&mut table, ChangeKind::ChildrenChanged, "/a"), [A]);
        assert!(table.contains(A, "/a", WatchTarget::Only(WatchKind::Data)));
        assert!(!table.contains(A, "/a", WatchTarget::Only(WatchKind::Children)));
    }

    #[test]
    fn a_persistent_watch_tells_of_one_znode_again_and_again() {
        let mut table = WatchTable::default();
        table.add(A, "/a", WatchKind::Persistent).unwrap();
        for kind in [
            ChangeKind::Deleted,
            ChangeKind::Created,
            ChangeKind::ChildrenChanged,
            ChangeKind::DataChanged,
        ] {
            assert_eq!(fire(&mut table, kind, "/a"), [A]);
            assert_eq!(fire(&mut table, kind, "/a/b"), []);
        }
    }

    #[test]
    fn a_recursive_watch_tells_of_all_below_but_not_of_lists_of_children() {
        let mut table = WatchTable::default();
        table.add(A, "/a", WatchKind::Recursive).unwrap();
        table.add(B, "/", WatchKind::Recursive).unwrap();
        for path in ["/a", "/a/b", "/a/b/c"] {
            assert_eq!(fire(&mut table, ChangeKind::Created, path), [A, B]);
            assert_eq!(fire(&mut table, ChangeKind::ChildrenChanged, path), []);
        }
        assert_eq!(fire(&mut table, ChangeKind::Created, "/ab"), [B]);
    }

    #[test]
    fn only_the_named_watches_are_removed() {
        let mut table = WatchTable::default();
        for kind in [WatchKind::Data, WatchKind::Children, WatchKind::Persistent] {
            table.add(A, "/a", kind).unwrap();
        }
        table.add(B, "/a", WatchKind::Data).unwrap();
        let children = WatchTarget::Only(WatchKind::Children);
        assert!(table.remove(A, "/a", children));
        assert!(!table.remove(A, "/a", children));
        assert!(table.remove(A, "/a", WatchTarget::Any));
        assert!(!table.contains(A, "/a", WatchTarget::Any));
        assert!(table.contains(B, "/a", WatchTarget::Any));
    }

    #[test]
    fn a_connection_cannot_hold_more_than_its_share() {
        let mut table = WatchTable::default();
        let long = "x".repeat(1 << 20);
        let held = (0..100)
            .take_while(|n| {
                table
                    .add(A, &format!("/{n}{long}"), WatchKind::Data)
                    .is_ok()
            })
            .count();
        assert_eq!(held, 31);
        assert_eq!(table.add(A, "/0", WatchKind::Data), Ok(()));
        table.forget(A);
        assert_eq!(table.add(A, &long, WatchKind::Data), Ok(()));
    }

    proptest! {
        /// Against a plain list of watches.
        #[test]
        fn the_table_agrees_with_a_list(steps in proptest::collection::vec((0..4_u8, 0..3_u64, 0..5_usize, 0..4_usize), 0..60)) {
            let paths = ["/", "/a", "/a/b", "/a/b/c", "/b"];
            let kinds = [WatchKind::Data, WatchKind::Children, WatchKind::Persistent, WatchKind::Recursive];
            let changes = [ChangeKind::Created, ChangeKind::Deleted, ChangeKind::DataChanged, ChangeKind::ChildrenChanged];
            let mut table = WatchTable::default();
            let mut list: Vec<(ConnId, &str, WatchKind)> = Vec::new();
            for (step, conn, path, kind) in steps {
                let (conn, path) = (ConnId(conn), paths[path]);
                match step {
                    0 | 1 => {
                        table.add(conn, path, kinds[kind]).unwrap();
                        if !list.contains(&(conn, path, kinds[kind])) {
                            list.push((conn, path, kinds[kind]));
                        }
                    }
                    2 => {
                        table.forget(conn);
                        list.retain(|(other, ..)| *other != conn);
                    }
                    _ => {
                        let change = changes[kind];
                        let hears = |(_, at, watch): &(ConnId, &str, WatchKind)| match watch {
                            WatchKind::Data => *at == path && change != ChangeKind::ChildrenChanged,
                            WatchKind::Children => *at == path && matches!(change, ChangeKind::Deleted | ChangeKind::ChildrenChanged),
                            WatchKind::Persistent => *at == path,
                            WatchKind::Recursive => {
                                change != ChangeKind::ChildrenChanged
                                    && (*at == "/" || path == *at || path.starts_with(&format!("{at}/")))
                            }
                        };
                        let mut expected: Vec<ConnId> = list.iter().filter(|watch| hears(watch)).map(|(conn, ..)| *conn).collect();
                        expected.sort();
                        expected.dedup();
                        prop_assert_eq!(fire(&mut table, change, path), expected);
                        list.retain(|watch| !(hears(watch) && matches!(watch.2, WatchKind::Data | WatchKind::Children)));
                    }
                }
                prop_assert_eq!(table.total(), list.len());
                prop_assert_eq!(table.is_empty(), list.is_empty());
            }
        }
    }
}

//! The tree of znodes, with everything that is derived from it kept true at every change.
//!
//! Znodes lie in one ordered map. The *key* of a znode is its path with the last slash replaced by a
//! zero character, which no path contains: so the children of a znode stand next to each other, in
//! the order of their names, and behind their parent. The key of the root is empty.
//!
//! The *digest* is the wrapping sum of a keyed hash over every znode. A sum does not depend on order,
//! so it is kept up to date by subtracting what changes and adding what it became: its cost does not
//! grow with the tree. The data of a znode goes into its hash as a hash of its own, made once when
//! the data is set.
//!
//! Invariants: every znode but the root has a parent that counts it as a child; the indexes hold
//! exactly the znodes that their comments say.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::access::{Access, Lists, permission};
use super::data::Data;
use super::lifetime::Lifetime;
use super::persistent::Map;
use super::stat::Stat;
use super::txn_codec::write_access;
use crate::jute::Writer;
use crate::siphash::siphash;

/// One node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// What clients stored.
    pub data: Data,
    /// The rest; `data_length` and `num_children` are kept true.
    pub stat: Stat,
    /// Who may do what with it.
    pub access: Arc<[Access]>,
    /// How many children were ever created: the number of the next sequential one. Wraps.
    pub(super) children_created: i32,
    data_hash: u64,
}

/// Znodes by key.
pub(super) type Znodes = Map<Arc<str>, Arc<Znode>>;

/// The tree.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    znodes: Znodes,
    /// Ephemeral znodes, by session and path.
    ephemerals: BTreeSet<(i64, String)>,
    /// Childless containers that have had a child, and childless TTL znodes: after which instant each
    /// may be deleted, in milliseconds since 1970, and its path.
    reapable: BTreeSet<(i64, String)>,
    pub(super) lists: Lists,
    digest: u64,
    data_size: u64,
    /// What the znodes were before they changed, while changes may still be undone.
    journal: Option<Vec<(String, Option<Arc<Znode>>)>>,
}

impl PartialEq for Tree {
    /// Which lists are shared and what could be undone makes no difference.
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
            && self.data_size == other.data_size
            && self.ephemerals == other.ephemerals
            && self.reapable == other.reapable
            && self.znodes == other.znodes
    }
}

impl Eq for Tree {}

impl Znode {
    pub(super) fn new(data: Data, stat: Stat, access: Arc<[Access]>) -> Self {
        let mut node = Self {
            data: Data::default(),
            stat,
            access,
            children_created: 0,
            data_hash: 0,
        };
        node.set_data(data);
        node
    }

    pub(super) fn set_data(&mut self, data: Data) {
        self.data_hash = if data.is_none() {
            NO_DATA_HASH
        } else {
            siphash(DATA_KEY, &data)
        };
        self.stat.data_length =
            i32::try_from(data.len()).expect("data arrives in frames of at most 1 MiB");
        self.data = data;
    }

    /// Counts a child that this transaction creates (1) or deletes (−1).
    pub(super) const fn count_child(&mut self, zxid: u64, change: i32) {
        if change > 0 {
            self.children_created = self.children_created.wrapping_add(1);
        }
        self.stat.num_children += change;
        self.stat.pzxid = zxid;
        self.count_versions();
    }

    /// The version of the children that clients see counts creates and deletes: as many of both as
    /// creates twice over, without the children that are left. Those that were there from the start
    /// were never created.
    const fn count_versions(&mut self) {
        let twice = self.children_created.wrapping_mul(2);
        self.stat.cversion = twice.wrapping_sub(self.stat.num_children);
    }

    /// After which instant it may be deleted without being asked for, if ever.
    pub(super) fn due_after_ms(&self) -> Option<i64> {
        match Lifetime::of(self.stat.ephemeral_owner) {
            _ if self.stat.num_children > 0 => None,
            Lifetime::Container => (self.children_created != 0).then_some(i64::MIN),
            Lifetime::Ttl(ttl_ms) => Some(self.stat.mtime.saturating_add(ttl_ms)),
            Lifetime::Persistent | Lifetime::Ephemeral(_) => None,
        }
    }

    fn hash(&self, path: &str) -> u64 {
        let mut bytes = Writer::with_capacity(path.len() + HASHED_BYTES);
        bytes.text(path).u64(self.data_hash);
        bytes.i32(self.children_created);
        self.stat.write(&mut bytes);
        write_access(&self.access, &mut bytes);
        siphash(NODE_KEY, &bytes.into_bytes())
    }
}

impl Tree {
    /// The tree before the first transaction: the root, and the znodes that clients expect below
    /// `/zookeeper`.
    pub(super) fn new() -> Self {
        let mut tree = Self::empty();
        let open = tree.lists.share(vec![Access::open()]);
        let read_only = vec![Access::to_everybody(permission::READ)];
        let read_only = tree.lists.share(read_only);
        for (path, children) in [(ROOT, 1), (SYSTEM, 2), (CONFIG, 0), (QUOTA, 0)] {
            let access = if path == CONFIG { &read_only } else { &open };
            let mut node = Znode::new(Data::from(b""), Stat::default(), Arc::clone(access));
            node.stat.num_children = children;
            node.count_versions();
            tree.insert(path, node);
        }
        tree
    }

    /// From znodes in the order of their keys, whose counts are right.
    pub(super) fn from_znodes(znodes: Vec<(Arc<str>, Arc<Znode>)>, lists: Lists) -> Self {
        let mut tree = Self::empty();
        for (key, node) in &znodes {
            let path = path_of(key);
            tree.account(&path, None, Some(&Facts::of(&path, node)));
        }
        tree.znodes = Map::from_ascending(znodes);
        tree.lists = lists;
        tree
    }

    /// Forgets which session owns which znodes: what a planted bug does.
    pub(super) fn forget_owners(&mut self) {
        self.ephemerals.clear();
    }

    fn empty() -> Self {
        Self {
            znodes: Map::default(),
            ephemerals: BTreeSet::new(),
            reapable: BTreeSet::new(),
            lists: Lists::default(),
            digest: 0,
            data_size: 0,
            journal: None,
        }
    }

    /// Changes from here on may be undone, until they are kept.
    pub(super) fn begin(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// Keeps what was changed.
    pub(super) fn keep(&mut self) {
        self.journal = None;
    }

    /// Undoes what was changed.
    pub(super) fn undo(&mut self) {
        for (path, node) in self.journal.take().into_iter().flatten().rev() {
            self.set(&path, node);
        }
    }

    /// Puts a new znode in. Its parent must count it.
    pub(super) fn insert(&mut self, path: &str, node: Znode) {
        self.set(path, Some(Arc::new(node)));
    }

    /// Takes a znode out. Its parent must no longer count it.
    pub(super) fn remove(&mut self, path: &str) {
        self.set(path, None);
    }

    /// Changes an existing znode, and gives its new stat.
    pub(super) fn change(&mut self, path: &str, change: impl FnOnce(&mut Znode)) -> Stat {
        let place = Place::of(path).expect("callers looked the znode up just before");
        let place = |key: &Arc<str>| place.compare(key);
        if let Some(journal) = &mut self.journal {
            journal.push((path.to_owned(), self.znodes.get(place).cloned()));
        }
        let node = self
            .znodes
            .get_mut(place)
            .expect("callers looked the znode up just before");
        let before = Facts::of(path, node);
        change(Arc::make_mut(node));
        let (stat, after) = (node.stat, Facts::of(path, node));
        self.account(path, Some(&before), Some(&after));
        stat
    }

    pub(super) fn get(&self, path: &str) -> Option<&Znode> {
        let place = Place::of(path)?;
        let found = self.znodes.get(|key: &Arc<str>| place.compare(key));
        found.map(|node| &**node)
    }

    /// The names of the children of a path, in ascending order.
    pub(super) fn children(&self, path: &str) -> impl Iterator<Item = &str> + use<'_> {
        let mut start = if path == ROOT { "" } else { path }.to_owned();
        start.push(SEPARATOR);
        self.znodes
            .iter_from(|key: &Arc<str>| (**key).cmp(&start))
            .map_while(move |(key, _)| key.strip_prefix(&start))
    }

    pub(super) const fn znodes(&self) -> &Znodes {
        &self.znodes
    }

    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) const fn data_size(&self) -> u64 {
        self.data_size
    }

    pub(super) const fn ephemerals(&self) -> &BTreeSet<(i64, String)> {
        &self.ephemerals
    }

    pub(super) const fn reapable(&self) -> &BTreeSet<(i64, String)> {
        &self.reapable
    }

    /// Replaces a znode, which may be absent before or after.
    fn set(&mut self, path: &str, node: Option<Arc<Znode>>) {
        let key = key(path).expect("callers checked the path");
        let after = node.as_deref().map(|node| Facts::of(path, node));
        let old = match node {
            Some(node) => self.znodes.insert(Arc::from(key), node),
            None => self.znodes.remove(|other: &Arc<str>| (**other).cmp(&key)),
        };
        let before = old.as_deref().map(|node| Facts::of(path, node));
        self.account(path, before.as_ref(), after.as_ref());
        if let Some(journal) = &mut self.journal {
            journal.push((path.to_owned(), old));
        }
    }

    /// Keeps what is derived from the znodes true when one changes.
    fn account(&mut self, path: &str, before: Option<&Facts>, after: Option<&Facts>) {
        if let Some(facts) = before {
            self.digest = self.digest.wrapping_sub(facts.hash);
            self.data_size -= facts.size;
        }
        if let Some(facts) = after {
            self.digest = self.digest.wrapping_add(facts.hash);
            self.data_size += facts.size;
        }
        let facts = |of: fn(&Facts) -> Option<i64>| (before.and_then(of), after.and_then(of));
        move_entry(&mut self.ephemerals, path, facts(|facts| facts.session));
        move_entry(&mut self.reapable, path, facts(|facts| facts.due_after_ms));
    }
}

/// What the tree derives from one znode.
struct Facts {
    hash: u64,
    size: u64,
    /// The session of an ephemeral one.
    session: Option<i64>,
    due_after_ms: Option<i64>,
}

impl Facts {
    fn of(path: &str, node: &Znode) -> Self {
        let session = match Lifetime::of(node.stat.ephemeral_owner) {
            Lifetime::Ephemeral(session) => Some(session),
            Lifetime::Persistent | Lifetime::Container | Lifetime::Ttl(_) => None,
        };
        Self {
            hash: node.hash(path),
            size: (path.len() + node.data.len()) as u64,
            session,
            due_after_ms: node.due_after_ms(),
        }
    }
}

/// Moves the entry of a path in an index.
fn move_entry(
    index: &mut BTreeSet<(i64, String)>,
    path: &str,
    (before, after): (Option<i64>, Option<i64>),
) {
    if before == after {
        return;
    }
    if let Some(before) = before {
        index.remove(&(before, path.to_owned()));
    }
    if let Some(after) = after {
        index.insert((after, path.to_owned()));
    }
}

/// Where the key of a path stands among the others.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: &'a str,
    /// None for the root.
    name: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// `None` if the path has no slash, and so is none.
    fn of(path: &'a str) -> Option<Self> {
        if path == ROOT {
            let (parent, name) = ("", None);
            return Some(Self { parent, name });
        }
        let (parent, name) = path.rsplit_once('/')?;
        let name = Some(name);
        Some(Self { parent, name })
    }

    /// How a key compares with that of this path, as if that were written out.
    fn compare(self, key: &str) -> Ordering {
        let (key, parent) = (key.as_bytes(), self.parent.as_bytes());
        let Some(name) = self.name else {
            return key.len().cmp(&0);
        };
        let Some((start, rest)) = key.split_at_checked(parent.len()) else {
            return key.cmp(parent);
        };
        start.cmp(parent).then_with(|| match rest.split_first() {
            None => Ordering::Less,
            Some((separator, rest)) => {
                let expected = &(SEPARATOR as u8);
                separator
                    .cmp(expected)
                    .then_with(|| rest.cmp(name.as_bytes()))
            }
        })
    }
}

/// The key of a path; `None` if it has no slash, and so is none.
pub(super) fn key(path: &str) -> Option<String> {
    let Place { parent, name } = Place::of(path)?;
    let mut key = String::with_capacity(path.len());
    if let Some(name) = name {
        key.push_str(parent);
        key.push(SEPARATOR);
        key.push_str(name);
    }
    Some(key)
}

/// The path of a key.
pub(super) fn path_of(key: &str) -> String {
    match key.split_once(SEPARATOR) {
        None => ROOT.to_owned(),
        Some((parent, name)) => [parent, "/", name].concat(),
    }
}

/// Whether a path names a znode that is never deleted.
pub(super) fn is_reserved(path: &str) -> bool {
    [ROOT, SYSTEM, CONFIG, QUOTA].contains(&path)
}

const ROOT: &str = "/";
const SYSTEM: &str = "/zookeeper";
const CONFIG: &str = "/zookeeper/config";
const QUOTA: &str = "/zookeeper/quota";

/// Between the path of the parent and the name, in a key.
const SEPARATOR: char = '\0';

/// The keys only keep hashes of different things apart.
const NODE_KEY: (u64, u64) = (0, 1);
const DATA_KEY: (u64, u64) = (0, 3);
/// Stands for no data at all; what is empty has a hash like any other.
const NO_DATA_HASH: u64 = 0;

/// About as many bytes as go into the hash of a znode beside its path.
const HASHED_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_stands_behind_those_of_all_ancestors_and_beside_its_siblings() {
        let paths = ["/", "/a", "/b", "/a/x", "/a/y", "/a-/x", "/a/x/z", "/b/x"];
        let keys: Vec<String> = paths.iter().filter_map(|path| key(path)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert!(keys.iter().map(|key| path_of(key)).eq(paths));
        assert_eq!(key("a"), None);
    }

    proptest! {
        #[test]
        fn a_place_compares_as_the_key_does(a in "(/[ab\\-\u{e9}]{0,2}){1,3}", b in "(/[ab\\-\u{e9}]{0,2}){1,3}") {
            let (key_a, key_b) = (key(&a).unwrap(), key(&b).unwrap());
            prop_assert_eq!(Place::of(&b).unwrap().compare(&key_a), key_a.cmp(&key_b));
        }
    }
}

//! An ordered map that is cloned in constant time: a B+ tree whose nodes are shared between clones.
//!
//! A write copies the nodes on its way down that a clone still shares, and changes the others in
//! place (Driscoll, Sarnak, Sleator, Tarjan: "Making data structures persistent", 1989). So the state
//! machine goes on while another thread reads the map as it was.
//!
//! Entries lie in *leaves*, in ascending order. A *branch* has for each child a *bound*: at most every
//! key of that child and above every key of the one before. The bound of a first child is not looked
//! at. Where a key stands is given as a function that compares another key with it, so that looking
//! one up needs no key of the stored kind. Invariant: no node but the root is empty or holds more than [`CAPACITY`].

use std::cmp::Ordering;
use std::slice;
use std::sync::Arc;

/// An ordered map.
#[derive(Debug)]
pub(super) struct Map<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

#[derive(Debug, Clone)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Branch(Vec<Child<K, V>>),
}

#[derive(Debug, Clone)]
struct Child<K, V> {
    bound: K,
    node: Arc<Node<K, V>>,
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self {
            root: Arc::clone(&self.root),
            len: self.len,
        }
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self {
            root: Arc::new(Node::Leaf(Vec::new())),
            len: 0,
        }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
            || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for Map<K, V> {}

impl<K: Clone, V> Map<K, V> {
    /// From entries in strictly ascending order; costs much less than as many inserts.
    pub(super) fn from_ascending(entries: Vec<(K, V)>) -> Self
    where
        K: Ord,
    {
        debug_assert!(entries.is_sorted_by(|(a, _), (b, _)| a < b));
        let len = entries.len();
        let mut level: Vec<Child<K, V>> = chunks(entries)
            .map(|leaf| Child {
                bound: leaf[0].0.clone(),
                node: Arc::new(Node::Leaf(leaf)),
            })
            .collect();
        while level.len() > 1 {
            level = chunks(level)
                .map(|branch| Child {
                    bound: branch[0].bound.clone(),
                    node: Arc::new(Node::Branch(branch)),
                })
                .collect();
        }
        level.pop().map_or_else(Self::default, |root| Self {
            root: root.node,
            len,
        })
    }
}

impl<K: Clone + Ord, V: Clone> Map<K, V> {
    /// Puts an entry in and gives the value that it replaces.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (old, split) = Arc::make_mut(&mut self.root).insert(key, value);
        if let Some(right) = split {
            let left = Child {
                bound: right.bound.clone(),
                node: Arc::clone(&self.root),
            };
            self.root = Arc::new(Node::Branch(vec![left, right]));
        }
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes an entry out. For a key that is not there, nodes may be copied for nothing.
    pub(super) fn remove(&mut self, place: impl Fn(&K) -> Ordering + Copy) -> Option<V> {
        let old = Arc::make_mut(&mut self.root).remove(place)?;
        self.len -= 1;
        while let Node::Branch(children) = &*self.root
            && let [only] = &children[..]
        {
            self.root = Arc::clone(&only.node);
        }
        if self.len == 0 {
            *self = Self::default();
        }
        Some(old)
    }

    /// The value of a key, to be changed. For a key that is not there, nodes may be copied for nothing.
    pub(super) fn get_mut(&mut self, place: impl Fn(&K) -> Ordering + Copy) -> Option<&mut V> {
        let mut node = Arc::make_mut(&mut self.root);
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = find(entries, place).ok()?;
                    return Some(&mut entries[at].1);
                }
                Node::Branch(children) => {
                    let at = child_of(children, place);
                    node = Arc::make_mut(&mut children[at].node);
                }
            }
        }
    }
}

impl<K, V> Map<K, V> {
    /// How many entries there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The value of a key.
    pub(super) fn get(&self, place: impl Fn(&K) -> Ordering + Copy) -> Option<&V> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => return find(entries, place).ok().map(|at| &entries[at].1),
                Node::Branch(children) => node = &children[child_of(children, place)].node,
            }
        }
    }

    /// All entries, in ascending order.
    pub(super) fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter::new(self.len);
        iter.descend(&self.root);
        iter
    }

    /// The entries from a key on, in ascending order.
    pub(super) fn iter_from(&self, place: impl Fn(&K) -> Ordering + Copy) -> Iter<'_, K, V> {
        let mut iter = Iter::new(self.len);
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = find(entries, place).unwrap_or_else(|at| at);
                    iter.leaf = entries[at..].iter();
                    return iter;
                }
                Node::Branch(children) => {
                    let at = child_of(children, place);
                    iter.branches.push(children[at + 1..].iter());
                    node = &children[at].node;
                }
            }
        }
    }
}

impl<K: Clone + Ord, V: Clone> Node<K, V> {
    /// Puts an entry in. Gives the value that it replaces, and what no longer fits.
    fn insert(&mut self, key: K, value: V) -> (Option<V>, Option<Child<K, V>>) {
        match self {
            Self::Leaf(entries) => match find(entries, |other: &K| other.cmp(&key)) {
                Ok(at) => (Some(std::mem::replace(&mut entries[at].1, value)), None),
                Err(at) => {
                    entries.insert(at, (key, value));
                    // Keys that only grow, such as sequential names, fill their leaves this way.
                    let right = overflow(entries, at + 1 == entries.len());
                    let right = right.map(|right| Child {
                        bound: right[0].0.clone(),
                        node: Arc::new(Self::Leaf(right)),
                    });
                    (None, right)
                }
            },
            Self::Branch(children) => {
                let at = child_of(children, |other: &K| other.cmp(&key));
                let (old, split) = Arc::make_mut(&mut children[at].node).insert(key, value);
                let right = split.and_then(|child| {
                    children.insert(at + 1, child);
                    overflow(children, at + 2 == children.len())
                });
                let right = right.map(|right| Child {
                    bound: right[0].bound.clone(),
                    node: Arc::new(Self::Branch(right)),
                });
                (old, right)
            }
        }
    }

    fn remove(&mut self, place: impl Fn(&K) -> Ordering + Copy) -> Option<V> {
        match self {
            Self::Leaf(entries) => find(entries, place).ok().map(|at| entries.remove(at).1),
            Self::Branch(children) => {
                let at = child_of(children, place);
                let child = Arc::make_mut(&mut children[at].node);
                let old = child.remove(place)?;
                if child.len() == 0 {
                    children.remove(at);
                } else if child.len() < CAPACITY / 4 && children.len() > 1 {
                    join(children, at.min(children.len() - 2));
                }
                Some(old)
            }
        }
    }
}

impl<K, V> Node<K, V> {
    const fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Branch(children) => children.len(),
        }
    }
}

/// Makes one node of two neighbours, or two of equal size if they do not fit into one.
fn join<K: Clone, V: Clone>(children: &mut Vec<Child<K, V>>, left: usize) {
    let right = children.remove(left + 1);
    let bound = right.bound;
    let node = Arc::unwrap_or_clone(right.node);
    let rest = match (Arc::make_mut(&mut children[left].node), node) {
        (Node::Leaf(entries), Node::Leaf(more)) => {
            entries.extend(more);
            overflow(entries, false).map(|right| Child {
                bound: right[0].0.clone(),
                node: Arc::new(Node::Leaf(right)),
            })
        }
        (Node::Branch(below), Node::Branch(mut more)) => {
            // It is no longer a first child, so its bound counts from now on.
            more[0].bound = bound;
            below.extend(more);
            overflow(below, false).map(|right| Child {
                bound: right[0].bound.clone(),
                node: Arc::new(Node::Branch(right)),
            })
        }
        (Node::Leaf(_), Node::Branch(_)) | (Node::Branch(_), Node::Leaf(_)) => {
            unreachable!("all leaves lie at one depth")
        }
    };
    if let Some(rest) = rest {
        children.insert(left + 1, rest);
    }
}

/// What goes into a new right neighbour of a node that holds too much: the half, or the last item
/// alone.
fn overflow<T>(items: &mut Vec<T>, last_only: bool) -> Option<Vec<T>> {
    if items.len() <= CAPACITY {
        return None;
    }
    let at = if last_only {
        items.len() - 1
    } else {
        items.len() / 2
    };
    Some(items.split_off(at))
}

fn find<K, V>(entries: &[(K, V)], place: impl Fn(&K) -> Ordering + Copy) -> Result<usize, usize> {
    entries.binary_search_by(|(key, _)| place(key))
}

fn child_of<K, V>(children: &[Child<K, V>], place: impl Fn(&K) -> Ordering + Copy) -> usize {
    children[1..].partition_point(|child| place(&child.bound).is_le())
}

/// Cuts a vector into vectors of [`CAPACITY`] items; the last may be shorter.
fn chunks<T>(items: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || {
        let chunk: Vec<T> = items.by_ref().take(CAPACITY).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Goes over entries in ascending order.
#[derive(Debug)]
pub(super) struct Iter<'a, K, V> {
    /// What is still to be visited of each branch above the leaf, outermost first.
    branches: Vec<slice::Iter<'a, Child<K, V>>>,
    leaf: slice::Iter<'a, (K, V)>,
    /// At least as many as are left.
    most: usize,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn new(most: usize) -> Self {
        Self {
            branches: Vec::new(),
            leaf: [].iter(),
            most,
        }
    }

    /// Goes to the first leaf below this node.
    fn descend(&mut self, mut node: &'a Node<K, V>) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries.iter();
                    return;
                }
                Node::Branch(children) => {
                    let mut rest = children.iter();
                    let Some(first) = rest.next() else { return };
                    self.branches.push(rest);
                    node = &first.node;
                }
            }
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            match self.branches.last_mut()?.next() {
                Some(child) => self.descend(&child.node),
                None => {
                    self.branches.pop();
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.leaf.len(), Some(self.most))
    }
}

/// Items of one node: few enough that copying one costs little, enough that the tree stays low.
const CAPACITY: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(key: u16) -> impl Fn(&u16) -> Ordering + Copy {
        move |other| other.cmp(&key)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16, u8),
        Remove(u16),
        Change(u16, u8),
        /// Keep a clone of the map as it is.
        Clone,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = 0..400_u16;
        let step = prop_oneof![
            6 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
            5 => key.clone().prop_map(Step::Remove),
            2 => (key, any::<u8>()).prop_map(|(key, value)| Step::Change(key, value)),
            1 => Just(Step::Clone),
        ];
        proptest::collection::vec(step, 0..1500)
    }

    /// Checks order, bounds and sizes, and gives the depth.
    fn check<V>(
        node: &Node<u16, V>,
        least: Option<u16>,
        most: Option<u16>,
        is_root: bool,
    ) -> usize {
        assert!(node.len() <= CAPACITY && (is_root || node.len() > 0));
        match node {
            Node::Leaf(entries) => {
                assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
                assert!(
                    entries
                        .iter()
                        .all(|(key, _)| least.is_none_or(|least| least <= *key))
                );
                assert!(
                    entries
                        .iter()
                        .all(|(key, _)| most.is_none_or(|most| *key < most))
                );
                1
            }
            Node::Branch(children) => {
                let depths: Vec<usize> = (0..children.len())
                    .map(|at| {
                        let least = if at == 0 {
                            least
                        } else {
                            Some(children[at].bound)
                        };
                        let most = children.get(at + 1).map_or(most, |next| Some(next.bound));
                        check(&children[at].node, least, most, false)
                    })
                    .collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                depths[0] + 1
            }
        }
    }

    fn assert_equal(map: &Map<u16, u8>, model: &BTreeMap<u16, u8>) {
        check(&map.root, None, None, true);
        assert_eq!(map.len(), model.len());
        assert!(map.iter().eq(model.iter()));
    }

    #[test]
    fn keys_that_only_grow_fill_their_leaves() {
        let mut map = Map::default();
        for key in 0..CAPACITY * 10 {
            map.insert(key, ());
        }
        let Node::Branch(children) = &*map.root else {
            panic!("not split");
        };
        assert_eq!(children.len(), 10);
    }

    #[test]
    fn a_map_that_lost_everything_is_as_low_as_a_new_one() {
        let mut map: Map<u16, ()> = Map::from_ascending((0..5_000).map(|key| (key, ())).collect());
        for key in (0..5_000).rev() {
            assert_eq!(map.remove(at(key)), Some(()));
        }
        assert_eq!(check(&map.root, None, None, true), 1);
        assert_eq!(map.remove(at(1)), None);
        assert_eq!(map, Map::default());
    }

    proptest! {
        #[test]
        fn the_map_and_its_clones_equal_ordinary_maps(steps in steps()) {
            let mut map = Map::default();
            let mut model = BTreeMap::new();
            let mut clones = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                    }
                    Step::Remove(key) => {
                        prop_assert_eq!(map.remove(at(key)), model.remove(&key));
                    }
                    Step::Change(key, value) => {
                        let found = map.get_mut(at(key)).map(|found| *found = value);
                        prop_assert_eq!(found, model.get_mut(&key).map(|found| *found = value));
                    }
                    Step::Clone => clones.push((map.clone(), model.clone())),
                }
            }
            assert_equal(&map, &model);
            for (map, model) in &clones {
                assert_equal(map, model);
            }
            for key in 0..400 {
                prop_assert_eq!(map.get(at(key)), model.get(&key));
                prop_assert!(map.iter_from(at(key)).eq(model.range(key..)));
            }
        }

        #[test]
        fn a_map_from_ascending_entries_equals_one_of_inserts(model: BTreeMap<u16, u8>) {
            let map = Map::from_ascending(model.clone().into_iter().collect());
            assert_equal(&map, &model);
            let mut inserted = Map::default();
            for (key, value) in &model {
                inserted.insert(*key, *value);
            }
            prop_assert_eq!(map, inserted);
        }
    }
}

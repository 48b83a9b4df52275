//! From a selector to nodes, given what the harness believes at this moment.
//!
//! Random words choose among *running* nodes only: stopping a node that is already down would be
//! a fault that does nothing. Words that name nodes outright (`n1`, `all`, `minority` …) take them
//! as they are.

use super::selector::{Pool, Selector};
use super::{Bindings, Unresolved};
use crate::cluster::{ClusterView, NodeView, ProcessState, Role};
use crate::id::NodeId;
use crate::seed::Stream;

/// Resolves the selectors of one step, which see each other's choices (`any other`).
#[derive(Debug)]
pub(super) struct Chooser<'a> {
    view: &'a ClusterView,
    stream: Stream,
    bindings: &'a Bindings,
    picked: Vec<NodeId>,
}

impl Selector {
    /// The nodes that are meant at this moment, in rising order, at least one.
    ///
    /// # Errors
    /// Nobody matches now; the view may change, so the caller may try again. Nothing is then taken
    /// from the stream.
    pub fn resolve(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
    ) -> Result<Vec<NodeId>, Unresolved> {
        Chooser::attempt(view, stream, bindings, |chooser| chooser.choose(self))
    }
}

impl<'a> Chooser<'a> {
    /// Runs `choose`. The stream moves on only if it succeeds: how often a caller has to try again
    /// depends on timing, and must not change later decisions.
    pub(super) fn attempt<T>(
        view: &'a ClusterView,
        stream: &mut Stream,
        bindings: &'a Bindings,
        choose: impl FnOnce(&mut Self) -> Result<T, Unresolved>,
    ) -> Result<T, Unresolved> {
        let mut chooser = Self {
            view,
            stream: stream.clone(),
            bindings,
            picked: Vec::new(),
        };
        let chosen = choose(&mut chooser)?;
        *stream = chooser.stream;
        Ok(chosen)
    }

    /// For what else a fault decides by chance.
    pub(super) const fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The nodes that are meant, in rising order, at least one.
    pub(super) fn choose(&mut self, selector: &Selector) -> Result<Vec<NodeId>, Unresolved> {
        let mut nodes = self.candidates(selector).map_err(|reason| Unresolved {
            selector: selector.to_string(),
            reason,
        })?;
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.is_empty() {
            return Err(Unresolved {
                selector: selector.to_string(),
                reason: "no node matches".to_owned(),
            });
        }
        self.picked.extend(&nodes);
        Ok(nodes)
    }

    fn candidates(&mut self, selector: &Selector) -> Result<Vec<NodeId>, String> {
        let members = self.members();
        match selector {
            Selector::Node(node) => Ok(vec![*node]),
            Selector::List(items) => {
                let mut all = Vec::new();
                for item in items {
                    all.extend(self.candidates(item)?);
                }
                Ok(all)
            }
            Selector::All => Ok(members),
            Selector::Leader => Ok(vec![self.leader()?]),
            Selector::Claimants => {
                let claimants: Vec<NodeId> = self.view.claimants().map(|node| node.id).collect();
                if claimants.is_empty() {
                    return Err("no running node says it leads".to_owned());
                }
                Ok(claimants)
            }
            Selector::Followers => self.followers(),
            Selector::Random { count, of } => {
                let pool = match of {
                    Pool::Running => self.running(),
                    Pool::Followers => self.followers()?,
                };
                self.sample(pool, usize::from(*count))
            }
            Selector::AnyOther => {
                let mut others = self.running();
                others.retain(|node| !self.picked.contains(node));
                self.sample(others, 1)
            }
            Selector::SomeMinority => {
                let most = minority(members.len());
                if most == 0 {
                    return Err("so small a cluster has no minority".to_owned());
                }
                let count = 1 + self.stream.index(most);
                self.sample(members, count)
            }
            Selector::Minority => {
                let count = minority(members.len());
                self.sample(members, count)
            }
            Selector::Majority => self.sample(members, self.view.quorum()),
            Selector::MinorityThird => {
                let count = members.len().saturating_sub(1) / 3;
                self.sample(members, count)
            }
            Selector::Name(name) => self
                .bindings
                .nodes(name)
                .map(<[NodeId]>::to_vec)
                .ok_or_else(|| format!("nothing has been chosen `as: {name}` in this run")),
        }
    }

    fn leader(&self) -> Result<NodeId, String> {
        self.view
            .leader()
            .ok_or_else(|| "nobody leads with a majority behind it".to_owned())
    }

    /// Followers exist only where somebody leads.
    fn followers(&self) -> Result<Vec<NodeId>, String> {
        let leader = self.leader()?;
        Ok(self.nodes_where(|n| is_running(n) && n.role == Role::Follower && n.id != leader))
    }

    fn running(&self) -> Vec<NodeId> {
        self.nodes_where(is_running)
    }

    fn members(&self) -> Vec<NodeId> {
        self.nodes_where(|_| true)
    }

    fn nodes_where(&self, keep: impl Fn(&NodeView) -> bool) -> Vec<NodeId> {
        self.view
            .nodes
            .iter()
            .filter(|n| keep(n))
            .map(|n| n.id)
            .collect()
    }

    fn sample(&mut self, mut pool: Vec<NodeId>, count: usize) -> Result<Vec<NodeId>, String> {
        if pool.len() < count {
            return Err(format!("wanted {count}, only {} match", pool.len()));
        }
        self.stream.shuffle(&mut pool);
        pool.truncate(count);
        Ok(pool)
    }
}

/// The largest number of `members` that is no quorum, and whose absence leaves one.
const fn minority(members: usize) -> usize {
    members.saturating_sub(1) / 2
}

fn is_running(node: &NodeView) -> bool {
    node.process == ProcessState::Running
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::Seed;

    /// A healthy cluster of this size led by `n1` in epoch 1.
    pub(in crate::fault) fn steady(nodes: u8) -> ClusterView {
        ClusterView {
            nodes: NodeId::all(nodes)
                .map(|id| NodeView {
                    id,
                    process: ProcessState::Running,
                    role: if id.0 == 1 {
                        Role::Leader
                    } else {
                        Role::Follower
                    },
                    epoch: 1,
                    follows: Some(NodeId(1)),
                })
                .collect(),
        }
    }

    pub(in crate::fault) fn stream() -> Stream {
        Seed(7).stream("test")
    }

    fn choose(view: &ClusterView, word: &str) -> Result<Vec<NodeId>, String> {
        let mut bindings = Bindings::default();
        bindings.bind("victim", &[NodeId(2)]);
        Selector::parse(word)
            .unwrap()
            .resolve(view, &mut stream(), &bindings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn role_words_follow_the_view() {
        let view = steady(5);
        let ids = |numbers: &[u8]| Ok(numbers.iter().map(|n| NodeId(*n)).collect::<Vec<_>>());
        assert_eq!(choose(&view, "leader"), ids(&[1]));
        assert_eq!(choose(&view, "followers"), ids(&[2, 3, 4, 5]));
        assert_eq!(choose(&view, "claimants"), ids(&[1]));
        assert_eq!(choose(&view, "all"), ids(&[1, 2, 3, 4, 5]));
        assert_eq!(choose(&view, "$victim"), ids(&[2]));
    }

    #[test]
    fn a_role_that_nobody_has_is_not_retargeted() {
        let mut view = steady(3);
        view.nodes[0].process = ProcessState::Down;
        for word in [
            "leader",
            "followers",
            "any follower",
            "claimants",
            "$unknown",
        ] {
            assert!(choose(&view, word).is_err(), "{word}");
        }
        assert_eq!(
            choose(&view, "leader").unwrap_err(),
            "resolve `leader`: nobody leads with a majority behind it"
        );
    }

    #[test]
    fn any_other_differs_from_every_earlier_pick_of_the_step() {
        let view = steady(3);
        let bindings = Bindings::default();
        for seed in 0..50 {
            let mut stream = Seed(seed).stream("test");
            let (first, second) = Chooser::attempt(&view, &mut stream, &bindings, |chooser| {
                let first = chooser.choose(&Selector::parse("any").unwrap())?;
                Ok((first, chooser.choose(&Selector::AnyOther)?))
            })
            .unwrap();
            assert_ne!(first, second);
        }
    }

    proptest! {
        #[test]
        fn sizes_keep_their_promise_on_every_cluster(nodes in 1..=9_u8, seed: u64) {
            let view = steady(nodes);
            let bindings = Bindings::default();
            let mut stream = Seed(seed).stream("test");
            let quorum = view.quorum();
            let mut size = |word: &str| {
                Selector::parse(word)
                    .unwrap()
                    .resolve(&view, &mut stream, &bindings)
                    .map_or(0, |nodes| nodes.len())
            };
            prop_assert_eq!(size("majority"), quorum);
            prop_assert!(size("minority") < quorum);
            prop_assert!(usize::from(nodes) - size("some minority") >= quorum);
            prop_assert!(usize::from(nodes) - size("minority") >= quorum);
            prop_assert!(size("minority_third") * 3 < usize::from(nodes));
        }
    }
}

//! `split`: the cluster falls into groups that cannot reach each other, both ways. Clients reach
//! everybody.
//!
//! The *shapes* of `into:` are those that found bugs elsewhere: `halves` (a minority and a
//! majority), `minority_third`, `majorities_ring` (everybody sees a majority, no two the same),
//! `bridge` (two halves joined by one node), `islands` (everybody alone). Who lands where is drawn
//! anew each time.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::choose::Chooser;
use super::ends::link_fault;
use super::units::HELP_MARK;
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved};
use crate::cluster::{ClusterView, Effect};
use crate::id::NodeId;
use crate::link::{Endpoint, LinkId, Rule};
use crate::seed::Stream;

/// Divide the cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub enum Split {
    /// `groups: [[n1, n2], [n3]]`: at least two, together every node once.
    Groups(Vec<Selector>),
    /// `into: halves`: a shape with nodes drawn at random.
    Into(Shape),
}

/// The words of `into:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// ⌊n/2⌋ nodes against the rest.
    Halves,
    /// Fewer than a third against the rest.
    MinorityThird,
    /// Each node sees its neighbours on a ring: a majority each, no two the same.
    MajoritiesRing,
    /// Two halves that see only one common node.
    Bridge,
    /// Nobody sees anybody.
    Islands,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    groups: Option<Vec<Selector>>,
    into: Option<Shape>,
}

impl TryFrom<Keys> for Split {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        match (keys.groups, keys.into) {
            (Some(groups), None) if groups.len() >= 2 => Ok(Self::Groups(groups)),
            (Some(_), None) => Err(format!(
                "a split needs at least two groups{HELP_MARK}write `groups: [[n1, n2], [n3]]`"
            )),
            (None, Some(shape)) => Ok(Self::Into(shape)),
            (Some(_), Some(_)) => Err(format!(
                "`groups` does not go with `into`{HELP_MARK}keep one of them"
            )),
            (None, None) => Err(format!(
                "it does not say how to split{HELP_MARK}write `into: halves` or \
                 `groups: [[n1, n2], [n3]]`"
            )),
        }
    }
}

impl Shape {
    /// As written in a plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Halves => "halves",
            Self::MinorityThird => "minority_third",
            Self::MajoritiesRing => "majorities_ring",
            Self::Bridge => "bridge",
            Self::Islands => "islands",
        }
    }

    /// The fewest nodes on which it cuts anything and keeps its promise.
    const fn fewest(self) -> u8 {
        match self {
            Self::Halves | Self::Islands => 2,
            Self::Bridge => 3,
            Self::MinorityThird | Self::MajoritiesRing => 4,
        }
    }

    /// The nodes that each position of `order` may still reach; positions are symmetric.
    fn sees(self, order: usize, left: usize, right: usize) -> bool {
        let same_side = |border: usize| (left < border) == (right < border);
        match self {
            Self::Halves => same_side(order / 2),
            Self::MinorityThird => same_side(order.saturating_sub(1) / 3),
            Self::Bridge => {
                let middle = order / 2;
                left == middle || right == middle || same_side(middle)
            }
            Self::Islands => false,
            Self::MajoritiesRing => {
                let around = left.abs_diff(right);
                // A majority counts the node itself; its neighbours lie on both sides.
                let reach = (order / 2).div_ceil(2);
                around.min(order - around) <= reach
            }
        }
    }
}

impl Fault for Split {
    fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        match self {
            Self::Into(shape) if nodes < shape.fewest() => Err(Misfit::new(
                format!(
                    "`{}` needs at least {} nodes, the cluster has {nodes}",
                    shape.word(),
                    shape.fewest()
                ),
                "use more nodes or another shape",
            )),
            Self::Into(_) => Ok(()),
            Self::Groups(groups) => groups_fit(groups, nodes),
        }
    }

    fn selectors(&self) -> Vec<&Selector> {
        match self {
            Self::Groups(groups) => groups.iter().collect(),
            Self::Into(_) => Vec::new(),
        }
    }

    fn effects(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
    ) -> Result<Chosen, Unresolved> {
        match self {
            Self::Into(shape) => Ok(into_shape(*shape, view, stream)),
            Self::Groups(groups) => Chooser::attempt(view, stream, bindings, |chooser| {
                let chosen: Result<Vec<_>, _> =
                    groups.iter().map(|group| chooser.choose(group)).collect();
                let chosen = chosen?;
                every_node_once(view, &chosen).map_err(|reason| Unresolved {
                    selector: self.parameters(),
                    reason,
                })?;
                Ok(split(view, &chosen))
            }),
        }
    }

    fn parameters(&self) -> String {
        match self {
            Self::Into(shape) => format!("{{into: {}}}", shape.word()),
            Self::Groups(groups) => {
                let groups: Vec<String> = groups.iter().map(Selector::to_string).collect();
                format!("{{groups: [{}]}}", groups.join(", "))
            }
        }
    }
}

/// Checks what can be known before the run: groups of plain node names.
fn groups_fit(groups: &[Selector], nodes: u8) -> Result<(), Misfit> {
    let mut seen = BTreeSet::new();
    let mut all_known = true;
    for leaf in groups.iter().flat_map(Selector::leaves) {
        match leaf {
            Selector::Node(node) if !seen.insert(*node) => {
                return Err(Misfit::new(
                    format!("{node} is in two groups"),
                    "a node belongs to exactly one group; for overlapping ones use \
                     `into: bridge` or `cut`",
                ));
            }
            Selector::Node(_) => {}
            _ => all_known = false,
        }
    }
    let missing: Vec<String> = NodeId::all(nodes)
        .filter(|node| !seen.contains(node))
        .map(|node| node.to_string())
        .collect();
    if all_known && !missing.is_empty() {
        return Err(Misfit::new(
            format!("no group holds {}", missing.join(", ")),
            format!("put each of n1 to n{nodes} into a group"),
        ));
    }
    Ok(())
}

fn every_node_once(view: &ClusterView, groups: &[Vec<NodeId>]) -> Result<(), String> {
    let mut count = vec![0_usize; view.nodes.len()];
    for node in groups.iter().flatten() {
        if let Some(count) = count.get_mut(node.index()) {
            *count += 1;
        }
    }
    for (node, count) in view.nodes.iter().zip(count) {
        match count {
            1 => {}
            0 => return Err(format!("{} is in no group now", node.id)),
            _ => return Err(format!("{} is in {count} groups now", node.id)),
        }
    }
    Ok(())
}

fn split(view: &ClusterView, groups: &[Vec<NodeId>]) -> Chosen {
    let group_of = |node: NodeId| groups.iter().position(|group| group.contains(&node));
    let effects = cut_where(view, |a, b| group_of(a) != group_of(b));
    let names: Vec<String> = groups
        .iter()
        .map(|group| super::name_nodes(group, view.leader()))
        .collect();
    link_fault(view, effects, format!("split {}", names.join(" | ")))
}

fn into_shape(shape: Shape, view: &ClusterView, stream: &mut Stream) -> Chosen {
    let mut order: Vec<NodeId> = view.nodes.iter().map(|node| node.id).collect();
    stream.shuffle(&mut order);
    let len = order.len();
    match shape {
        Shape::Halves | Shape::MinorityThird | Shape::Islands => {
            let mut groups: Vec<Vec<NodeId>> = Vec::new();
            for (at, node) in order.iter().enumerate() {
                if at == 0 || !shape.sees(len, at - 1, at) {
                    groups.push(Vec::new());
                }
                if let Some(group) = groups.last_mut() {
                    group.push(*node);
                    group.sort_unstable();
                }
            }
            split(view, &groups)
        }
        Shape::MajoritiesRing | Shape::Bridge => {
            let at = |node: NodeId| order.iter().position(|n| *n == node).unwrap_or(0);
            let effects = cut_where(view, |a, b| !shape.sees(len, at(a), at(b)));
            let label = if shape == Shape::Bridge {
                let middle = super::name_nodes(&[order[len / 2]], view.leader());
                format!("split into halves bridged by {middle}")
            } else {
                let ring: Vec<String> = order.iter().map(NodeId::to_string).collect();
                format!("split into a ring of majorities {}", ring.join("-"))
            };
            link_fault(view, effects, label)
        }
    }
}

/// Both directions between every two nodes for which `apart` holds.
fn cut_where(view: &ClusterView, apart: impl Fn(NodeId, NodeId) -> bool) -> Vec<Effect> {
    let mut effects = Vec::new();
    for from in &view.nodes {
        for to in &view.nodes {
            if from.id != to.id && apart(from.id, to.id) {
                effects.push(Effect::Link {
                    link: LinkId::new(Endpoint::Node(from.id), Endpoint::Node(to.id)),
                    rule: Rule::Cut,
                });
            }
        }
    }
    effects
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::choose::tests::{steady, stream};
    use super::*;
    use crate::seed::Seed;

    fn ids(numbers: &[u8]) -> Selector {
        Selector::List(numbers.iter().map(|n| Selector::Node(NodeId(*n))).collect())
    }

    /// For each node, whom it still reaches, itself included.
    fn reached(chosen: &Chosen, nodes: u8) -> Vec<BTreeSet<NodeId>> {
        let is_cut = |from: NodeId, to: NodeId| {
            chosen.effects.iter().any(|effect| {
                matches!(effect, Effect::Link { link, .. }
                    if *link == LinkId::new(Endpoint::Node(from), Endpoint::Node(to)))
            })
        };
        NodeId::all(nodes)
            .map(|a| {
                NodeId::all(nodes)
                    .filter(|b| a == *b || !is_cut(a, *b))
                    .collect()
            })
            .collect()
    }

    #[test]
    fn groups_cannot_reach_each_other() {
        let groups = Split::Groups(vec![ids(&[1, 2]), ids(&[3])]);
        groups.fits(3).unwrap();
        let chosen = groups
            .effects(&steady(3), &mut stream(), &Bindings::default())
            .unwrap();
        assert_eq!(chosen.label, "split n1,n2 (n1 leads) | n3");
        assert_eq!(chosen.effects.len(), 4);
        assert!(!chosen.on_leader);
    }

    #[test]
    fn overlapping_or_incomplete_groups_do_not_fit() {
        let overlap = Split::Groups(vec![ids(&[1, 2]), ids(&[2, 3])]);
        assert_eq!(overlap.fits(3).unwrap_err().message, "n2 is in two groups");
        let missing = Split::Groups(vec![ids(&[1]), ids(&[2])]);
        assert_eq!(missing.fits(3).unwrap_err().message, "no group holds n3");
        let roles = Split::Groups(vec![Selector::Leader, Selector::Followers]);
        roles.fits(3).unwrap();
        assert!(
            roles
                .effects(&steady(3), &mut stream(), &Bindings::default())
                .unwrap()
                .on_leader
        );
    }

    proptest! {
        #[test]
        fn shapes_keep_their_promises(nodes in 4..=9_u8, seed: u64) {
            let view = steady(nodes);
            let quorum = view.quorum();
            let into = |shape| {
                let mut stream = Seed(seed).stream("split");
                let split = Split::Into(shape);
                split.fits(nodes).unwrap();
                reached(
                    &split.effects(&view, &mut stream, &Bindings::default()).unwrap(),
                    nodes,
                )
            };
            let ring = into(Shape::MajoritiesRing);
            prop_assert!(ring.iter().all(|seen| seen.len() >= quorum));
            prop_assert!(ring.iter().collect::<BTreeSet<_>>().len() == ring.len());
            let islands = into(Shape::Islands);
            prop_assert!(islands.iter().all(|seen| seen.len() == 1));
            let bridge = into(Shape::Bridge);
            prop_assert_eq!(
                bridge.iter().filter(|seen| seen.len() == usize::from(nodes)).count(),
                1
            );
            let sides: BTreeSet<_> = into(Shape::Halves).into_iter().collect();
            prop_assert_eq!(sides.len(), 2);
            let third: BTreeSet<_> = into(Shape::MinorityThird).into_iter().collect();
            prop_assert_eq!(third.len(), 2);
            prop_assert!(third.iter().any(|side| side.len() * 3 < usize::from(nodes)));
        }
    }
}

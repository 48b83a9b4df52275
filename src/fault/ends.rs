//! The two ends of a link fault, and what its effects mean for the leader.
//!
//! *Ends*: `between: [A, B]` is both directions, `from`/`to` is one. Sets of nodes make every
//! directed link from one set to the other; a node has no link to itself.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::choose::Chooser;
use super::selector::Selector;
use super::units::HELP_MARK;
use super::{Chosen, Misfit, Unresolved, name_nodes};
use crate::cluster::{ClusterView, Damage, Effect};
use crate::id::NodeId;
use crate::link::{Endpoint, LinkId, Rule};

/// One end of a link fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// `clients`: all load clients and probes.
    Clients,
    /// These nodes.
    Nodes(Selector),
}

/// Both ends of a link fault.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "EndKeys")]
pub struct Ends {
    /// The sender of the (first) direction.
    pub from: End,
    /// Its receiver.
    pub to: End,
    /// `between`: the other direction too.
    pub both_ways: bool,
}

/// The keys in which a link fault writes its ends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndKeys {
    pub(super) between: Option<Vec<End>>,
    pub(super) from: Option<End>,
    pub(super) to: Option<End>,
}

impl EndKeys {
    /// Exactly one of the two forms.
    pub(super) fn ends(self) -> Result<Ends, String> {
        match (self.between, self.from, self.to) {
            (Some(pair), None, None) => {
                let [from, to] = <[End; 2]>::try_from(pair).map_err(|pair| {
                    let count = match pair.len() {
                        1 => "1 end".to_owned(),
                        more => format!("{more} ends"),
                    };
                    format!(
                        "`between` names {count}, a link has two{HELP_MARK}\
                         write `between: [leader, any follower]`"
                    )
                })?;
                Ok(Ends {
                    from,
                    to,
                    both_ways: true,
                })
            }
            (None, Some(from), Some(to)) => Ok(Ends {
                from,
                to,
                both_ways: false,
            }),
            (Some(_), _, _) => Err(format!(
                "`between` does not go with `from` or `to`{HELP_MARK}\
                 `between: [A, B]` is both ways, `from: A` with `to: B` is one way: keep one form"
            )),
            (None, from, to) => {
                let missing = match (from, to) {
                    (Some(_), None) => "`to` is missing",
                    (None, Some(_)) => "`from` is missing",
                    _ => "it does not say which link",
                };
                Err(format!(
                    "{missing}{HELP_MARK}write `between: [A, B]` (both ways) or `from: A, to: B` \
                     (one way)"
                ))
            }
        }
    }
}

impl TryFrom<EndKeys> for Ends {
    type Error = String;

    fn try_from(keys: EndKeys) -> Result<Self, String> {
        keys.ends()
    }
}

impl Ends {
    pub(super) fn selectors(&self) -> Vec<&Selector> {
        [&self.from, &self.to]
            .into_iter()
            .filter_map(|end| match end {
                End::Clients => None,
                End::Nodes(selector) => Some(selector),
            })
            .collect()
    }

    pub(super) fn fits(&self, nodes: u8) -> Result<(), Misfit> {
        match (&self.from, &self.to) {
            (End::Clients, End::Clients) => Err(Misfit::new(
                "there is no link from the clients to themselves",
                "one end must be nodes, for instance `between: [clients, leader]`",
            )),
            (End::Nodes(from), End::Nodes(to)) if nodes == 1 => Err(Misfit::new(
                format!("one node has no link between `{from}` and `{to}`"),
                "use more nodes, or cut it from `clients`",
            )),
            (End::Nodes(from @ (Selector::Node(_) | Selector::Leader)), End::Nodes(to))
                if from == to =>
            {
                Err(Misfit::new(
                    format!("`{from}` has no link to itself"),
                    "name two different ends",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Every directed link that is meant, under one rule.
    pub(super) fn choose(
        &self,
        view: &ClusterView,
        chooser: &mut Chooser<'_>,
        verb: &str,
        rule: Rule,
    ) -> Result<Chosen, Unresolved> {
        let arrow = if self.both_ways { "<->" } else { "->" };
        let (links, from, to) = self.links(view, chooser)?;
        let label = format!("{verb} {from} {arrow} {to}");
        let effects = links.into_iter().map(|link| Effect::Link { link, rule });
        Ok(link_fault(view, effects.collect(), label))
    }

    /// Harm that is done once to the connections of every pair of nodes that is meant: a
    /// connection carries data both ways, whichever way was written.
    pub(super) fn strike(
        &self,
        view: &ClusterView,
        chooser: &mut Chooser<'_>,
        verb: &str,
        damage: impl Fn(LinkId) -> Damage,
    ) -> Result<Chosen, Unresolved> {
        let (mut links, from, to) = self.links(view, chooser)?;
        let all = links.clone();
        links.retain(|link| link.from < link.to || !all.contains(&link.reversed()));
        let nodes: BTreeSet<NodeId> = links
            .iter()
            .flat_map(|link| [link.from, link.to])
            .filter_map(node_of)
            .collect();
        Ok(Chosen {
            nodes: nodes.into_iter().collect(),
            effects: Vec::new(),
            damage: links.into_iter().map(damage).collect(),
            trigger: None,
            label: format!("{verb} {from} <-> {to}"),
            on_leader: false,
        })
    }

    /// Every directed link that is meant, and the names of both ends.
    fn links(
        &self,
        view: &ClusterView,
        chooser: &mut Chooser<'_>,
    ) -> Result<(BTreeSet<LinkId>, String, String), Unresolved> {
        let from = resolve(&self.from, chooser)?;
        let to = resolve(&self.to, chooser)?;
        let mut links = BTreeSet::new();
        for sender in &from.points {
            for receiver in &to.points {
                if sender != receiver {
                    let link = LinkId::new(*sender, *receiver);
                    links.insert(link);
                    if self.both_ways {
                        links.insert(link.reversed());
                    }
                }
            }
        }
        if links.is_empty() {
            return Err(Unresolved {
                selector: self.to_string(),
                reason: "both ends are the same node now".to_owned(),
            });
        }
        let leader = view.leader();
        Ok((links, from.name(leader), to.name(leader)))
    }
}

/// One end, resolved.
struct Points {
    points: Vec<Endpoint>,
}

impl Points {
    fn name(&self, leader: Option<NodeId>) -> String {
        let nodes: Vec<NodeId> = self.points.iter().filter_map(|p| node_of(*p)).collect();
        if nodes.is_empty() {
            "clients".to_owned()
        } else {
            name_nodes(&nodes, leader)
        }
    }
}

fn resolve(end: &End, chooser: &mut Chooser<'_>) -> Result<Points, Unresolved> {
    let points = match end {
        End::Clients => vec![Endpoint::Clients],
        End::Nodes(selector) => {
            let nodes = chooser.choose(selector)?;
            nodes.into_iter().map(Endpoint::Node).collect()
        }
    };
    Ok(Points { points })
}

/// What a link fault chose: its nodes are all that its effects touch.
pub(super) fn link_fault(view: &ClusterView, effects: Vec<Effect>, label: String) -> Chosen {
    let nodes: BTreeSet<NodeId> = links(&effects)
        .flat_map(|(link, _)| [link.from, link.to])
        .filter_map(node_of)
        .collect();
    Chosen {
        nodes: nodes.into_iter().collect(),
        on_leader: view
            .leader()
            .is_some_and(|leader| is_deposed(view, &effects, leader)),
        effects,
        damage: Vec::new(),
        trigger: None,
        label,
    }
}

/// Whether these effects leave `leader` in full contact (both directions) with less than a
/// quorum, itself included. A partial loss or a delay deposes nobody by itself.
fn is_deposed(view: &ClusterView, effects: &[Effect], leader: NodeId) -> bool {
    let lost: BTreeSet<NodeId> = links(effects)
        .filter(|(link, rule)| link.touches(leader) && is_total(rule))
        .flat_map(|(link, _)| [link.from, link.to])
        .filter_map(node_of)
        .filter(|node| *node != leader)
        .collect();
    view.nodes.len() - lost.len() < view.quorum()
}

fn links(effects: &[Effect]) -> impl Iterator<Item = (&LinkId, &Rule)> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Link { link, rule } => Some((link, rule)),
        _ => None,
    })
}

fn is_total(rule: &Rule) -> bool {
    match rule {
        Rule::Cut => true,
        Rule::Drop { loss, .. } => *loss >= 1.0,
        Rule::Delay { .. }
        | Rule::Throttle { .. }
        | Rule::Corrupt { .. }
        | Rule::Duplicate { .. }
        | Rule::Reorder { .. } => false,
    }
}

const fn node_of(point: Endpoint) -> Option<NodeId> {
    match point {
        Endpoint::Node(node) => Some(node),
        Endpoint::Clients => None,
    }
}

/// As written in a plan, without braces: `between: [leader, any follower]`.
impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.both_ways {
            write!(f, "between: [{}, {}]", self.from, self.to)
        } else {
            write!(f, "from: {}, to: {}", self.from, self.to)
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clients => f.write_str("clients"),
            Self::Nodes(selector) => selector.fmt(f),
        }
    }
}

struct EndVisitor;

impl<'de> Visitor<'de> for EndVisitor {
    type Value = End;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an end of a link: clients, n1, [n1, n2], leader, followers …")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<End, E> {
        if text.trim() == "clients" {
            return Ok(End::Clients);
        }
        Selector::parse(text).map(End::Nodes).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<End, A::Error> {
        Selector::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(End::Nodes)
    }
}

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(EndVisitor)
    }
}

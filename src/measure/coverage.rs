//! Which faults hit whom, and in what state of the cluster: a fault × role × phase that was never
//! hit was never tested.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::roles::Roles;
use super::timeline::Timeline;
use crate::clock::Nanos;
use crate::id::NodeId;

/// How often one kind of fault landed on nodes in one role, in one phase of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The plan's verb.
    pub verb: String,
    /// What the node was just before.
    pub role: HitRole,
    /// What the cluster was doing just before.
    pub phase: HitPhase,
    /// How often; a fault of several nodes counts for each.
    pub hits: usize,
}

/// What a node was just before a fault was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HitRole {
    /// It led.
    Leader,
    /// It ran and did not lead.
    Follower,
    /// It stood still.
    Paused,
    /// It had no process.
    Down,
}

/// What the cluster was doing just before a fault was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HitPhase {
    /// One leader, all voters in sync and connected.
    Steady,
    /// A leader, but a voter is down, cut off or behind.
    Degraded,
    /// Nobody led.
    Electing,
}

impl HitRole {
    /// All, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Leader, Self::Follower, Self::Paused, Self::Down];

    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Paused => "paused",
            Self::Down => "down",
        }
    }
}

impl HitPhase {
    /// All, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Steady, Self::Degraded, Self::Electing];

    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Degraded => "degraded",
            Self::Electing => "electing",
        }
    }
}

/// By verb, role and phase, in this order; what was not hit is left out.
pub(super) fn coverage(timeline: &Timeline<'_>, roles: &Roles) -> Vec<Covered> {
    let mut counts: BTreeMap<(&str, HitRole, HitPhase), usize> = BTreeMap::new();
    let landed = timeline
        .faults
        .iter()
        .filter(|fault| fault.landed.is_some());
    for fault in landed {
        let phase = phase_at(roles, fault.asked_at);
        for node in &fault.asked.nodes {
            let role = role_at(timeline, roles, *node, fault.asked_at);
            *counts.entry((&fault.asked.verb, role, phase)).or_default() += 1;
        }
    }
    let covered = counts.into_iter();
    covered
        .map(|((verb, role, phase), hits)| Covered {
            verb: verb.to_owned(),
            role,
            phase,
            hits,
        })
        .collect()
}

fn phase_at(roles: &Roles, at: Nanos) -> HitPhase {
    // What a fault itself changes is no part of its surroundings.
    let before = Nanos(at.0.saturating_sub(1));
    if roles.leader_before(at).is_none() {
        HitPhase::Electing
    } else if roles.not_redundant.contains(before) {
        HitPhase::Degraded
    } else {
        HitPhase::Steady
    }
}

fn role_at(timeline: &Timeline<'_>, roles: &Roles, node: NodeId, at: Nanos) -> HitRole {
    let before = Nanos(at.0.saturating_sub(1));
    let was = |spans: &BTreeMap<NodeId, super::spans::Spans>| {
        spans.get(&node).is_some_and(|spans| spans.contains(before))
    };
    if was(&timeline.down) {
        HitRole::Down
    } else if was(&timeline.paused) {
        HitRole::Paused
    } else if roles
        .leader_before(at)
        .is_some_and(|claim| claim.node == node)
    {
        HitRole::Leader
    } else {
        HitRole::Follower
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::{Stream, link};
    use super::*;
    use crate::history::Tag;

    fn covered(stream: &Stream) -> Vec<(String, &'static str, &'static str, usize)> {
        let lines = stream.measure().coverage.into_iter();
        lines
            .map(|line| (line.verb, line.role.word(), line.phase.word(), line.hits))
            .collect()
    }

    #[test]
    fn a_fault_counts_for_the_roles_and_the_phase_that_it_meets() {
        let mut s = Stream::steady(3);
        let kill = s.asked(100, "kill", vec![Tag::Down(NodeId(1))], &[1]);
        s.landed(101, kill);
        // Nobody leads any more, and one is down.
        let cut = s.asked(200, "cut", vec![link("n1", "n2", true)], &[1, 2]);
        s.landed(201, cut);
        assert_eq!(
            covered(&s),
            [
                ("cut".to_owned(), "follower", "electing", 1),
                ("cut".to_owned(), "down", "electing", 1),
                ("kill".to_owned(), "leader", "steady", 1),
            ]
        );
    }

    #[test]
    fn a_fault_that_did_not_land_has_hit_nobody() {
        let mut s = Stream::steady(3);
        s.asked(100, "kill", vec![Tag::Down(NodeId(1))], &[1]);
        assert_eq!(covered(&s), []);
    }
}

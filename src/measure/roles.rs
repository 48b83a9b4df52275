//! Who led when, and when all voters were in sync.
//!
//! *Claim*: the time from `active` until the node gives leading up, whether it runs or not.
//! *Activation*: the instant at which a leader may commit in a new epoch. *Unsynced*: some voter
//! has not applied what the current leader has committed, as far as the nodes report it.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Nanos;
use crate::history::{EventKind, NodeEvent, NodeEventKind};
use crate::id::NodeId;

use super::spans::{Span, Spans};
use super::timeline::Timeline;

/// Leadership over the run.
#[derive(Debug)]
pub(super) struct Roles {
    /// In the order of time.
    pub(super) activations: Vec<Activation>,
    /// In the order of their beginning.
    pub(super) claims: Vec<Claim>,
    /// When some voter was out of sync or the cluster could not lose another node.
    pub(super) not_redundant: Spans,
    /// The first instant at which all voters were in sync.
    pub(super) first_steady: Option<Nanos>,
}

/// A leader may commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Activation {
    pub(super) time: Nanos,
    pub(super) node: NodeId,
    pub(super) epoch: u64,
}

/// A node's claim to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) node: NodeId,
    pub(super) epoch: u64,
    pub(super) span: Span,
}

impl Roles {
    pub(super) fn new(timeline: &Timeline<'_>, voters: &[NodeId]) -> Self {
        let activations = timeline
            .node_events()
            .filter_map(|(time, node, what)| match what {
                NodeEventKind::Active { epoch, .. } => Some(Activation {
                    time,
                    node,
                    epoch: *epoch,
                }),
                _ => None,
            })
            .collect();
        let unsynced = unsynced(timeline, voters);
        let window = Span::new(Nanos::ZERO, timeline.end);
        let first_steady = unsynced
            .complement(window)
            .iter()
            .next()
            .map(|span| span.from);
        let mut not_redundant = unsynced;
        for &voter in voters {
            not_redundant = not_redundant.union(&timeline.not_running(voter));
        }
        let cuts = timeline
            .links
            .iter()
            .filter(|link| link.total && joins_voters(link.from, link.to, voters))
            .map(|link| link.span)
            .collect();
        Self {
            activations,
            claims: claims(timeline),
            not_redundant: not_redundant.union(&cuts),
            first_steady,
        }
    }

    /// Who led just before `time`: of the claimants the one of the highest epoch.
    pub(super) fn leader_before(&self, time: Nanos) -> Option<Claim> {
        self.claims
            .iter()
            .filter(|claim| claim.span.from < time && time <= claim.span.to)
            .max_by_key(|claim| claim.epoch)
            .copied()
    }

    /// The activations in `(from, to]`.
    pub(super) fn activations_within(
        &self,
        from: Nanos,
        to: Nanos,
    ) -> impl DoubleEndedIterator<Item = Activation> + '_ {
        self.activations
            .iter()
            .copied()
            .filter(move |activation| from < activation.time && activation.time <= to)
    }

    /// When at least two running nodes claimed to lead at once, and whether anybody ever did.
    pub(super) fn dual_leadership(&self, timeline: &Timeline<'_>) -> Spans {
        let window = Span::new(Nanos::ZERO, timeline.end);
        let mut by_node: BTreeMap<NodeId, Vec<Span>> = BTreeMap::new();
        for claim in &self.claims {
            by_node.entry(claim.node).or_default().push(claim.span);
        }
        let running: Vec<Spans> = by_node
            .into_iter()
            .map(|(node, claims)| {
                let claims: Spans = claims.into_iter().collect();
                claims.intersection(&timeline.not_running(node).complement(window))
            })
            .collect();
        let mut dual = Spans::default();
        for (place, one) in running.iter().enumerate() {
            for other in &running[place + 1..] {
                dual = dual.union(&one.intersection(other));
            }
        }
        dual
    }
}

fn joins_voters(from: &str, to: &str, voters: &[NodeId]) -> bool {
    [from, to]
        .iter()
        .all(|end| end.parse().is_ok_and(|node| voters.contains(&node)))
}

fn claims(timeline: &Timeline<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    let mut open: BTreeMap<NodeId, (u64, Nanos)> = BTreeMap::new();
    let mut close = |open: &mut BTreeMap<NodeId, (u64, Nanos)>, node: NodeId, at: Nanos| {
        if let Some((epoch, from)) = open.remove(&node) {
            // A node that was brought down claims nothing from the asking on.
            let down = timeline.down.get(&node).and_then(|down| {
                down.iter()
                    .map(|span| span.from)
                    .find(|&down| from <= down && down < at)
            });
            let span = Span::new(from, down.unwrap_or(at));
            claims.push(Claim { node, epoch, span });
        }
    };
    for event in &timeline.events {
        match &event.kind {
            EventKind::Node(NodeEvent { node, what }) => {
                if let NodeEventKind::Active { epoch, .. } = what {
                    close(&mut open, *node, event.time);
                    open.insert(*node, (*epoch, event.time));
                } else if gives_up_leading(what) {
                    close(&mut open, *node, event.time);
                }
            }
            EventKind::ProcessExited { node, .. } => close(&mut open, *node, event.time),
            _ => {}
        }
    }
    let still: Vec<NodeId> = open.keys().copied().collect();
    for node in still {
        close(&mut open, node, timeline.end);
    }
    claims.sort_by_key(|claim| (claim.span.from, claim.node));
    claims
}

/// Whether a node that reports this cannot be leading any more.
pub(super) const fn gives_up_leading(what: &NodeEventKind) -> bool {
    matches!(
        what,
        NodeEventKind::StepDown { .. }
            | NodeEventKind::Looking { .. }
            | NodeEventKind::Boot { .. }
            | NodeEventKind::Following { .. }
            | NodeEventKind::Stop
    )
}

/// When some voter was not in sync with the current epoch.
fn unsynced(timeline: &Timeline<'_>, voters: &[NodeId]) -> Spans {
    let mut epochs: BTreeMap<NodeId, u64> = BTreeMap::new();
    // A leader takes a follower back before that follower has applied everything: both must say so.
    let mut evicted: BTreeSet<NodeId> = BTreeSet::new();
    let mut current = 0;
    let mut since = Some(Nanos::ZERO);
    let mut spans = Vec::new();
    for event in &timeline.events {
        match &event.kind {
            EventKind::Node(NodeEvent { node, what }) => match what {
                NodeEventKind::Active { epoch, .. } | NodeEventKind::Synced { epoch, .. } => {
                    epochs.insert(*node, *epoch);
                    evicted.remove(node);
                    current = current.max(*epoch);
                }
                NodeEventKind::Evict { of, .. } if epochs.get(node) == Some(&current) => {
                    evicted.insert(*of);
                }
                NodeEventKind::Rejoin { of } => {
                    evicted.remove(of);
                }
                given_up if gives_up_leading(given_up) => {
                    epochs.remove(node);
                }
                _ => {}
            },
            EventKind::ProcessExited { node, .. } => {
                epochs.remove(node);
            }
            _ => {}
        }
        let in_sync =
            |voter: &NodeId| epochs.get(voter) == Some(&current) && !evicted.contains(voter);
        let all = current > 0 && voters.iter().all(in_sync);
        match (all, since) {
            (true, Some(from)) => {
                spans.push(Span::new(from, event.time));
                since = None;
            }
            (false, None) => since = Some(event.time),
            _ => {}
        }
    }
    spans.extend(since.map(|from| Span::new(from, timeline.end)));
    spans.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::stream::{Stream, link, ms};
    use super::*;

    fn roles(s: &Stream) -> (Roles, Spans) {
        let timeline = Timeline::new(s.events(), s.context());
        let roles = Roles::new(&timeline, &s.context().voters);
        let dual = roles.dual_leadership(&timeline);
        (roles, dual)
    }

    #[test]
    fn steady_is_when_every_voter_is_synced_with_the_current_epoch() {
        let mut s = Stream::steady(3);
        s.active(200, 2, 2);
        s.synced(230, 3, 2, 2);
        s.synced(260, 1, 2, 2);
        s.phase(900, "end");
        let (roles, _) = roles(&s);
        assert_eq!(roles.first_steady, Some(ms(20)));
        let spans: Vec<_> = roles.not_redundant.iter().collect();
        assert_eq!(
            spans,
            [Span::new(ms(0), ms(20)), Span::new(ms(200), ms(260))]
        );
    }

    #[test]
    fn an_evicted_follower_is_out_of_sync_until_it_rejoins() {
        let mut s = Stream::steady(3);
        s.evict(100, 1, 3);
        s.node(180, 1, NodeEventKind::Rejoin { of: NodeId(3) });
        s.phase(900, "end");
        let spans: Vec<_> = roles(&s).0.not_redundant.iter().skip(1).collect();
        assert_eq!(spans, [Span::new(ms(100), ms(180))]);
    }

    #[test]
    fn a_follower_taken_back_by_its_leader_is_in_sync_only_once_it_says_so_itself() {
        let mut s = Stream::steady(3);
        s.evict(100, 1, 3);
        s.looking(110, 3, "leader_lost");
        s.node(180, 1, NodeEventKind::Rejoin { of: NodeId(3) });
        s.synced(190, 3, 1, 1);
        s.phase(900, "end");
        let spans: Vec<_> = roles(&s).0.not_redundant.iter().skip(1).collect();
        assert_eq!(spans, [Span::new(ms(100), ms(190))]);
    }

    #[test]
    fn a_cut_between_voters_costs_redundancy_even_if_nobody_notices() {
        let mut s = Stream::steady(3);
        let fault = s.links(100, vec![link("n2", "n3", true)], &[2, 3]);
        s.heal(150, fault);
        s.phase(900, "end");
        assert!(roles(&s).0.not_redundant.contains(ms(120)));
        assert!(!roles(&s).0.not_redundant.contains(ms(150)));
    }

    #[test]
    fn a_stopped_leader_claims_nothing_until_it_runs_again() {
        let mut s = Stream::steady(3);
        let fault = s.pause(100, 1);
        s.active(300, 2, 2);
        s.heal(500, fault);
        s.step_down(540, 1, 1);
        s.phase(900, "end");
        let (_, dual) = roles(&s);
        assert_eq!(
            dual.iter().collect::<Vec<_>>(),
            [Span::new(ms(500), ms(540))]
        );
    }

    #[test]
    fn a_killed_leader_claims_nothing_from_the_asking_on() {
        let mut s = Stream::steady(3);
        s.kill(100, 1);
        s.active(120, 2, 2);
        s.phase(900, "end");
        let (roles, dual) = roles(&s);
        assert!(dual.is_empty());
        assert_eq!(
            roles.leader_before(ms(100)).map(|c| c.node),
            Some(NodeId(1))
        );
        assert_eq!(roles.leader_before(ms(110)), None);
        assert_eq!(
            roles.leader_before(ms(200)).map(|c| c.node),
            Some(NodeId(2))
        );
    }

    #[test]
    fn an_isolated_leader_and_its_successor_lead_at_once_until_the_old_one_steps_down() {
        let mut s = Stream::steady(3);
        s.links(
            100,
            vec![link("n1", "n2", true), link("n1", "n3", true)],
            &[1],
        );
        s.active(300, 2, 2);
        s.looking(320, 1, "quorum_lost");
        s.phase(900, "end");
        assert_eq!(roles(&s).1.total(), ms(20));
    }
}

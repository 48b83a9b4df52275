//! Nodes brought up to date, and the return of redundancy.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::history::NodeEventKind;
use crate::id::NodeId;

use super::record::NodeSync;
use super::roles::Roles;
use super::timeline::{Fault, Timeline};

/// What became of a fault's redundancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redundancy {
    /// Back after this long.
    After(Nanos),
    /// Lost until the window ended.
    Lost,
    /// The fault did not touch it.
    Kept,
}

/// Every synchronisation of a node, from `following` to `synced`, in the order of completion.
pub(super) fn node_syncs(timeline: &Timeline<'_>) -> Vec<NodeSync> {
    let mut began: BTreeMap<NodeId, Nanos> = BTreeMap::new();
    let mut last_in_sync: BTreeMap<NodeId, Nanos> = BTreeMap::new();
    let mut syncs = Vec::new();
    for (time, node, what) in timeline.node_events() {
        match what {
            NodeEventKind::Following { .. } => {
                began.insert(node, time);
            }
            NodeEventKind::Boot { .. } | NodeEventKind::Looking { .. } => {
                began.remove(&node);
            }
            NodeEventKind::Active { .. } => {
                last_in_sync.insert(node, time);
            }
            NodeEventKind::Synced {
                mode, txns, bytes, ..
            } => {
                if let Some(from) = began.remove(&node) {
                    let before = last_in_sync.get(&node).copied().unwrap_or(Nanos::ZERO);
                    syncs.push(NodeSync {
                        node,
                        began: from,
                        took: time.since(from),
                        mode: *mode,
                        txns: *txns,
                        bytes: *bytes,
                        rejoin: was_away(timeline, node, before, from),
                    });
                }
                last_in_sync.insert(node, time);
            }
            _ => {}
        }
    }
    syncs
}

/// Whether the node was down, stopped or cut off from another node in the meantime.
fn was_away(timeline: &Timeline<'_>, node: NodeId, from: Nanos, to: Nanos) -> bool {
    timeline.stood_still(node, from, to)
        || timeline
            .links
            .iter()
            .any(|link| link.total && link.touches_node(node) && link.span.touches(from, to))
}

/// How long after the fault all voters were in sync again.
pub(super) fn redundancy(fault: &Fault<'_>, roles: &Roles) -> Redundancy {
    let origin = fault.origin();
    if roles.first_steady.is_none_or(|steady| steady > origin) {
        return Redundancy::Kept;
    }
    let broken = roles
        .not_redundant
        .iter()
        .find(|span| span.to > origin && span.from <= fault.noticeable_until());
    match broken {
        None => Redundancy::Kept,
        Some(span) if span.to <= fault.end => Redundancy::After(span.to.since(origin)),
        Some(_) => Redundancy::Lost,
    }
}

#[cfg(test)]
mod tests {
    use crate::history::{SyncMode, TrialOutcome};

    use super::super::stream::{Stream, link, ms};
    use super::*;

    #[test]
    fn a_restarted_node_rejoins_and_brings_redundancy_back() {
        let mut s = Stream::steady(3);
        s.trial_begin(50, 1);
        let fault = s.kill(100, 3);
        s.exited(101, 3);
        s.started(200, 3);
        s.heal(201, fault);
        s.following(250, 3, 1);
        s.synced(290, 3, 1, 1);
        s.trial_end(300, 1, TrialOutcome::Completed);
        s.phase(900, "end");
        let measured = s.measure();
        let trial = &measured.trials[0];
        assert_eq!(trial.redundancy, Some(ms(190)));
        let [sync] = trial.syncs.as_slice() else {
            panic!("one synchronisation, not {:?}", trial.syncs)
        };
        assert_eq!(
            (sync.node, sync.began, sync.took),
            (NodeId(3), ms(250), ms(40))
        );
        assert_eq!(
            (sync.mode, sync.txns, sync.bytes, sync.rejoin),
            (SyncMode::Diff, 204, 4096, true)
        );
        assert_eq!(measured.metrics["sync.node"].samples, [40e6]);
    }

    #[test]
    fn a_follower_that_only_changes_leaders_does_not_rejoin() {
        let mut s = Stream::steady(3);
        s.kill(100, 1);
        s.following(130, 3, 2);
        s.active(140, 2, 2);
        s.synced(150, 3, 2, 2);
        s.phase(900, "end");
        let measured = s.measure();
        assert!(!measured.trials[0].syncs[0].rejoin);
        assert_eq!(measured.metrics["redundancy"].samples, [800e6]);
        assert_eq!(measured.metrics["redundancy"].censored, 1);
    }

    #[test]
    fn a_break_that_begins_after_the_heal_is_not_the_work_of_the_fault() {
        let mut s = Stream::steady(3);
        let fault = s.links(100, vec![link("n1", "n3", false)], &[1, 3]);
        s.heal(200, fault);
        s.evict(300, 1, 3);
        s.phase(900, "end");
        let measured = s.measure();
        assert_eq!(measured.trials[0].redundancy, None);
        assert!(!measured.metrics.contains_key("redundancy"));
    }

    #[test]
    fn the_first_start_of_the_cluster_is_not_a_sample() {
        let mut s = Stream::new(3);
        s.active(10, 1, 1);
        s.following(11, 2, 1);
        s.following(11, 3, 1);
        s.synced(20, 2, 1, 1);
        s.synced(20, 3, 1, 1);
        s.phase(900, "end");
        assert!(s.measure().metrics["sync.node"].samples.is_empty());
    }
}

//! What the harness believes about each node, from its process and from what it reports: pure.

use crate::clock::Nanos;
use crate::cluster::{ClusterView, Effect, NodeView, ProcessState, Role};
use crate::history::{EventKind, NodeEvent, NodeEventKind};
use crate::id::NodeId;

/// The believed state of the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tracker {
    nodes: Vec<NodeView>,
    /// When the last process of each node ended. Reports and what processes do come by different
    /// ways: a report from before that comes late, and one of the next process may come early.
    ended: Vec<Nanos>,
    /// When each node reported last.
    reported: Vec<Nanos>,
}

impl Tracker {
    /// All nodes down and unheard of.
    #[must_use]
    pub(super) fn new(nodes: u8) -> Self {
        let unheard = |id| NodeView {
            id,
            process: ProcessState::Down,
            role: Role::Unknown,
            epoch: 0,
            follows: None,
        };
        Self {
            nodes: NodeId::all(nodes).map(unheard).collect(),
            ended: vec![Nanos::ZERO; usize::from(nodes)],
            reported: vec![Nanos::ZERO; usize::from(nodes)],
        }
    }

    /// Takes in one event of the stream, and when it happened.
    pub(super) fn take(&mut self, time: Nanos, event: &EventKind) {
        match event {
            EventKind::ProcessStarted { node, .. } => {
                self.process(*node, ProcessState::Running);
                if !self.has_reported(*node) {
                    self.role(*node, Role::Unknown, None, None);
                }
            }
            EventKind::ProcessExited { node, .. } => {
                if let Some(ended) = self.ended.get_mut(node.index()) {
                    *ended = time;
                }
                self.process(*node, ProcessState::Down);
                self.role(*node, Role::Unknown, None, None);
            }
            EventKind::ProcessPaused { node, paused } => {
                let state = if *paused {
                    ProcessState::Paused
                } else {
                    ProcessState::Running
                };
                self.process(*node, state);
            }
            EventKind::Node(event) => {
                if let Some(reported) = self.reported.get_mut(event.node.index()) {
                    *reported = time;
                }
                if self.has_reported(event.node) {
                    self.report(event);
                }
            }
            _ => {}
        }
    }

    /// Whether its last report is of a process that has not ended.
    fn has_reported(&self, node: NodeId) -> bool {
        let at = |times: &[Nanos]| times.get(node.index()).copied().unwrap_or_default();
        at(&self.reported) > at(&self.ended)
    }

    /// Believes at once that these effects are in force: the reports of the processes come a
    /// moment later, and the next step must not choose a victim that is already struck.
    pub(super) fn strike(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Down { node, .. } => {
                    self.process(*node, ProcessState::Down);
                    self.role(*node, Role::Unknown, None, None);
                }
                Effect::Paused(node) => self.process(*node, ProcessState::Paused),
                _ => {}
            }
        }
    }

    fn report(&mut self, event: &NodeEvent) {
        let node = event.node;
        match &event.what {
            NodeEventKind::Active { epoch, .. } => {
                self.role(node, Role::Leader, Some(*epoch), Some(node));
            }
            NodeEventKind::Synced { leader, epoch, .. } => {
                self.role(node, Role::Follower, Some(*epoch), Some(*leader));
            }
            NodeEventKind::Boot { .. }
            | NodeEventKind::Looking { .. }
            | NodeEventKind::Elected { .. }
            | NodeEventKind::Following { .. }
            | NodeEventKind::StepDown { .. } => self.role(node, Role::Looking, None, None),
            _ => {}
        }
    }

    fn process(&mut self, node: NodeId, state: ProcessState) {
        if let Some(view) = self.nodes.get_mut(node.index()) {
            view.process = state;
        }
    }

    fn role(&mut self, node: NodeId, role: Role, epoch: Option<u64>, follows: Option<NodeId>) {
        if let Some(view) = self.nodes.get_mut(node.index()) {
            view.role = role;
            view.follows = follows;
            view.epoch = epoch.unwrap_or(view.epoch);
        }
    }

    /// The cluster as it is believed to be now.
    #[must_use]
    pub(super) fn view(&self) -> ClusterView {
        ClusterView {
            nodes: self.nodes.clone(),
        }
    }

    /// The leader, if every node runs, and leads or follows it in its epoch.
    #[must_use]
    pub(super) fn all_in_sync(&self) -> Option<NodeId> {
        let leader = self.view().leader()?;
        let epoch = self.nodes[leader.index()].epoch;
        let in_sync = |view: &NodeView| {
            view.process == ProcessState::Running
                && view.follows == Some(leader)
                && view.epoch == epoch
        };
        self.nodes.iter().all(in_sync).then_some(leader)
    }

    /// One line on the cluster, for messages: `n1 leads epoch 3, n2 follows n1, n3 down`.
    #[must_use]
    pub(super) fn describe(&self) -> String {
        let words: Vec<String> = self.nodes.iter().map(describe).collect();
        words.join(", ")
    }
}

fn describe(view: &NodeView) -> String {
    let id = view.id;
    match (view.process, view.role, view.follows) {
        (ProcessState::Down, ..) => format!("{id} down"),
        (ProcessState::Paused, ..) => format!("{id} paused"),
        (ProcessState::Running, Role::Leader, _) => format!("{id} leads epoch {}", view.epoch),
        (ProcessState::Running, Role::Follower, Some(leader)) => format!("{id} follows {leader}"),
        (ProcessState::Running, Role::Looking, _) => format!("{id} looking"),
        (ProcessState::Running, ..) => format!("{id} starting"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ExitStatus, SyncMode};

    const NOW: Nanos = Nanos(1);
    const LATER: Nanos = Nanos(2);

    fn node(node: u8, what: NodeEventKind) -> EventKind {
        EventKind::Node(NodeEvent {
            node: NodeId(node),
            what,
        })
    }

    fn synced(of: u8, leader: u8, epoch: u64) -> EventKind {
        let what = NodeEventKind::Synced {
            leader: NodeId(leader),
            epoch,
            mode: SyncMode::Diff,
            txns: 0,
            bytes: 0,
            zxid: 0,
        };
        node(of, what)
    }

    fn three_in_sync() -> Tracker {
        let mut tracker = Tracker::new(3);
        for id in 1..=3 {
            let started = EventKind::ProcessStarted {
                node: NodeId(id),
                pid: 1,
                incarnation: 1,
            };
            tracker.take(NOW, &started);
        }
        tracker.take(NOW, &node(2, NodeEventKind::Active { epoch: 1, zxid: 0 }));
        tracker.take(NOW, &synced(1, 2, 1));
        tracker.take(NOW, &synced(3, 2, 1));
        tracker
    }

    #[test]
    fn a_cluster_is_in_sync_when_all_follow_the_leader_in_its_epoch() {
        let mut tracker = three_in_sync();
        assert_eq!(tracker.all_in_sync(), Some(NodeId(2)));
        tracker.take(
            NOW,
            &node(
                3,
                NodeEventKind::Looking {
                    reason: "leader_lost".to_owned(),
                },
            ),
        );
        assert_eq!(tracker.all_in_sync(), None);
        assert_eq!(tracker.view().leader(), Some(NodeId(2)));
    }

    #[test]
    fn a_struck_node_is_believed_down_before_its_exit_is_reported() {
        let mut tracker = three_in_sync();
        let how = crate::cluster::Ending::Kill;
        let down = |node| Effect::Down {
            node: NodeId(node),
            how,
        };
        tracker.strike(&[down(1), down(3)]);
        assert_eq!(tracker.view().leader(), None, "nobody is left to follow n2");
    }

    #[test]
    fn a_dead_leader_leads_no_more() {
        let mut tracker = three_in_sync();
        tracker.take(
            LATER,
            &EventKind::ProcessExited {
                node: NodeId(2),
                status: ExitStatus::Signal(9),
                asked: true,
            },
        );
        assert_eq!(tracker.view().leader(), None);
        assert_eq!(tracker.describe(), "n1 follows n2, n2 down, n3 follows n2");
    }

    #[test]
    fn a_node_that_reports_before_its_start_is_known_is_believed() {
        let mut tracker = three_in_sync();
        let (id, pid) = (NodeId(2), 1);
        let exited = EventKind::ProcessExited {
            node: id,
            status: ExitStatus::Signal(9),
            asked: true,
        };
        tracker.take(LATER, &exited);
        tracker.take(Nanos(3), &synced(2, 1, 2));
        let incarnation = 2;
        let started = EventKind::ProcessStarted {
            node: id,
            pid,
            incarnation,
        };
        tracker.take(Nanos(3), &started);
        assert_eq!(
            tracker.describe(),
            "n1 follows n2, n2 follows n1, n3 follows n2"
        );
    }

    #[test]
    fn what_a_dead_process_had_to_say_comes_too_late() {
        let mut tracker = three_in_sync();
        let exited = EventKind::ProcessExited {
            node: NodeId(3),
            status: ExitStatus::Signal(9),
            asked: true,
        };
        tracker.take(LATER, &exited);
        tracker.take(NOW, &synced(3, 2, 1));
        assert_eq!(
            tracker.describe(),
            "n1 follows n2, n2 leads epoch 1, n3 down"
        );
        assert_eq!(tracker.view().nodes[2].role, Role::Unknown);
    }
}

//! What the harness believes about the cluster at one instant: the input of every selector.

use crate::id::NodeId;

/// What a node's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// Running.
    Running,
    /// Stopped by SIGSTOP.
    Paused,
    /// Not there.
    Down,
}

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It leads and may commit.
    Leader,
    /// It follows a leader and serves.
    Follower,
    /// Neither: electing, discovering or synchronising.
    Looking,
    /// Nothing has been heard from it.
    Unknown,
}

/// One node as the harness sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeView {
    /// Which.
    pub id: NodeId,
    /// Its process.
    pub process: ProcessState,
    /// Its own claim.
    pub role: Role,
    /// The epoch (term) in which it claims it; 0 if unknown.
    pub epoch: u64,
    /// Whom it follows, if it says so; a leader follows itself.
    pub follows: Option<NodeId>,
}

/// The cluster at one instant, nodes in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// All members, running or not.
    pub nodes: Vec<NodeView>,
}

impl ClusterView {
    /// How many nodes are a majority.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// The leader: of those who claim to lead, the one of the highest epoch in whom a majority
    /// (itself included) believes.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.claimants()
            .filter(|claim| {
                let believers = self
                    .nodes
                    .iter()
                    .filter(|n| n.follows == Some(claim.id) && n.epoch == claim.epoch)
                    .count();
                believers >= self.quorum()
            })
            .max_by_key(|claim| claim.epoch)
            .map(|claim| claim.id)
    }

    /// Every running node that says it leads.
    pub fn claimants(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes
            .iter()
            .filter(|n| n.role == Role::Leader && n.process == ProcessState::Running)
    }

    /// One node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&NodeView> {
        self.nodes.get(id.index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u8, role: Role, epoch: u64, follows: u8) -> NodeView {
        NodeView {
            id: NodeId(id),
            process: ProcessState::Running,
            role,
            epoch,
            follows: Some(NodeId(follows)),
        }
    }

    #[test]
    fn the_leader_is_the_claimant_of_the_highest_epoch_that_a_majority_follows() {
        let view = ClusterView {
            nodes: vec![
                node(1, Role::Leader, 1, 1),
                node(2, Role::Leader, 2, 2),
                node(3, Role::Follower, 2, 2),
            ],
        };
        assert_eq!(view.leader(), Some(NodeId(2)));
        assert_eq!(view.claimants().count(), 2);
    }

    #[test]
    fn a_claimant_without_a_majority_is_no_leader() {
        let view = ClusterView {
            nodes: vec![
                node(1, Role::Leader, 3, 1),
                node(2, Role::Looking, 2, 9),
                node(3, Role::Looking, 2, 9),
            ],
        };
        assert_eq!(view.leader(), None);
    }
}

//! What the cluster answers: a fault landed, missed, or was lifted, or why it could not obey.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use super::crossed::Figures;
use crate::clock::Nanos;
use crate::disk::{DiskError, Lost, Met};
use crate::id::{FaultId, NodeId};
use crate::link::{LinkId, RuleError};
use crate::packet::SwitchError;

/// A fault that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landing {
    /// Just before the first system call.
    pub asked_at: Nanos,
    /// When the last effect was confirmed.
    pub landed_at: Nanos,
    /// What the disks of the nodes lost that lost their power.
    pub lost: Option<Lost>,
}

/// A fault that did not come into force. Nothing of it is left in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Missed {
    /// Just before the first system call, or when it was given up without one.
    pub asked_at: Nanos,
    /// Why.
    pub reason: String,
}

/// What was lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// When the last consequence was confirmed.
    pub at: Nanos,
    /// The faults of which nothing is left, in the order of their numbers.
    pub faults: Vec<FaultId>,
    /// What the rules of disks met that were lifted.
    pub met: BTreeMap<FaultId, Met>,
    /// What else these faults were seen to do while they were in force.
    pub measured: BTreeMap<FaultId, Figures>,
}

/// The cluster could not be brought into the state that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no such node.
    #[error("there is no node {0}")]
    NoSuchNode(NodeId),
    /// Two nodes have one id.
    #[error("there are two nodes {0}")]
    TwoNodes(NodeId),
    /// A node would listen where others can reach it.
    #[error("{node} listens on {addr}, which is not a loopback address")]
    NotLoopback {
        /// Which node.
        node: NodeId,
        /// Where it listens.
        addr: SocketAddr,
    },
    /// It has a process already.
    #[error("{0} is running already")]
    NotDown(NodeId),
    /// Its files were not harmed.
    #[error("{node} was not harmed: {source}")]
    Unharmed {
        /// Which node.
        node: NodeId,
        /// Why.
        source: io::Error,
    },
    /// Connections were to be harmed where there are none.
    #[error("no connection of {0} could be struck: there is none")]
    NoConnection(LinkId),
    /// It has no process.
    #[error("{0} is down")]
    Down(NodeId),
    /// Its program could not be started.
    #[error("{node} cannot be started: {source}")]
    NotStarted {
        /// Which node.
        node: NodeId,
        /// Why.
        source: io::Error,
    },
    /// A signal could not be sent or had no consequence in time.
    #[error("{node} does not {what}: {source}")]
    Unmoved {
        /// Which node.
        node: NodeId,
        /// What it should have done.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The disk under its data is not there or does not obey.
    #[error("{node}: {source}")]
    Disk {
        /// Whose.
        node: NodeId,
        /// Why.
        source: DiskError,
    },
    /// A fault of disks met a node whose data lies on an ordinary one.
    #[error("the data of {0} lies on no disk that a fault can reach")]
    NoDisk(NodeId),
    /// Rules of links could not be obeyed.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// Rules of packets could not.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// Connections were to be struck where nobody but the kernel knows them.
    #[error("`{0}` strikes connections: it needs `network: proxy`")]
    NoStreams(&'static str),
    /// The journal could not be written.
    #[error("the journal of faults cannot be written: {0}")]
    Journal(io::Error),
    /// The reaper does not end.
    #[error("the reaper cannot be ended: {0}")]
    Reaper(io::Error),
}

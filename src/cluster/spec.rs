//! What a cluster is made of: how to start each node, and what all of them share.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::mpsc;

use super::answer::ClusterError;
use super::network::Network;
use super::reaper::Reaper;
use crate::clock::RunClock;
use crate::history::Event;
use crate::id::NodeId;

/// How to start one node, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Which node.
    pub id: NodeId,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables to set in its environment, which is otherwise the harness's own.
    pub env: Vec<(String, String)>,
    /// Its working directory; must exist.
    pub dir: PathBuf,
    /// The file to which its standard output is appended.
    pub stdout: PathBuf,
    /// The file to which its standard error is appended.
    pub stderr: PathBuf,
    /// Where it listens itself, for clients and for peers.
    pub listens: Vec<SocketAddr>,
    /// The folder with its durable state, if that is to lie on a disk that faults can reach; made
    /// if it is not there.
    pub disk: Option<PathBuf>,
}

/// What a cluster is made of.
#[derive(Debug)]
pub struct Setup {
    /// All nodes.
    pub nodes: Vec<NodeSpec>,
    /// What carries their data.
    pub network: Network,
    /// Who spawns them.
    pub reaper: Reaper,
    /// The run's clock.
    pub clock: RunClock,
    /// Where process events go.
    pub events: mpsc::UnboundedSender<Event>,
    /// The file for the write-ahead journal of faults; must not exist yet.
    pub journal: PathBuf,
}

/// Only loopback is ever a target, unless the nodes have networks `apart`.
pub(super) fn check(spec: &NodeSpec, apart: bool) -> Result<(), ClusterError> {
    let mut listens = spec.listens.iter();
    match listens.find(|addr| !addr.ip().is_loopback()) {
        Some(addr) if !apart => Err(ClusterError::NotLoopback {
            node: spec.id,
            addr: *addr,
        }),
        _ => Ok(()),
    }
}

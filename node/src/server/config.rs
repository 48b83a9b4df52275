//! What a node is told at its start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bug::Bugs;
use crate::protocol::io::Timing;
use crate::protocol::zxid::Sid;

/// What a node is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which node it is.
    pub me: Sid,
    /// Where it finds each other voter. Which address that is may differ from node to node: a proxy
    /// may stand in between.
    pub peers: BTreeMap<Sid, SocketAddr>,
    /// Where it accepts clients.
    pub client: SocketAddr,
    /// Where it accepts its peers.
    pub listen: SocketAddr,
    /// Its data.
    pub data: PathBuf,
    /// The timing of liveness.
    pub timing: Timing,
    /// The tick, in milliseconds, which clients are told.
    pub tick_ms: u32,
    /// Between what session timeouts lie, in milliseconds.
    pub session_timeout_ms: (i32, i32),
    /// Most connections of clients from one address; 0 for no bound.
    pub max_connections: u32,
    /// The identity of the super user, `user:hash`, who may do everything; nobody if none.
    pub super_digest: Option<String>,
    /// The members of the cluster as clients read them: `server.N=…` lines, and a version.
    pub members: String,
    /// Whether reads ask a quorum first.
    pub linear_reads: bool,
    /// After how many transactions a snapshot is saved.
    pub snapshot_every: u64,
    /// Where the trace goes; standard output if nowhere else.
    pub trace: Option<PathBuf>,
    /// What session passwords derive from; equal on all nodes.
    pub secret: String,
    /// Rules that are broken on purpose.
    pub bugs: Bugs,
}

impl Config {
    /// How many transactions this node counts as applied since a snapshot when it starts. It differs
    /// from node to node, so that they do not all save a snapshot at the same transaction: their
    /// disks would be slow together.
    pub(super) fn snapshot_phase(&self) -> u64 {
        let before = self.peers.range(..self.me).count() as u64;
        let voters = self.peers.len() as u64 + 1;
        self.snapshot_every / voters * before
    }
}

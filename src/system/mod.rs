//! Systems under test: how to start their nodes, ask their state, and talk to them as a client.
//!
//! A driver never touches processes and never retries: it describes nodes, reads states, and turns
//! one operation into one reply. Peer addresses come from the [`Layout`], so that all traffic
//! between nodes passes the links.

mod stub;
mod zab;
pub mod zookeeper;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::history::{Action, Outcome, Value};
use crate::id::NodeId;

pub use stub::{STUB_COMMAND, Stub, stub_main};
pub use zab::{BUG_SETTING, Zab};

/// Every system: its name in plans, and what it is.
pub const SYSTEMS: &[(&str, &str)] = &[
    ("zab", "the bundled ZAB store, started as `chaos node`"),
    (
        "stub",
        "nodes whose every delay is known, to try the harness itself",
    ),
];

/// What nodes of this system can be asked to do by `call`, and what that means.
#[must_use]
pub fn calls(system: &str) -> &'static [(&'static str, &'static str)] {
    match system {
        "stub" => Stub::CALLS,
        _ => Zab::CALLS,
    }
}

/// A setting of `cluster.config` that the system does not take.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The stub's registers cannot be made.
    #[error("make the registers of the stub: {0}")]
    Registers(#[from] std::io::Error),
    /// There is none of this name.
    #[error("the {system} has no setting `{name}`: it has {known}")]
    Unknown {
        /// Whose.
        system: &'static str,
        /// What was written.
        name: String,
        /// What there is.
        known: String,
    },
    /// Its value makes no sense.
    #[error("the setting `{name}` is `{value}`: expected {expected}")]
    Value {
        /// Of which setting.
        name: String,
        /// What was written.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl SettingError {
    fn refuse_unknown<'a>(
        system: &'static str,
        mut given: impl Iterator<Item = &'a String>,
        known: &[&str],
    ) -> Result<(), Self> {
        match given.find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Self::Unknown {
                system,
                name: name.clone(),
                known: known.join(", "),
            }),
        }
    }
}

/// Where everything of one node lives: its own ports, and the addresses at which it finds others.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The node's folder: configuration, data, logs.
    pub dir: PathBuf,
    /// Where the node listens for clients.
    pub client: SocketAddr,
    /// Where the node listens for peers.
    pub peer: SocketAddr,
    /// Where the node must dial to reach each other node (a link's address).
    pub peers: BTreeMap<NodeId, SocketAddr>,
    /// The program to run instead of the driver's own.
    pub program: Option<PathBuf>,
}

/// How to start one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables to set in its environment.
    pub env: Vec<(String, String)>,
    /// The file to which it writes its events, if it does.
    pub trace: Option<PathBuf>,
    /// The folder with all that it must not lose.
    pub data: Option<PathBuf>,
}

/// What a node says of itself when asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it serves clients.
    pub serving: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Its epoch.
    pub epoch: u64,
    /// The last transaction that it applied.
    pub applied: u64,
    /// The last transaction that it knows to be committed.
    pub committed: u64,
    /// A digest of its whole state.
    pub digest: Option<String>,
}

/// The answer to one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// How the operation ended.
    pub outcome: Outcome,
    /// The value read, or the one that made a CAS fail.
    pub seen: Option<Value>,
    /// The version of the value written or seen.
    pub version: Option<i64>,
    /// Why it did not end well.
    pub error: Option<String>,
    /// The connection is of no further use.
    pub broken: bool,
}

/// No connection, or no sensible answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection could not be made or broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The node closed the connection instead of opening a session.
    #[error("the node does not serve")]
    NotServing,
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer makes no sense.
    #[error("unexpected answer: {0}")]
    Protocol(String),
}

/// One connection of one client. One operation in flight; no retries, no hidden reconnect; the
/// caller drops it when an operation takes too long.
#[async_trait]
pub trait Client: Send + std::fmt::Debug {
    /// Does one operation on a register.
    async fn invoke(&mut self, key: &str, action: Action) -> Reply;

    /// Brings a register into being with this value, whether it exists or not.
    async fn create(&mut self, key: &str, value: Value) -> Reply;

    /// Resolves when the connection, with nothing in flight, turns out to be lost. May be dropped
    /// at any time.
    async fn lost(&mut self);

    /// Keeps an idle session alive.
    async fn ping(&mut self) -> Result<(), ConnectError>;

    /// Ends the session in an orderly way.
    async fn close(&mut self);
}

/// A kind of replicated system.
#[async_trait]
pub trait System: Send + Sync + std::fmt::Debug {
    /// Its name in plans.
    fn name(&self) -> &'static str;

    /// For people: `bundled zab`.
    fn title(&self) -> &'static str;

    /// How to start this node.
    fn launch(&self, node: NodeId, layout: &Layout) -> Launch;

    /// Whether peer links carry `[u32 length][body]` frames that may be dropped whole.
    fn frames_peers(&self) -> bool;

    /// Asks a node at its own client address for its state.
    ///
    /// # Errors
    /// If it does not answer in time.
    async fn status(&self, addr: SocketAddr, timeout: Duration) -> Result<Status, ConnectError>;

    /// Has a node do something that its system can do by itself, and returns what it says.
    ///
    /// # Errors
    /// If the system has no such call, or the node does not do it in time.
    async fn call(
        &self,
        what: &str,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<String, ConnectError>;

    /// Opens a client connection.
    ///
    /// # Errors
    /// If there is no serving node at `addr` within `timeout`.
    async fn connect(
        &self,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<Box<dyn Client>, ConnectError>;
}

impl Reply {
    /// It succeeded.
    #[must_use]
    pub const fn ok(seen: Option<Value>, version: Option<i64>) -> Self {
        Self {
            outcome: Outcome::Ok,
            seen,
            version,
            error: None,
            broken: false,
        }
    }

    /// It certainly did not happen; the connection goes on.
    #[must_use]
    pub fn fail(error: &str) -> Self {
        Self {
            outcome: Outcome::Fail,
            seen: None,
            version: None,
            error: Some(error.to_owned()),
            broken: false,
        }
    }

    /// Nobody knows (for an update) or nothing was learned (for a read): the connection is lost.
    #[must_use]
    pub fn lost(action: &Action, error: String) -> Self {
        Self {
            outcome: if action.is_update() {
                Outcome::Info
            } else {
                Outcome::Fail
            },
            seen: None,
            version: None,
            error: Some(error),
            broken: true,
        }
    }
}

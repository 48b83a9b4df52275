//! Why a node ends, other than because it was asked to.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::jute::JuteError;
use crate::protocol::io::BootError;
use crate::protocol::zxid::Zxid;
use crate::state::SnapshotError;
use crate::storage::StorageError;

/// Why a node cannot start or go on. Texts stand behind "error: ".
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// `clients` or `peers`.
        purpose: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory: {0}")]
    Storage(#[from] StorageError),
    /// The saved snapshot is whole but not a state.
    #[error("cannot read the snapshot {zxid}: {source}")]
    Snapshot {
        /// Which.
        zxid: Zxid,
        /// What is wrong.
        source: SnapshotError,
    },
    /// The log is whole but not a history that the protocol can start from.
    #[error("cannot start from the log in {}: {source}", data.display())]
    Boot {
        /// The data directory.
        data: PathBuf,
        /// What is wrong.
        source: BootError,
    },
    /// A transaction of the log is not one.
    #[error("transaction {zxid} cannot be read: {source}")]
    Txn {
        /// Which.
        zxid: Zxid,
        /// What is wrong.
        source: JuteError,
    },
    /// The trace cannot be written.
    #[error("cannot write the trace{}: {source}", path.as_ref().map_or(String::new(), |path| format!(" {}", path.display())))]
    Trace {
        /// Its file, if it is one.
        path: Option<PathBuf>,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refuses a thread, a timer or a signal handler.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// An invariant of the protocol is broken.
    #[error("stopped to protect the data: {0}")]
    Invariant(String),
}

//! Why the disk cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use crate::protocol::zxid::Zxid;

/// Why the durable state cannot be read or changed. Texts read after "failed to use the data
/// directory:".
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A system call failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file holds what no crash can have left there.
    #[error("{} is corrupt at byte {offset}: {what}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Another process uses the directory.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The directory belongs to another node.
    #[error("{} belongs to node {found}, not to node {expected}", path.display())]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: u8,
        /// Who asks.
        expected: u8,
    },
    /// There is a log or a snapshot but no epochs.
    #[error("{} has a history but no file of epochs", .0.display())]
    NoEpochs(PathBuf),
    /// The protocol asked to cut the log at a transaction that it does not reach.
    #[error("the log from {base} to {last} cannot be cut behind {after}")]
    TruncateOutside {
        /// The transaction before the log.
        base: Zxid,
        /// Its last.
        last: Zxid,
        /// The one asked for.
        after: Zxid,
    },
    /// The protocol asked to append what does not follow.
    #[error("transaction {next} cannot stand behind {last} in the log")]
    AppendGap {
        /// The last of the log.
        last: Zxid,
        /// The one to append.
        next: Zxid,
    },
}

impl StorageError {
    /// For `map_err` on a system call.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// A corruption at this place.
    pub(super) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            offset,
            what: what.into(),
        }
    }
}

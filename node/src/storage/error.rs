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
    #[error("{} is corrupt at byte {}: {}", path.display(), damage.offset, damage.what)]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where, and what is wrong.
        damage: Damage,
    },
    /// The directory was written by an older release.
    #[error("{} has format {found}; this release reads format {supported} only", path.display())]
    OtherFormat {
        /// The file that tells.
        path: PathBuf,
        /// Its format.
        found: char,
        /// The one that this release reads.
        supported: char,
    },
    /// Another process uses the directory.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A file belongs to another node.
    #[error("{} belongs to node {found}, not to node {expected}", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: u8,
        /// Who asks.
        expected: u8,
    },
    /// There is a log or a snapshot but no epochs.
    #[error("{} has a history but no file of epochs", .0.display())]
    NoEpochs(PathBuf),
    /// There are epochs but no log.
    #[error("{} has epochs but no log: its files are missing", .0.display())]
    NoLog(PathBuf),
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
    /// An operation failed before, and what the disk holds is not known any more.
    #[error("an operation has failed before")]
    Refused,
}

/// What is wrong with the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("corrupt at byte {offset}: {what}")]
pub struct Damage {
    /// Where it was noticed: the start of the part that is not whole.
    pub offset: usize,
    /// What was expected there.
    pub what: String,
}

impl Damage {
    /// At this place.
    pub(super) fn at(offset: usize, what: impl Into<String>) -> Self {
        Self {
            offset,
            what: what.into(),
        }
    }

    /// In this file.
    pub(super) fn of(self, path: &Path) -> StorageError {
        StorageError::Corrupt {
            path: path.to_owned(),
            damage: self,
        }
    }
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
}

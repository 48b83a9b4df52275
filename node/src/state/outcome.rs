//! What applying a transaction gives: the answer to who asked, and what watches tell.

use std::sync::Arc;

use super::access::{Access, Identity, allows, permission};
use super::error::ErrorCode;
use super::stat::Stat;

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The session is open.
    Opened,
    /// The session continues on another connection.
    Moved {
        /// After how many silent milliseconds it expires.
        timeout_ms: i32,
    },
    /// The session is closed.
    Closed,
    /// The sessions were noted as alive.
    Touched,
    /// The znode was created.
    Created {
        /// Where; with the number, if it is sequential.
        path: String,
        /// Its first state.
        stat: Stat,
    },
    /// The znode was deleted.
    Deleted,
    /// The data was replaced.
    DataSet(Stat),
    /// The access list was replaced.
    AccessSet(Stat),
    /// The znode has the version.
    Checked,
    /// The znode was deleted, if it was still due for that.
    Reaped,
    /// Everything was done.
    Multi(Vec<Self>),
    /// Nothing was done. For each operation a code: 0 before the one that failed, why that failed,
    /// and [`ErrorCode::RuntimeInconsistency`] behind it.
    MultiRefused(Vec<i32>),
    /// Nothing changed, for this reason.
    Refused(ErrorCode),
}

/// What happened to a znode, as watches tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub kind: ChangeKind,
    /// To which.
    pub path: String,
    /// Its access list, or its last one: who may not read it does not hear of it.
    pub access: Arc<[Access]>,
}

impl Change {
    /// Whether somebody with these identities may hear of it.
    #[must_use]
    pub fn is_for(&self, ids: &[Identity]) -> bool {
        allows(&self.access, permission::READ, ids)
    }
}

/// What may happen to a znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was set.
    DataChanged,
    /// A child of it was created or deleted.
    ChildrenChanged,
}

impl ChangeKind {
    pub(super) fn of(self, path: &str, access: &Arc<[Access]>) -> Change {
        Change {
            kind: self,
            path: path.to_owned(),
            access: Arc::clone(access),
        }
    }
}

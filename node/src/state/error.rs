//! The error codes of ZooKeeper's client protocol that this node gives.

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[repr(i32)]
pub enum ErrorCode {
    /// An operation of a multi was not tried, because one before it failed.
    #[error("runtime inconsistency")]
    RuntimeInconsistency = -2,
    /// The request is not a well-formed record.
    #[error("marshalling error")]
    Marshalling = -5,
    /// The node cannot do this.
    #[error("unimplemented")]
    Unimplemented = -6,
    /// An argument makes no sense, such as a path without a leading slash.
    #[error("bad arguments")]
    BadArguments = -8,
    /// There is no such znode.
    #[error("no node")]
    NoNode = -101,
    /// The access list does not allow it.
    #[error("not authenticated")]
    NoAuth = -102,
    /// The znode has another version than the one given.
    #[error("bad version")]
    BadVersion = -103,
    /// An ephemeral znode cannot have children.
    #[error("no children for ephemerals")]
    NoChildrenForEphemerals = -108,
    /// There is such a znode already.
    #[error("node exists")]
    NodeExists = -110,
    /// The znode has children.
    #[error("not empty")]
    NotEmpty = -111,
    /// The session is not open, or no longer.
    #[error("session expired")]
    SessionExpired = -112,
    /// The access list is empty or not understood.
    #[error("invalid access list")]
    InvalidAcl = -114,
    /// The client could not prove who it is.
    #[error("authentication failed")]
    AuthFailed = -115,
    /// The session continues on another connection.
    #[error("session moved")]
    SessionMoved = -118,
    /// There is no such watch.
    #[error("no watcher")]
    NoWatcher = -121,
    /// The cluster cannot be reconfigured.
    #[error("reconfiguration is disabled")]
    ReconfigDisabled = -123,
    /// The client asks for more than a bound allows.
    #[error("throttled")]
    Throttled = -127,
}

impl ErrorCode {
    /// The number that stands for it in the header of a reply.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }
}

//! Transactions: what a node proposes to the replicated log on behalf of a client.

use super::access::{Access, Identity};
use super::data::Data;

/// One entry of the replicated log, as the state machine reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// When it was proposed, in milliseconds since 1970 by the proposer's clock.
    pub time_ms: i64,
    /// On behalf of which session; 0 for one that no client asked for.
    pub session: i64,
    /// Which connection of the session asks; 0 if the cluster itself does. A session that has moved
    /// to another connection refuses what comes late from the old one.
    pub connection: u64,
    /// As whom: what the session has authenticated as, and its address.
    pub ids: Vec<Identity>,
    /// What to do.
    pub op: TxnOp,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOp {
    /// Opens the transaction's session, on the transaction's connection.
    OpenSession {
        /// After how many silent milliseconds it expires.
        timeout_ms: i32,
    },
    /// Continues the transaction's session on the transaction's connection.
    MoveSession,
    /// Closes the transaction's session and deletes its ephemeral znodes. Asked for by its client, or
    /// by the cluster (connection 0) when it has expired.
    CloseSession,
    /// Tells that the clients of these sessions are alive.
    Touch {
        /// Which sessions.
        sessions: Vec<i64>,
    },
    /// Creates a znode.
    Create {
        /// Where; of a sequential one, what stands before the number.
        path: String,
        /// With which data.
        data: Data,
        /// Who may do what with it.
        access: Vec<Access>,
        /// How long it lives.
        mode: CreateMode,
        /// Whether its name ends with the count of its parent's changes, in 10 digits.
        sequential: bool,
    },
    /// Deletes a znode without children.
    Delete {
        /// Which.
        path: String,
        /// The version that it must have; −1 for any.
        version: i32,
    },
    /// Replaces the data of a znode.
    SetData {
        /// Which.
        path: String,
        /// By what.
        data: Data,
        /// The version that it must have; −1 for any.
        version: i32,
    },
    /// Replaces the access list of a znode.
    SetAccess {
        /// Which.
        path: String,
        /// By what.
        access: Vec<Access>,
        /// The version that its access list must have; −1 for any.
        version: i32,
    },
    /// Changes nothing, but fails unless the znode has this version.
    Check {
        /// Which.
        path: String,
        /// The version that it must have; −1 for any.
        version: i32,
    },
    /// Does all of these, or none.
    Multi {
        /// What to do, in order: creates, deletes, sets and checks.
        ops: Vec<TxnOp>,
    },
    /// Deletes a container or TTL znode, if it is still due for that when this is applied.
    Reap {
        /// Which.
        path: String,
    },
}

/// How long a znode lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    /// Until it is deleted.
    Persistent,
    /// As long as the session that creates it.
    Ephemeral,
    /// Until it has lost its last child.
    Container,
    /// Until it has had no children and no new data for a while.
    Ttl {
        /// For how many milliseconds; 1 to 2⁴⁰ − 1.
        ttl_ms: i64,
    },
}

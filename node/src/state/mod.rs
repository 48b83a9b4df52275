//! The replicated state machine: a tree of znodes and the open sessions.
//!
//! A *transaction* is one entry of the replicated log, as proposed by the node that took the client's
//! request. Every node applies the same transactions in the same order, and whether one succeeds is
//! decided only then: a refused write is an entry of the log too. Nothing here reads a clock; time
//! comes with the transaction.
//!
//! Invariant: two states that applied the same transactions have equal trees, sessions and digests.

mod access;
mod data;
mod error;
mod lifetime;
mod machine;
mod outcome;
mod path;
mod persistent;
mod session;
mod snapshot;
mod stat;
mod tree;
mod txn;
mod txn_codec;
mod writes;

pub use access::{Access, Identity, permission};
pub use data::Data;
pub use error::ErrorCode;
pub use machine::State;
pub use outcome::{Change, ChangeKind, Outcome};
pub use path::is_valid_path;
pub use session::{PASSWORD_LEN, Secret};
pub use snapshot::{Snapshot, SnapshotError};
pub use stat::Stat;
pub use tree::Znode;
pub use txn::{CreateMode, Txn, TxnOp};

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

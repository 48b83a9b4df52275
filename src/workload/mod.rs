//! Workloads: which operation a client process invokes next.
//!
//! *Generator*: deterministic; the same seed and the same completions give the same operations.

mod register;

use crate::history::{Action, KeyId, Value};

pub use register::{KeyPick, Register, RegisterParameters};

/// What to invoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// On which register.
    pub key: KeyId,
    /// What.
    pub action: Action,
}

/// Chooses operations and learns from their completions.
pub trait Generator: Send + std::fmt::Debug {
    /// The next operation of any worker.
    fn next(&mut self) -> Next;

    /// A worker learned that `key` holds (or held a moment ago) `value`.
    fn learn(&mut self, key: KeyId, value: Value);
}

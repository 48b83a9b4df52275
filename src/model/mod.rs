//! Models: what an object under test does when nothing goes wrong.
//!
//! *Model*: a sequential machine; an operation either fits a state or does not. *Call*: what an
//! operation asked and what its client learned, without times. Checkers ask whether some order of
//! the operations fits. Models are pure, and generic code over them is monomorphised.

mod register;

pub use register::Register;

use crate::history::{Action, KeyId, Operation, Outcome, Value};

/// An operation without its times: the input of [`Model::step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    /// What was asked.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// The value seen, if one was.
    pub seen: Option<Value>,
}

/// A sequential machine.
pub trait Model {
    /// All that matters of the past.
    type State: Copy + Eq;

    /// The state before any operation.
    fn init(&self) -> Self::State;

    /// The state after `call` takes effect in `state`, or `None` if it could not have ended as it
    /// did there.
    fn step(&self, state: Self::State, call: &Call) -> Option<Self::State>;

    /// Operations of different partitions do not influence each other: each can be checked alone.
    fn partition(&self, operation: &Operation) -> KeyId;

    /// The call for people: `read → 5`, `cas 5 → 7 failed`.
    fn describe(&self, call: &Call) -> String;
}

impl From<&Operation> for Call {
    fn from(operation: &Operation) -> Self {
        Self {
            action: operation.action,
            outcome: operation.outcome,
            seen: operation.seen,
        }
    }
}

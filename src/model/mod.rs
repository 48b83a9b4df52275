//! Models: what an object under test does when nothing goes wrong.
//!
//! *Model*: a sequential machine; an operation either fits a state or does not. *Call*: what an
//! operation asked and what its client learned, without times. Checkers ask whether some order of
//! the operations fits. Models are pure, and generic code over them is monomorphised.

mod register;

use std::fmt::Debug;
use std::hash::Hash;

pub use register::Register;

use crate::history::{Action, KeyId, Operation, Outcome, Value, Values};

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
pub trait Model: Sync {
    /// All that matters of the past.
    type State: Clone + Eq + Hash + Debug;

    /// The state before any operation.
    fn init(&self) -> Self::State;

    /// The state after `call` takes effect in `state`, or `None` if it could not have ended as it
    /// did there. `values` knows the texts and lists of the history.
    fn step(&self, state: &Self::State, call: &Call, values: &Values) -> Option<Self::State>;

    /// Operations of different partitions do not influence each other: each can be checked alone.
    fn partition(&self, operation: &Operation) -> KeyId;
}

impl Call {
    /// The call for people: `read → 5`, `cas 5 → 7 failed`, `enqueue 3`, `dequeue → nil`.
    #[must_use]
    pub fn describe(&self, values: &Values) -> String {
        let show = |value| values.show(value);
        let what = match (self.action, self.seen) {
            (Action::Read, Some(seen)) => return format!("read → {}", show(seen)),
            (Action::Read, None) => "read".to_owned(),
            (Action::Write(to), _) => format!("write {}", show(to)),
            (Action::Cas { from, to }, Some(seen)) if self.outcome == Outcome::Fail => {
                let (from, to, seen) = (show(from), show(to), show(seen));
                return format!("cas {from} → {to} failed, saw {seen}");
            }
            (Action::Cas { from, to }, _) => format!("cas {} → {}", show(from), show(to)),
            (Action::Do(verb, value), _) if verb.takes_value() => {
                format!("{} {}", verb.word(), show(value))
            }
            (Action::Do(verb, _), Some(seen)) => format!("{} → {}", verb.word(), show(seen)),
            (Action::Do(verb, _), None) => verb.word().to_owned(),
        };
        match self.outcome {
            Outcome::Ok => what,
            Outcome::Fail => format!("{what} failed"),
            Outcome::Info => format!("{what} (unknown)"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Verb;

    #[test]
    fn descriptions_read_as_sentences() {
        let describe = |action, outcome, seen: Option<i64>| {
            let call = Call {
                action,
                outcome,
                seen: seen.map(Value),
            };
            call.describe(&Values::default())
        };
        let cas = Action::Cas {
            from: Value::NIL,
            to: Value(7),
        };
        assert_eq!(describe(Action::Read, Outcome::Ok, Some(3)), "read → 3");
        assert_eq!(
            describe(Action::Write(Value(3)), Outcome::Info, None),
            "write 3 (unknown)"
        );
        assert_eq!(
            describe(cas, Outcome::Fail, Some(2)),
            "cas nil → 7 failed, saw 2"
        );
        assert_eq!(describe(cas, Outcome::Fail, None), "cas nil → 7 failed");
        let take = Action::Do(Verb::Dequeue, Value::NIL);
        assert_eq!(describe(take, Outcome::Ok, Some(2)), "dequeue → 2");
        let put = Action::Do(Verb::Enqueue, Value(2));
        assert_eq!(describe(put, Outcome::Info, None), "enqueue 2 (unknown)");
    }
}

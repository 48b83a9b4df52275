//! A register with read, write and compare-and-set.

use super::{Call, Model};
use crate::history::{Action, KeyId, Operation, Outcome, Value};

/// One register per key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// The value of every key before its first operation.
    pub initial: Value,
}

impl Default for Register {
    /// Absent at the start.
    fn default() -> Self {
        Self {
            initial: Value::NIL,
        }
    }
}

impl Model for Register {
    type State = Value;

    fn init(&self) -> Value {
        self.initial
    }

    fn step(&self, state: Value, call: &Call) -> Option<Value> {
        match (call.action, call.outcome) {
            // Without a value seen, a read or a failed write says nothing.
            (Action::Read, _) => call.seen.is_none_or(|seen| seen == state).then_some(state),
            (Action::Write(_), Outcome::Fail) => Some(state),
            (Action::Write(to), Outcome::Ok | Outcome::Info) => Some(to),
            // A failed CAS is an observation: of the value that it met, or that it was not `from`.
            (Action::Cas { from, .. }, Outcome::Fail) => call
                .seen
                .map_or(state != from, |seen| seen == state)
                .then_some(state),
            (Action::Cas { from, to }, Outcome::Ok | Outcome::Info) => {
                (state == from).then_some(to)
            }
        }
    }

    fn partition(&self, operation: &Operation) -> KeyId {
        operation.key
    }

    fn describe(&self, call: &Call) -> String {
        let what = match (call.action, call.seen) {
            (Action::Read, Some(seen)) => return format!("read → {seen}"),
            (Action::Read, None) => "read".to_owned(),
            (Action::Write(to), _) => format!("write {to}"),
            (Action::Cas { from, to }, Some(seen)) if call.outcome == Outcome::Fail => {
                return format!("cas {from} → {to} failed, saw {seen}");
            }
            (Action::Cas { from, to }, _) => format!("cas {from} → {to}"),
        };
        match call.outcome {
            Outcome::Ok => what,
            Outcome::Fail => format!("{what} failed"),
            Outcome::Info => format!("{what} (unknown)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(state: i64, action: Action, outcome: Outcome, seen: Option<i64>) -> Option<i64> {
        let call = Call {
            action,
            outcome,
            seen: seen.map(Value),
        };
        let after = Register::default().step(Value(state), &call);
        after.map(|value| value.0)
    }

    #[test]
    fn a_read_fits_only_the_value_it_returned() {
        assert_eq!(step(5, Action::Read, Outcome::Ok, Some(5)), Some(5));
        assert_eq!(step(5, Action::Read, Outcome::Ok, Some(6)), None);
    }

    #[test]
    fn a_cas_fits_only_its_expected_value_and_its_failure_any_other() {
        let cas = Action::Cas {
            from: Value(5),
            to: Value(7),
        };
        assert_eq!(step(5, cas, Outcome::Ok, None), Some(7));
        assert_eq!(step(6, cas, Outcome::Ok, None), None);
        assert_eq!(step(5, cas, Outcome::Fail, None), None);
        assert_eq!(step(6, cas, Outcome::Fail, None), Some(6));
        assert_eq!(step(6, cas, Outcome::Fail, Some(6)), Some(6));
        assert_eq!(step(8, cas, Outcome::Fail, Some(6)), None);
    }

    #[test]
    fn descriptions_read_as_sentences() {
        let describe = |action, outcome, seen: Option<i64>| {
            Register::default().describe(&Call {
                action,
                outcome,
                seen: seen.map(Value),
            })
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
    }
}

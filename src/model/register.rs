//! A register with read, write and compare-and-set.

use super::{Call, Model};
use crate::history::{Action, Outcome, Value, Values};

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

impl Register {
    /// The value after `call` takes effect on `state`, or `None` if it could not have ended as it
    /// did there.
    #[must_use]
    pub fn after(state: Value, call: &Call) -> Option<Value> {
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
            (Action::Do(..), _) => None,
        }
    }
}

impl Model for Register {
    type State = Value;

    fn init(&self) -> Value {
        self.initial
    }

    fn step(&self, state: &Value, call: &Call, _values: &Values) -> Option<Value> {
        Self::after(*state, call)
    }

    fn knows(&self, call: &Call, _values: &Values) -> bool {
        !matches!(call.action, Action::Do(..))
    }

    fn object(&self) -> &'static str {
        "register holds"
    }

    fn show(&self, state: &Self::State, values: &Values) -> String {
        values.show(*state).to_string()
    }

    fn complaint(&self, _call: &Call, _values: &Values) -> String {
        "the register could not have held what it needs".to_owned()
    }

    fn says_nothing(&self, call: &Call) -> bool {
        match call.action {
            Action::Read => call.outcome != Outcome::Ok || call.seen.is_none(),
            Action::Write(_) | Action::Do(..) => call.outcome == Outcome::Fail,
            Action::Cas { .. } => false,
        }
    }

    fn observes(&self, call: &Call) -> bool {
        call.action == Action::Read || call.outcome == Outcome::Fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ProcessId;

    fn step(state: i64, action: Action, outcome: Outcome, seen: Option<i64>) -> Option<i64> {
        let call = Call {
            process: ProcessId(0),
            action,
            outcome,
            seen: seen.map(Value),
        };
        let after = Register::after(Value(state), &call);
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
}

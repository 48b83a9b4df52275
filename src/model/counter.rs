//! A counter: add a number, read the sum.

use super::{Call, Model};
use crate::history::{Action, Content, Outcome, Value, Values, Verb};

/// One counter per key, 0 at the start. Numbers to add may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter;

impl Model for Counter {
    type State = i128;

    fn init(&self) -> i128 {
        0
    }

    fn step(&self, state: &i128, call: &Call, _values: &Values) -> Option<i128> {
        match (call.action, call.outcome) {
            (_, Outcome::Fail) => Some(*state),
            (Action::Read, _) => call
                .seen
                .is_none_or(|seen| number(seen) == *state)
                .then_some(*state),
            (Action::Do(Verb::Add, more), _) => Some(*state + number(more)),
            (Action::Write(_) | Action::Cas { .. } | Action::Do(..), _) => None,
        }
    }

    fn knows(&self, call: &Call, values: &Values) -> bool {
        let is_number = |value| {
            let content = values.content(value);
            matches!(content, Content::Integer(_) | Content::Nil)
        };
        match call.action {
            Action::Read => call.seen.is_none_or(is_number),
            Action::Do(verb, more) => verb == Verb::Add && is_number(more),
            Action::Write(_) | Action::Cas { .. } => false,
        }
    }

    fn object(&self) -> &'static str {
        "sum is"
    }

    fn show(&self, state: &Self::State, _values: &Values) -> String {
        state.to_string()
    }

    fn complaint(&self, call: &Call, values: &Values) -> String {
        let seen = call.seen.unwrap_or(Value::NIL);
        format!("the sum could not have been {}", values.show(seen))
    }
}

/// Absent is 0.
fn number(value: Value) -> i128 {
    if value == Value::NIL {
        0
    } else {
        i128::from(value.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{ok, run};

    #[test]
    fn a_read_is_the_sum_of_what_was_added() {
        let values = Values::default();
        let add = |value| ok(Action::Do(Verb::Add, Value(value)), None);
        let read = |value| ok(Action::Read, Some(value));
        let fits = |calls: &[Call]| run(&Counter, calls, &values).is_some();
        assert!(fits(&[read(Value::NIL), add(3), add(-1), read(Value(2))]));
        assert!(!fits(&[add(3), read(Value(2))]));
        assert!(fits(&[add(i64::MAX), add(i64::MAX), add(-2)]));
    }

    #[test]
    fn a_text_is_not_a_number() {
        let mut values = Values::default();
        let text = values.text("1");
        assert!(!Counter.knows(&ok(Action::Read, Some(text)), &values));
        assert!(Counter.knows(&ok(Action::Read, Some(Value::NIL)), &values));
    }
}

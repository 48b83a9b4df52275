//! A lock that one process holds at a time and gives back itself.

use super::{Call, Model};
use crate::history::{Action, Outcome, Value, Values, Verb};
use crate::id::ProcessId;

/// One lock per key, free at the start. An attempt that failed says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mutex;

impl Model for Mutex {
    /// Who holds it.
    type State = Option<ProcessId>;

    fn init(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, call: &Call, _values: &Values) -> Option<Self::State> {
        match (call.action, call.outcome) {
            (_, Outcome::Fail) => Some(*state),
            (Action::Do(Verb::Acquire, _), _) => state.is_none().then_some(Some(call.process)),
            (Action::Do(Verb::Release, _), _) => (*state == Some(call.process)).then_some(None),
            (Action::Read | Action::Write(_) | Action::Cas { .. } | Action::Do(..), _) => None,
        }
    }

    fn knows(&self, call: &Call, _values: &Values) -> bool {
        matches!(call.action, Action::Do(Verb::Acquire | Verb::Release, _))
    }

    fn object(&self) -> &'static str {
        "lock is"
    }

    fn show(&self, state: &Self::State, _values: &Values) -> String {
        match state {
            None => "free".to_owned(),
            Some(process) => format!("held by process {process}"),
        }
    }

    fn complaint(&self, call: &Call, _values: &Values) -> String {
        match call.action {
            Action::Do(Verb::Release, _) => {
                format!("process {} could not have held the lock", call.process)
            }
            Action::Read | Action::Write(_) | Action::Cas { .. } | Action::Do(..) => {
                "the lock could not have been free".to_owned()
            }
        }
    }

    fn is_personal(&self) -> bool {
        true
    }

    /// All that one process did: between its acquire and its release nobody else did anything.
    fn tie(&self, call: &Call) -> Option<Value> {
        i64::try_from(call.process.0).ok().map(Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::ok;

    #[test]
    fn one_process_holds_it_and_gives_it_back_itself() {
        let by = |process, verb| Call {
            process: ProcessId(process),
            ..ok(Action::Do(verb, Value::NIL), None)
        };
        let fits = |calls: &[Call]| {
            crate::model::testing::run(&Mutex, calls, &Values::default()).is_some()
        };
        let (take, give) = (Verb::Acquire, Verb::Release);
        assert!(fits(&[by(1, take), by(1, give), by(2, take), by(2, give)]));
        assert!(!fits(&[by(1, take), by(2, take)]));
        assert!(!fits(&[by(1, take), by(1, take)]));
        assert!(!fits(&[by(1, take), by(2, give)]));
        assert!(!fits(&[by(1, give)]));
    }
}

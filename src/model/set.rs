//! A set that only grows: add an element, read all of them.

use std::sync::Arc;

use super::{Call, Model, forget_elements, is_list, listed};
use crate::history::{Action, Outcome, Value, Values, Verb};

/// One set per key, empty at the start. A read returns a list of its elements, each once, in any
/// order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Set;

impl Model for Set {
    /// The elements in ascending order.
    type State = Arc<Vec<Value>>;

    fn init(&self) -> Self::State {
        Arc::default()
    }

    fn step(&self, state: &Self::State, call: &Call, values: &Values) -> Option<Self::State> {
        match (call.action, call.outcome) {
            (_, Outcome::Fail) => Some(Arc::clone(state)),
            (Action::Read, _) => call
                .seen
                .is_none_or(|seen| is_all_of(values.elements(seen), state))
                .then(|| Arc::clone(state)),
            (Action::Do(Verb::Add, element), _) => Some(match state.binary_search(&element) {
                Ok(_) => Arc::clone(state),
                Err(place) => {
                    let mut more = state.to_vec();
                    more.insert(place, element);
                    Arc::new(more)
                }
            }),
            (Action::Write(_) | Action::Cas { .. } | Action::Do(..), _) => None,
        }
    }

    fn knows(&self, call: &Call, values: &Values) -> bool {
        match call.action {
            Action::Read => call.seen.is_none_or(|seen| is_list(seen, values)),
            Action::Do(verb, _) => verb == Verb::Add,
            Action::Write(_) | Action::Cas { .. } => false,
        }
    }

    fn object(&self) -> &'static str {
        "set is"
    }

    fn show(&self, state: &Self::State, values: &Values) -> String {
        format!("{{{}}}", listed(state, values))
    }

    fn complaint(&self, call: &Call, values: &Values) -> String {
        let seen = call.seen.unwrap_or(Value::NIL);
        format!("the set could not have been {}", values.show(seen))
    }

    fn bytes(&self, state: &Self::State) -> usize {
        state.len() * size_of::<Value>()
    }

    fn puts(&self, call: &Call) -> Option<Value> {
        match call.action {
            Action::Do(_, element) => Some(element),
            Action::Read | Action::Write(_) | Action::Cas { .. } => None,
        }
    }

    fn finds<'a>(&self, call: &'a Call, values: &'a Values) -> &'a [Value] {
        call.seen.map_or(&[], |seen| values.elements(seen))
    }

    fn forget(&self, call: &Call, is_gone: &dyn Fn(Value) -> bool, values: &mut Values) -> Call {
        forget_elements(call, is_gone, values)
    }
}

/// Whether `list` has the elements of `set`, each once.
fn is_all_of(list: &[Value], set: &[Value]) -> bool {
    if list.len() != set.len() || !list.iter().all(|value| set.binary_search(value).is_ok()) {
        return false;
    }
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    sorted == set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{ok, run};

    #[test]
    fn a_read_has_every_element_once_in_any_order() {
        let mut values = Values::default();
        let [whole, part, twice, none] = [&[2, 1][..], &[1], &[1, 1], &[]].map(|list| {
            let list: Vec<Value> = list.iter().copied().map(Value).collect();
            values.list(&list)
        });
        let add = |value| ok(Action::Do(Verb::Add, Value(value)), None);
        let fits = |seen| {
            let calls = [add(1), add(2), add(1), ok(Action::Read, Some(seen))];
            run(&Set, &calls, &values).is_some()
        };
        assert!(fits(whole));
        assert!(!fits(part) && !fits(twice) && !fits(none) && !fits(Value::NIL));
        for empty in [none, Value::NIL] {
            assert!(run(&Set, &[ok(Action::Read, Some(empty))], &values).is_some());
        }
    }
}

//! A list that only grows: append an element, read all of them in their order.

use std::sync::Arc;

use super::{Call, Model, forget_elements, is_list, listed};
use crate::history::{Action, Outcome, Value, Values, Verb};

/// One list per key, empty at the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppendList;

impl Model for AppendList {
    type State = Arc<Vec<Value>>;

    fn init(&self) -> Self::State {
        Arc::default()
    }

    fn step(&self, state: &Self::State, call: &Call, values: &Values) -> Option<Self::State> {
        match (call.action, call.outcome) {
            (_, Outcome::Fail) => Some(Arc::clone(state)),
            (Action::Read, _) => call
                .seen
                .is_none_or(|seen| values.elements(seen) == state.as_slice())
                .then(|| Arc::clone(state)),
            (Action::Do(Verb::Append, element), _) => {
                let mut more = Vec::with_capacity(state.len() + 1);
                more.extend_from_slice(state);
                more.push(element);
                Some(Arc::new(more))
            }
            (Action::Write(_) | Action::Cas { .. } | Action::Do(..), _) => None,
        }
    }

    fn knows(&self, call: &Call, values: &Values) -> bool {
        match call.action {
            Action::Read => call.seen.is_none_or(|seen| is_list(seen, values)),
            Action::Do(verb, _) => verb == Verb::Append,
            Action::Write(_) | Action::Cas { .. } => false,
        }
    }

    fn object(&self) -> &'static str {
        "list is"
    }

    fn show(&self, state: &Self::State, values: &Values) -> String {
        format!("[{}]", listed(state, values))
    }

    fn complaint(&self, call: &Call, values: &Values) -> String {
        let seen = call.seen.unwrap_or(Value::NIL);
        format!("the list could not have been {}", values.show(seen))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{ok, run};

    #[test]
    fn a_read_has_the_elements_in_the_order_of_their_appends() {
        let mut values = Values::default();
        let lists = [[1, 2], [2, 1]];
        let [right, wrong] = lists.map(|list| values.list(&list.map(Value)));
        let append = |value| ok(Action::Do(Verb::Append, Value(value)), None);
        let fits = |seen| {
            let calls = [append(1), append(2), ok(Action::Read, Some(seen))];
            run(&AppendList, &calls, &values).is_some()
        };
        assert!(fits(right));
        assert!(!fits(wrong) && !fits(Value::NIL));
        assert!(run(&AppendList, &[ok(Action::Read, Some(Value::NIL))], &values).is_some());
    }

    #[test]
    fn what_is_gone_is_gone_from_what_was_read() {
        let mut values = Values::default();
        let list = values.list(&[Value(1), Value(2), Value(3)]);
        let read = ok(Action::Read, Some(list));
        let rest = AppendList.forget(&read, &|value| value == Value(2), &mut values);
        assert_eq!(AppendList.finds(&rest, &values), [Value(1), Value(3)]);
    }
}

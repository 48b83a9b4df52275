//! A store of texts: get, put and append, as in the key-value service of MIT's 6.5840 and
//! Porcupine's logs of it.

use std::sync::Arc;

use super::{Call, Model};
use crate::history::{Action, Content, Outcome, Value, Values, Verb};

/// One text per key. Absent is the empty text: a get of nil and a get of `""` are the same. A
/// number is its digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kv;

impl Model for Kv {
    type State = Arc<str>;

    fn init(&self) -> Self::State {
        Arc::from("")
    }

    fn step(&self, state: &Self::State, call: &Call, values: &Values) -> Option<Self::State> {
        match (call.action, call.outcome) {
            (_, Outcome::Fail) => Some(Arc::clone(state)),
            (Action::Read, _) => call
                .seen
                .is_none_or(|seen| is_text(state, seen, values))
                .then(|| Arc::clone(state)),
            (Action::Write(to), _) => Some(Arc::from(text(to, values))),
            (Action::Do(Verb::Append, more), _) => {
                Some(Arc::from(format!("{state}{}", text(more, values))))
            }
            (Action::Cas { .. } | Action::Do(..), _) => None,
        }
    }

    fn knows(&self, call: &Call, values: &Values) -> bool {
        let is_text = |value| !matches!(values.content(value), Content::List(_));
        match call.action {
            Action::Read => call.seen.is_none_or(is_text),
            Action::Write(to) => is_text(to),
            Action::Do(verb, more) => verb == Verb::Append && is_text(more),
            Action::Cas { .. } => false,
        }
    }

    fn object(&self) -> &'static str {
        "text is"
    }

    fn show(&self, state: &Self::State, _values: &Values) -> String {
        format!("{state:?}")
    }

    fn complaint(&self, call: &Call, values: &Values) -> String {
        let seen = call.seen.unwrap_or(Value::NIL);
        format!("the text could not have been {}", values.show(seen))
    }

    fn resets(&self, call: &Call) -> bool {
        call.outcome == Outcome::Ok && matches!(call.action, Action::Write(_))
    }

    fn bytes(&self, state: &Self::State) -> usize {
        state.len()
    }
}

fn text(value: Value, values: &Values) -> String {
    match values.content(value) {
        Content::Text(text) => text.to_owned(),
        Content::Integer(number) => number.to_string(),
        Content::Nil | Content::List(_) => String::new(),
    }
}

/// Without an allocation for what is a text already.
fn is_text(state: &str, seen: Value, values: &Values) -> bool {
    match values.content(seen) {
        Content::Text(text) => text == state,
        Content::Nil => state.is_empty(),
        Content::Integer(number) => state == number.to_string(),
        Content::List(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{ok, run};

    #[test]
    fn appends_go_behind_what_is_there_and_a_put_replaces_it() {
        let mut values = Values::default();
        let [a, b, ab, none] = ["a", "b", "ab", ""].map(|text| values.text(text));
        let append = |value| ok(Action::Do(Verb::Append, value), None);
        let (put, get) = (
            |value| ok(Action::Write(value), None),
            |value| ok(Action::Read, Some(value)),
        );
        let fits = |calls: &[Call]| run(&Kv, calls, &values).is_some();
        assert!(fits(&[append(a), append(b), get(ab)]));
        assert!(fits(&[append(a), put(b), get(b)]));
        assert!(!fits(&[append(b), append(a), get(ab)]));
        assert!(fits(&[
            get(none),
            get(Value::NIL),
            put(a),
            put(none),
            get(Value::NIL)
        ]));
        assert!(fits(&[put(Value(4)), append(Value(2)), get(Value(42))]));
    }
}

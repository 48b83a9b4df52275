//! A queue that returns values in the order in which they came.

use std::sync::Arc;

use super::{Call, Model, is_of_queue, listed};
use crate::history::{Action, Outcome, Value, Values, Verb};

/// One queue per key, empty at the start. A dequeue returns [`Value::NIL`] if it found nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fifo;

impl Model for Fifo {
    /// The front first.
    type State = Arc<Vec<Value>>;

    fn init(&self) -> Self::State {
        Arc::default()
    }

    fn step(&self, state: &Self::State, call: &Call, _values: &Values) -> Option<Self::State> {
        match (call.action, call.outcome) {
            (_, Outcome::Fail) => Some(Arc::clone(state)),
            (Action::Do(Verb::Enqueue, value), _) => {
                let mut more = Vec::with_capacity(state.len() + 1);
                more.extend_from_slice(state);
                more.push(value);
                Some(Arc::new(more))
            }
            (Action::Do(Verb::Dequeue, _), _) => {
                let front = state.first().copied().unwrap_or(Value::NIL);
                // Of an unknown outcome it may have been anything that was in front.
                let fits = call.seen.is_none_or(|seen| seen == front);
                fits.then(|| match state.as_slice() {
                    [] => Arc::clone(state),
                    [_, rest @ ..] => Arc::new(rest.to_vec()),
                })
            }
            (Action::Read | Action::Write(_) | Action::Cas { .. } | Action::Do(..), _) => None,
        }
    }

    fn knows(&self, call: &Call, _values: &Values) -> bool {
        is_of_queue(call)
    }

    fn object(&self) -> &'static str {
        "queue holds"
    }

    fn show(&self, state: &Self::State, values: &Values) -> String {
        match state.as_slice() {
            [] => "nothing".to_owned(),
            elements => listed(elements, values),
        }
    }

    fn complaint(&self, call: &Call, values: &Values) -> String {
        match call.seen {
            None => "the queue could not have taken it".to_owned(),
            Some(Value::NIL) => "the queue could not have been empty".to_owned(),
            Some(seen) => format!(
                "the queue could not have held {} in front",
                values.show(seen)
            ),
        }
    }

    fn observes(&self, call: &Call) -> bool {
        call.seen == Some(Value::NIL)
    }

    fn bytes(&self, state: &Self::State) -> usize {
        state.len() * size_of::<Value>()
    }

    fn puts(&self, call: &Call) -> Option<Value> {
        match call.action {
            Action::Do(Verb::Enqueue, value) => Some(value),
            Action::Read | Action::Write(_) | Action::Cas { .. } | Action::Do(..) => None,
        }
    }

    fn finds<'a>(&self, call: &'a Call, _values: &'a Values) -> &'a [Value] {
        call.seen.as_slice()
    }

    fn tie(&self, call: &Call) -> Option<Value> {
        self.puts(call).or(call.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{info, ok, run};

    #[test]
    fn the_first_in_is_the_first_out_and_nil_means_empty() {
        let values = Values::default();
        let put = |value| ok(Action::Do(Verb::Enqueue, Value(value)), None);
        let take = Action::Do(Verb::Dequeue, Value::NIL);
        let took = |value| ok(take, Some(value));
        let fits = |calls: &[Call]| run(&Fifo, calls, &values).is_some();
        assert!(fits(&[
            put(1),
            put(2),
            took(Value(1)),
            took(Value(2)),
            took(Value::NIL)
        ]));
        assert!(!fits(&[put(1), put(2), took(Value(2))]));
        assert!(!fits(&[put(1), took(Value::NIL)]));
        assert!(fits(&[put(1), info(take), took(Value::NIL)]));
        assert!(fits(&[info(take), put(1), took(Value(1))]));
        assert!(
            !Fifo.knows(&ok(take, None), &values),
            "what was taken is not known"
        );
    }
}

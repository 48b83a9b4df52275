//! A queue without an order: a value put in is taken out once, sometime.

use std::sync::Arc;

use super::{Call, Model, is_of_queue, listed};
use crate::history::{Action, Outcome, Value, Values, Verb};

/// One queue per key, empty at the start. A dequeue returns [`Value::NIL`] if it found nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue;

/// What is in a queue.
///
/// A dequeue of unknown outcome took any value, or nothing. It may take effect at any later time,
/// so what it took is decided when somebody finds the queue empty, and not before: until then it
/// is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Bag {
    /// In ascending order.
    elements: Arc<Vec<Value>>,
    /// How many more dequeues of unknown outcome may have taken something.
    takers: usize,
}

impl Model for Queue {
    type State = Bag;

    fn init(&self) -> Bag {
        Bag::default()
    }

    fn step(&self, state: &Bag, call: &Call, _values: &Values) -> Option<Bag> {
        match (call.action, call.outcome) {
            (_, Outcome::Fail) => Some(state.clone()),
            (Action::Do(Verb::Enqueue, value), _) => {
                let mut more = state.elements.to_vec();
                more.insert(more.partition_point(|other| *other < value), value);
                Some(state.with(more))
            }
            (Action::Do(Verb::Dequeue, _), _) => match call.seen {
                None => Some(Bag {
                    takers: state.takers + 1,
                    ..state.clone()
                }),
                Some(Value::NIL) => {
                    let left = state.takers.checked_sub(state.elements.len())?;
                    Some(Bag {
                        takers: left,
                        ..Bag::default()
                    })
                }
                Some(value) => {
                    let place = state.elements.binary_search(&value).ok()?;
                    let mut rest = state.elements.to_vec();
                    rest.remove(place);
                    Some(state.with(rest))
                }
            },
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
        let taken = match state.takers {
            0 => String::new(),
            takers => format!(", less what {takers} dequeues of unknown outcome took"),
        };
        match state.elements.as_slice() {
            [] => "nothing".to_owned(),
            elements => format!("{}{taken}", listed(elements, values)),
        }
    }

    fn complaint(&self, call: &Call, values: &Values) -> String {
        match call.seen {
            None => "the queue could not have taken it".to_owned(),
            Some(Value::NIL) => "the queue could not have been empty".to_owned(),
            Some(seen) => format!("the queue could not have held {}", values.show(seen)),
        }
    }

    fn bytes(&self, state: &Bag) -> usize {
        state.elements.len() * size_of::<Value>()
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

impl Bag {
    /// The values that are there, in ascending order.
    #[must_use]
    pub fn elements(&self) -> &[Value] {
        &self.elements
    }

    fn with(&self, elements: Vec<Value>) -> Self {
        Self {
            elements: Arc::new(elements),
            takers: self.takers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{info, ok, run};

    #[test]
    fn a_value_comes_out_once_in_any_order() {
        let values = Values::default();
        let put = |value| ok(Action::Do(Verb::Enqueue, Value(value)), None);
        let take = Action::Do(Verb::Dequeue, Value::NIL);
        let took = |value| ok(take, Some(value));
        let fits = |calls: &[Call]| run(&Queue, calls, &values).is_some();
        assert!(fits(&[
            put(1),
            put(2),
            took(Value(2)),
            took(Value(1)),
            took(Value::NIL)
        ]));
        assert!(fits(&[put(1), put(1), took(Value(1)), took(Value(1))]));
        assert!(!fits(&[put(1), took(Value(1)), took(Value(1))]));
        assert!(!fits(&[put(1), took(Value::NIL)]));
    }

    #[test]
    fn a_dequeue_of_unknown_outcome_explains_one_missing_value() {
        let values = Values::default();
        let put = |value| ok(Action::Do(Verb::Enqueue, Value(value)), None);
        let take = Action::Do(Verb::Dequeue, Value::NIL);
        let empty = ok(take, Some(Value::NIL));
        let fits = |calls: &[Call]| run(&Queue, calls, &values).is_some();
        assert!(fits(&[put(1), info(take), empty]));
        assert!(!fits(&[put(1), put(2), info(take), empty]));
        assert!(!fits(&[put(1), info(take), empty, put(2), empty]));
    }
}

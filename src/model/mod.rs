//! Models: what an object under test does when nothing goes wrong.
//!
//! *Model*: a sequential machine; an operation either fits a state or does not. *Call*: what an
//! operation asked and what its client learned, without times. Checkers ask whether some order of
//! the operations fits. Models are pure, and generic code over them is monomorphised.
//!
//! *Tie*: what makes operations belong together, such as a value that one puts there and another
//! finds. Evidence is made small by leaving out all operations of a tie at once.

mod append_list;
mod counter;
mod fifo;
mod kv;
mod mutex;
mod queue;
mod register;
mod set;

use std::fmt::Debug;
use std::hash::Hash;

pub use append_list::AppendList;
pub use counter::Counter;
pub use fifo::Fifo;
pub use kv::Kv;
pub use mutex::Mutex;
pub use queue::{Bag, Queue};
pub use register::Register;
pub use set::Set;

use crate::history::{Action, Content, KeyId, Operation, Outcome, Value, Values, Verb};
use crate::id::ProcessId;

/// An operation without its times: the input of [`Model::step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    /// Who asked.
    pub process: ProcessId,
    /// What was asked.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// The value seen, if one was.
    pub seen: Option<Value>,
}

/// A sequential machine.
pub trait Model: Sync {
    /// All that matters of the past. Clones should be cheap: the search makes many.
    type State: Clone + Eq + Hash + Debug;

    /// The state before any operation.
    fn init(&self) -> Self::State;

    /// The state after `call` takes effect in `state`, or `None` if it could not have ended as it
    /// did there. `values` knows the texts and lists of the history.
    fn step(&self, state: &Self::State, call: &Call, values: &Values) -> Option<Self::State>;

    /// Whether this object can do that, with such an argument and such a result.
    fn knows(&self, call: &Call, values: &Values) -> bool;

    /// What it is, and the verb before its state, for people: "register holds".
    fn object(&self) -> &'static str;

    /// A state for people, to stand behind [`Self::object`].
    fn show(&self, state: &Self::State, values: &Values) -> String;

    /// What the object could not have done when `call` returned, for people: "the queue could not
    /// have held 3 in front".
    fn complaint(&self, call: &Call, values: &Values) -> String;

    /// Operations of different partitions do not influence each other: each can be checked alone.
    fn partition(&self, operation: &Operation) -> KeyId {
        operation.key
    }

    /// Whether `call` fits every state and leaves it as it is.
    fn says_nothing(&self, call: &Call) -> bool {
        let is_blind = call.outcome != Outcome::Ok || call.seen.is_none();
        call.outcome == Outcome::Fail || (call.action == Action::Read && is_blind)
    }

    /// Whether `call` leaves every state that it fits as it is.
    fn observes(&self, call: &Call) -> bool {
        call.action == Action::Read
    }

    /// Whether what was there before no longer matters after `call`; then all updates of the
    /// object have to fit every state.
    fn resets(&self, _call: &Call) -> bool {
        false
    }

    /// Whether it matters who asked.
    fn is_personal(&self) -> bool {
        false
    }

    /// About how many bytes a state takes.
    fn bytes(&self, _state: &Self::State) -> usize {
        size_of::<Self::State>()
    }

    /// The value that `call` puts there, if whoever comes by afterwards [finds](Self::finds) it
    /// until it is taken out. Of unknown outcome and found by nobody, it need not have happened.
    fn puts(&self, _call: &Call) -> Option<Value> {
        None
    }

    /// The values that `call` found there.
    fn finds<'a>(&self, _call: &'a Call, _values: &'a Values) -> &'a [Value] {
        &[]
    }

    /// The tie of `call`; `None` if an update cannot be left out. If the operations have an order,
    /// so have those that are left when all of a tie go and the others
    /// [forget](Self::forget) it.
    fn tie(&self, call: &Call) -> Option<Value> {
        self.puts(call)
    }

    /// `call` as it would have been without the ties that are gone.
    fn forget(&self, call: &Call, _is_gone: &dyn Fn(Value) -> bool, _values: &mut Values) -> Call {
        *call
    }
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
            process: operation.process,
            action: operation.action,
            outcome: operation.outcome,
            seen: operation.seen,
        }
    }
}

/// The list of a read without the elements that are gone.
fn forget_elements(call: &Call, is_gone: &dyn Fn(Value) -> bool, values: &mut Values) -> Call {
    let (Action::Read, Some(seen)) = (call.action, call.seen) else {
        return *call;
    };
    let elements = values.elements(seen).iter();
    let kept: Vec<Value> = elements.copied().filter(|value| !is_gone(*value)).collect();
    let seen = match kept.len() == values.elements(seen).len() {
        true => seen,
        false => values.list(&kept),
    };
    Call {
        seen: Some(seen),
        ..*call
    }
}

/// Elements for people: `1 2 3`.
fn listed(elements: &[Value], values: &Values) -> String {
    let shown: Vec<String> = (elements.iter().take(LISTED_MAX))
        .map(|element| values.show(*element).to_string())
        .collect();
    let shown = shown.join(" ");
    match elements.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Of more elements the first ones are shown.
const LISTED_MAX: usize = 24;

/// Whether `value` is a list or absent.
fn is_list(value: Value, values: &Values) -> bool {
    matches!(values.content(value), Content::List(_) | Content::Nil)
}

/// Whether `call` puts a value into a queue, or takes one out whose result is known.
fn is_of_queue(call: &Call) -> bool {
    match call.action {
        Action::Do(Verb::Enqueue, _) => true,
        Action::Do(Verb::Dequeue, _) => call.outcome != Outcome::Ok || call.seen.is_some(),
        Action::Read | Action::Write(_) | Action::Cas { .. } | Action::Do(..) => false,
    }
}

#[cfg(test)]
mod testing {
    //! Calls for the tests of models.

    use super::*;

    /// An acknowledged call of process 0.
    pub(super) fn ok(action: Action, seen: Option<Value>) -> Call {
        Call {
            process: ProcessId(0),
            action,
            outcome: Outcome::Ok,
            seen,
        }
    }

    /// The same with the outcome unknown.
    pub(super) fn info(action: Action) -> Call {
        Call {
            outcome: Outcome::Info,
            ..ok(action, None)
        }
    }

    /// The state after all of these, if they fit.
    pub(super) fn run<M: Model>(model: &M, calls: &[Call], values: &Values) -> Option<M::State> {
        (calls.iter()).try_fold(model.init(), |state, call| model.step(&state, call, values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_read_as_sentences() {
        let describe = |action, outcome, seen: Option<i64>| {
            let call = Call {
                process: ProcessId(0),
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

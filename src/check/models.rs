//! The models that a history can be checked against: one line each.
//!
//! A history is checked only by a model that knows all of its operations; which model that is can
//! be proposed from the history itself.

use std::collections::BTreeSet;

use super::WEAK;
use super::linearizable::{self, Budget, Linearizability};
use super::object::{self, quick_fifo, quick_list, quick_lock, quick_queue, quick_set, quick_text};
use crate::history::{Action, Content, History, Operation, Outcome, Values, Verb};
use crate::model::{AppendList, Call, Counter, Fifo, Kv, Model, Mutex, Queue, Register, Set};

/// A model that a history can be checked against.
#[derive(Debug, Clone, Copy)]
pub struct ModelEntry {
    /// Its name on the command line and in the header of a history.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// The words of the operations that it knows.
    pub operations: &'static [&'static str],
    /// How it is decided, in one line.
    pub decided: &'static str,
    knows: fn(&Call, &Values) -> bool,
    check: fn(&History, &Budget<'_>) -> Linearizability,
}

/// Why a history is not checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// There is no such model.
    #[error("there is no model `{name}`: write one of {}", names().join(", "))]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// The model does not know an operation of the history.
    #[error(
        "operation {index}, `{what}`, is none that the model `{model}` knows ({}): {}",
        knows.join(", "), advice(others)
    )]
    Unsupported {
        /// The operation, as an index into `History::operations`.
        index: usize,
        /// The operation for people.
        what: String,
        /// The model that was asked for.
        model: &'static str,
        /// The words that it knows.
        knows: &'static [&'static str],
        /// The models that know all operations of the history.
        others: Vec<&'static str>,
    },
    /// No model knows all operations of the history.
    #[error("no model knows all of {}: check each kind of object in a file of its own", words.join(", "))]
    Mixed {
        /// The words of its operations.
        words: Vec<&'static str>,
    },
}

/// A model for a history that names none.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The model.
    pub model: &'static ModelEntry,
    /// Why this one, for people.
    pub reason: String,
}

macro_rules! models {
    ($($name:literal $model:ident $quick:expr; $words:expr; $summary:literal; $decided:literal)*) => {
        /// All models, those for the simplest objects first.
        pub const MODELS: &[ModelEntry] = &[
            ModelEntry {
                name: "register",
                summary: "one register per key: read, write, cas",
                operations: &["read", "write", "cas"],
                decided: "zones where written values are unique, else a search",
                knows: |call, values| Register::default().knows(call, values),
                check: |history, budget| linearizable::check(history, &Register::default(), budget),
            },
            $(ModelEntry {
                name: $name,
                summary: $summary,
                operations: $words,
                decided: $decided,
                knows: |call, values| $model.knows(call, values),
                check: |history, budget| object::check(history, &$model, $quick, budget),
            },)*
        ];
    };
}

models! {
    "kv" Kv Some(quick_text); &["read", "write", "append"]; "one text per key: get (read), put (write) and append; absent is the empty text"; "zones where no written text begins another, else a search"
    "append-list" AppendList Some(quick_list); &["read", "append"]; "one list per key: append an element, read all in their order"; "prefixes where elements are unique, else a search"
    "set" Set Some(quick_set); &["read", "add"]; "one set per key: add an element, read all in any order"; "inclusion where each element is added once, else a search"
    "counter" Counter None; &["read", "add"]; "one sum per key: add a number, read the sum"; "a search"
    "queue" Queue Some(quick_queue); &["enqueue", "dequeue"]; "one queue per key that returns values in any order, each once"; "bad patterns where values are unique, else a search"
    "fifo" Fifo Some(quick_fifo); &["enqueue", "dequeue"]; "one queue per key that returns values in the order in which they came"; "bad patterns where values are unique, else a search"
    "mutex" Mutex Some(quick_lock); &["acquire", "release"]; "one lock per key, given back by the process that holds it"; "sections in the order of their acquires, else a search"
}

/// Names that mean another model.
const ALIASES: [(&str, &str); 3] = [
    ("cas-register", "register"),
    ("lock", "mutex"),
    ("fifo-queue", "fifo"),
];

/// The model of that name.
///
/// # Errors
/// There is none.
pub fn model_named(name: &str) -> Result<&'static ModelEntry, ModelError> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let meant = alias.map_or(name, |(_, meant)| meant);
    let found = MODELS.iter().find(|model| model.name == meant);
    found.ok_or_else(|| ModelError::Unknown {
        name: name.to_owned(),
    })
}

/// Whether `history` is linearizable for objects of that model.
///
/// # Errors
/// The model does not know one of the operations: nothing is left out silently.
pub fn check_model(
    model: &ModelEntry,
    history: &History,
    budget: &Budget<'_>,
) -> Result<Linearizability, ModelError> {
    if let Some(index) = model.unknown(history) {
        let others = MODELS
            .iter()
            .filter(|other| other.unknown(history).is_none());
        return Err(ModelError::Unsupported {
            index,
            what: Call::from(&history.operations[index]).describe(&history.values),
            model: model.name,
            knows: model.operations,
            others: others.map(|other| other.name).collect(),
        });
    }
    Ok((model.check)(history, budget))
}

/// The model for a history whose header names `header`, or none.
///
/// # Errors
/// There is no model of that name, or no model knows all operations.
pub fn propose_model(history: &History, header: Option<&str>) -> Result<Proposal, ModelError> {
    if let Some(name) = header {
        return Ok(Proposal {
            model: model_named(name)?,
            reason: "the header of the history names it".to_owned(),
        });
    }
    // The order of the table decides, except where the values tell more.
    let names: &[&str] = match history.operations.iter().find_map(hint) {
        Some(Verb::Enqueue | Verb::Dequeue) => &["queue"],
        Some(Verb::Acquire | Verb::Release) => &["mutex"],
        Some(Verb::Add) => &["counter", "set"],
        Some(Verb::Append) if has_text(history) => &["kv", "append-list"],
        Some(Verb::Append) => &["append-list", "kv"],
        None => &["register", "append-list"],
    };
    let mut models = names.iter().filter_map(|name| model_named(name).ok());
    let found = match models.find(|model| model.unknown(history).is_none()) {
        // Without a read nothing tells a set from a counter: both explain every history.
        Some(model) if model.name == "counter" && !has_read(history) => model_named("set")?,
        Some(model) => model,
        None => {
            let words: BTreeSet<&str> =
                history.operations.iter().map(|o| o.action.word()).collect();
            return Err(ModelError::Mixed {
                words: words.into_iter().collect(),
            });
        }
    };
    let more = match found.name {
        "queue" => "; if values must come out in their order, the model is fifo",
        _ => "",
    };
    let words: BTreeSet<&str> = history.operations.iter().map(|o| o.action.word()).collect();
    let words: Vec<&str> = words.into_iter().collect();
    Ok(Proposal {
        model: found,
        reason: format!("it knows {}{more}", words.join(", ")),
    })
}

impl ModelEntry {
    /// The first operation that this model does not know.
    fn unknown(&self, history: &History) -> Option<usize> {
        let is_known = |o: &Operation| (self.knows)(&Call::from(o), &history.values);
        history.operations.iter().position(|o| !is_known(o))
    }
}

/// The verb of an operation that registers do not know.
const fn hint(operation: &Operation) -> Option<Verb> {
    match operation.action {
        Action::Do(verb, _) => Some(verb),
        Action::Read | Action::Write(_) | Action::Cas { .. } => None,
    }
}

/// Whether a text was read or written.
fn has_text(history: &History) -> bool {
    history.operations.iter().any(|operation| {
        let value = match operation.action {
            Action::Write(to) => Some(to),
            Action::Read => operation.seen,
            Action::Cas { .. } | Action::Do(..) => None,
        };
        let content = value.map(|value| history.values.content(value));
        matches!(content, Some(Content::Text(_)))
    })
}

fn has_read(history: &History) -> bool {
    let mut operations = history.operations.iter();
    operations.any(|o| o.action == Action::Read && o.outcome == Outcome::Ok)
}

fn names() -> Vec<&'static str> {
    let all = MODELS.iter().map(|model| model.name);
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    let weak = WEAK.iter().map(|(name, ..)| *name);
    all.chain(aliases).chain(weak).collect()
}

fn advice(others: &[&str]) -> String {
    match others {
        [] => "no model knows all operations of this history".to_owned(),
        others => format!("write --model {}", others.join(" or --model ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::ok;
    use crate::history::Value;
    use crate::verdict::Verdict;

    fn history(operations: Vec<Operation>) -> History {
        History {
            keys: vec!["k".to_owned()],
            operations,
            ..History::default()
        }
    }

    fn act(verb: Verb, value: i64, seen: Option<i64>) -> Operation {
        ok(Action::Do(verb, Value(value)), 1, 2, seen.map(Value))
    }

    fn judged(name: &str, history: &History) -> Result<Linearizability, ModelError> {
        check_model(model_named(name)?, history, &Budget::without_clock(1))
    }

    #[test]
    fn an_operation_that_the_model_does_not_know_is_refused_with_those_that_do() {
        let history = history(vec![act(Verb::Enqueue, 5, None)]);
        let refused = judged("register", &history).expect_err("a register has no queue");
        insta::assert_snapshot!(refused, @"operation 0, `enqueue 5`, is none that the model `register` knows (read, write, cas): write --model queue or --model fifo");
        let refused = judged("stack", &history).expect_err("there is none");
        insta::assert_snapshot!(refused, @"there is no model `stack`: write one of register, kv, append-list, set, counter, queue, fifo, mutex, cas-register, lock, fifo-queue, zookeeper, zookeeper_synced, sessions, staleness");
    }

    #[test]
    fn a_failed_operation_that_the_model_does_not_know_is_refused_as_well() {
        let mut failed = act(Verb::Add, 1, None);
        failed.outcome = Outcome::Fail;
        assert!(judged("mutex", &history(vec![failed])).is_err());
    }

    #[test]
    fn every_model_is_found_by_its_name_and_judges() {
        let takes = history(vec![
            act(Verb::Enqueue, 1, None),
            act(Verb::Dequeue, i64::MIN, Some(2)),
        ]);
        for name in ["queue", "fifo"] {
            let found = judged(name, &takes).expect("queues know these");
            assert_eq!(found.verdict, Verdict::Fail);
        }
        assert_eq!(model_named("cas-register").map(|m| m.name), Ok("register"));
        let mut known = BTreeSet::new();
        assert!(MODELS.iter().all(|model| known.insert(model.name)));
    }

    #[test]
    fn the_model_is_proposed_from_what_the_history_holds() {
        let propose = |operations: Vec<Operation>, header: Option<&str>| {
            let mut history = history(operations);
            let list = history.values.list(&[Value(1)]);
            let text = history.values.text("1");
            for operation in &mut history.operations {
                match operation.seen {
                    Some(Value(-1)) => operation.seen = Some(list),
                    Some(Value(-2)) => operation.seen = Some(text),
                    _ => {}
                }
            }
            match propose_model(&history, header) {
                Ok(found) => format!("{}: {}", found.model.name, found.reason),
                Err(error) => error.to_string(),
            }
        };
        let read = |seen: i64| ok(Action::Read, 3, 4, Some(Value(seen)));
        let [list, text] = [-1, -2];
        let add = act(Verb::Add, 1, None);
        let append = act(Verb::Append, 1, None);
        let lines = [
            propose(vec![read(5)], None),
            propose(vec![add.clone(), read(1)], None),
            propose(vec![add.clone(), read(list)], None),
            propose(vec![add.clone()], None),
            propose(vec![append.clone(), read(list)], None),
            propose(vec![append, read(text)], None),
            propose(vec![act(Verb::Enqueue, 1, None)], None),
            propose(vec![act(Verb::Enqueue, 1, None)], Some("fifo")),
            propose(vec![act(Verb::Acquire, i64::MIN, None)], None),
            propose(vec![act(Verb::Acquire, i64::MIN, None), add], None),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        register: it knows read
        counter: it knows add, read
        set: it knows add, read
        set: it knows add
        append-list: it knows append, read
        kv: it knows append, read
        queue: it knows enqueue; if values must come out in their order, the model is fifo
        fifo: the header of the history names it
        mutex: it knows acquire
        no model knows all of acquire, add: check each kind of object in a file of its own
        ");
    }
}

//! The check while a run lasts: linearizability of registers, event by event, in bounded memory.
//!
//! *Due* key: enough has happened on it, or nothing is in flight, so it is looked at again; what
//! can be forgotten then is ([`super::linearizable`]'s `forget`). *Given up*: a key of which too much
//! would have to be kept, or of which zones cannot tell; it is left to the check at the end and
//! never counts as passed.
//!
//! A violation is found only if the operations so far have no order whatever comes, and at the
//! latest when the last operation of its key has completed and [`Online::finish`] was called.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::linearizable::{Glance, Rest, glance, is_in_flight};
use crate::clock::Nanos;
use crate::history::{
    Action, Completion, History, Invocation, KeyId, Operation, Outcome, Value, Values,
};
use crate::id::ProcessId;

/// How much may be kept of one key before it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Operations of all kinds.
    pub operations: usize,
    /// Updates of unknown outcome whose value nobody has seen yet.
    pub unknown: usize,
    /// A key on which something is always in flight is looked at after so many completions, or
    /// after a quarter of what is kept, whatever is more.
    pub look_after: usize,
}

/// The check of a run that lasts.
#[derive(Debug)]
pub struct Online {
    initial: Value,
    bounds: Bounds,
    keys: BTreeMap<Arc<str>, Key>,
    due: BTreeSet<Arc<str>>,
    given_up: BTreeMap<String, String>,
    completed: u64,
    kept: usize,
    most_kept: usize,
}

/// Operations that no order explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// The operations that prove it, as far as they were kept; in the order of invocation.
    pub operations: Vec<Operation>,
    /// Why no order explains them.
    pub sentence: String,
}

/// What is known of one key.
#[derive(Debug)]
enum Key {
    Open(Register),
    /// Violated or given up: nothing is kept.
    Closed,
}

#[derive(Debug)]
struct Register {
    initial: Value,
    done: Vec<Operation>,
    in_flight: BTreeMap<ProcessId, Operation>,
    /// Completed since it was last looked at.
    fresh: usize,
    /// The time of the last event.
    latest: Nanos,
}

impl Default for Bounds {
    /// 100,000 operations, 1,000 of unknown outcome, a look after 32 completions.
    fn default() -> Self {
        Self {
            operations: 100_000,
            unknown: 1_000,
            look_after: 32,
        }
    }
}

impl Online {
    /// Nothing has happened; every key holds `initial`.
    #[must_use]
    pub const fn new(initial: Value, bounds: Bounds) -> Self {
        Self {
            initial,
            bounds,
            keys: BTreeMap::new(),
            due: BTreeSet::new(),
            given_up: BTreeMap::new(),
            completed: 0,
            kept: 0,
            most_kept: 0,
        }
    }

    /// An operation begins. Events of one key come in the order of time.
    pub fn invoke(&mut self, invocation: &Invocation) {
        let initial = self.initial;
        let fresh = || Key::Open(Register::new(initial));
        let key = self.keys.entry(Arc::clone(&invocation.key));
        let Key::Open(register) = key.or_insert_with(fresh) else {
            return;
        };
        let operation = begun(invocation);
        let is_in_order = register.is_in_order(invocation.time);
        let earlier = register.in_flight.insert(invocation.process, operation);
        self.kept += 1;
        self.most_kept = self.most_kept.max(self.kept);
        if !is_in_order {
            self.give_up(&invocation.key, OUT_OF_ORDER);
        } else if earlier.is_some() {
            self.give_up(&invocation.key, "one process had two operations in flight");
        }
    }

    /// An operation ends.
    pub fn complete(&mut self, completion: &Completion) {
        self.completed += 1;
        let Some(Key::Open(register)) = self.keys.get_mut(&completion.key) else {
            return;
        };
        let Some(operation) = register.in_flight.remove(&completion.process) else {
            self.give_up(&completion.key, "an operation ended that had not begun");
            return;
        };
        if !register.is_in_order(completion.time) {
            self.give_up(&completion.key, OUT_OF_ORDER);
            return;
        }
        let operation = ended(&operation, completion);
        if says_nothing(&operation) {
            self.kept -= 1;
        } else {
            register.done.push(operation);
        }
        register.fresh += 1;
        let enough = self.bounds.look_after.max(register.done.len() / 4);
        if register.in_flight.is_empty() || register.fresh >= enough {
            self.due.insert(Arc::clone(&completion.key));
        }
    }

    /// Looks at the keys that are due; returns at the first violation, and wants to be called
    /// again until there is none.
    pub fn settle(&mut self) -> Option<Violation> {
        while let Some(name) = self.due.pop_first() {
            let Some(Key::Open(register)) = self.keys.get_mut(&name) else {
                continue;
            };
            let before = register.len();
            let found = register.look(&name, &self.bounds);
            self.kept = self.kept + register.len() - before;
            match found {
                Look::Legal => {}
                Look::Illegal(violation) => {
                    self.close(&name);
                    return Some(*violation);
                }
                Look::Unsure(reason) => self.give_up(&name, &reason),
            }
        }
        None
    }

    /// No operation ends any more: those in flight have an unknown outcome. [`Self::settle`] then
    /// looks at every key for the last time.
    pub fn finish(&mut self) {
        for (name, key) in &mut self.keys {
            let Key::Open(register) = key else {
                continue;
            };
            for (_, mut operation) in std::mem::take(&mut register.in_flight) {
                operation.completed = register.latest;
                register.done.push(operation);
            }
            self.due.insert(Arc::clone(name));
        }
    }

    /// The keys that are left to the check at the end, with the reason.
    #[must_use]
    pub const fn given_up(&self) -> &BTreeMap<String, String> {
        &self.given_up
    }

    /// How many operations have completed.
    #[must_use]
    pub const fn completed(&self) -> u64 {
        self.completed
    }

    /// How many operations were kept at most.
    #[must_use]
    pub const fn most_kept(&self) -> usize {
        self.most_kept
    }

    fn give_up(&mut self, key: &Arc<str>, reason: &str) {
        self.given_up.insert(key.to_string(), reason.to_owned());
        self.close(key);
    }

    fn close(&mut self, key: &Arc<str>) {
        let before = self.keys.insert(Arc::clone(key), Key::Closed);
        if let Some(Key::Open(register)) = before {
            self.kept = self.kept.saturating_sub(register.len());
        }
    }
}

/// What a look at one key shows.
enum Look {
    Legal,
    Illegal(Box<Violation>),
    Unsure(String),
}

impl Register {
    const fn new(initial: Value) -> Self {
        Self {
            initial,
            done: Vec::new(),
            in_flight: BTreeMap::new(),
            fresh: 0,
            latest: Nanos::ZERO,
        }
    }

    fn len(&self) -> usize {
        self.done.len() + self.in_flight.len()
    }

    /// Takes the time of an event; false if it lies before another.
    fn is_in_order(&mut self, time: Nanos) -> bool {
        let is_in_order = time >= self.latest;
        self.latest = self.latest.max(time);
        is_in_order
    }

    /// Judges what is kept and forgets what it can.
    fn look(&mut self, name: &str, bounds: &Bounds) -> Look {
        self.fresh = 0;
        let mut operations = std::mem::take(&mut self.done);
        operations.extend(self.in_flight.values().cloned());
        operations.sort_by_key(|operation| operation.invoked);
        let history = History {
            keys: vec![name.to_owned()],
            // Which error it was does not matter.
            errors: vec![String::new()],
            values: Values::default(),
            operations,
        };
        let Rest {
            initial,
            operations,
        } = match glance(&history, self.initial, self.latest) {
            Glance::Legal(rest) => rest,
            Glance::Unsure(reason) => return Look::Unsure(reason),
            Glance::Illegal(evidence) => {
                let proof = evidence.operations.iter();
                return Look::Illegal(Box::new(Violation {
                    key: name.to_owned(),
                    operations: proof.map(|at| history.operations[*at].clone()).collect(),
                    sentence: evidence.sentence,
                }));
            }
        };
        self.initial = initial;
        self.done = operations;
        self.done.retain(|operation| !is_in_flight(operation));
        let unknown = self.done.iter().filter(|op| op.outcome == Outcome::Info);
        let unknown = unknown.count();
        if unknown > bounds.unknown {
            return Look::Unsure(format!("{unknown} updates of unknown outcome are open"));
        }
        match self.len() {
            kept if kept > bounds.operations => {
                Look::Unsure(format!("{kept} operations would have to be kept"))
            }
            _ => Look::Legal,
        }
    }
}

fn begun(invocation: &Invocation) -> Operation {
    Operation {
        process: invocation.process,
        key: KeyId(0),
        action: invocation.action,
        invoked: invocation.time,
        completed: Nanos::MAX,
        outcome: Outcome::Info,
        seen: None,
        intended: Some(invocation.intended),
        node: Some(invocation.node),
        version: None,
        error: None,
    }
}

fn ended(operation: &Operation, completion: &Completion) -> Operation {
    Operation {
        completed: completion.time,
        outcome: completion.outcome,
        seen: completion.seen,
        version: completion.version,
        error: completion.error.as_ref().map(|_| 0),
        ..operation.clone()
    }
}

/// Whether it makes no difference to any order.
fn says_nothing(operation: &Operation) -> bool {
    match (operation.action, operation.outcome) {
        (Action::Read, outcome) => outcome != Outcome::Ok || operation.seen.is_none(),
        (Action::Write(_), outcome) => outcome == Outcome::Fail,
        (Action::Cas { .. }, Outcome::Fail) => {
            operation.seen.is_none() && operation.error.is_some()
        }
        (Action::Cas { .. }, _) => false,
        (Action::Do(..), _) => true,
    }
}

const OUT_OF_ORDER: &str = "its events did not come in the order of time";

//! The operations of one key as the search sees them.

use super::{KeyHistory, NEVER, tick};
use crate::history::{Action, FixedMap, Outcome, Value};
use crate::model::Call;

/// An operation as the search sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// Its index in the history.
    pub(super) index: u32,
    pub(super) call: Call,
    pub(super) invoked: u64,
    /// Until when it may take effect.
    pub(super) returned: u64,
    /// It need not take effect: nobody knows whether it did, or it may have before the first item.
    pub(super) is_optional: bool,
}

/// A problem for the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Items {
    pub(super) all: Vec<Item>,
    /// The values that the register may hold at the start.
    pub(super) initial: Vec<Value>,
    /// A value that nobody writes or sees: stands for all values that nobody will see any more.
    pub(super) dead: Value,
}

impl Items {
    /// Those operations of a key that say something.
    pub(super) fn of(key: &KeyHistory<'_>) -> Self {
        let mut items = Self {
            all: Vec::with_capacity(key.indices.len()),
            initial: vec![key.initial],
            dead: Value::NIL,
        };
        for (index, operation) in key.iter() {
            let call = Call::from(operation);
            let says_nothing = match (call.action, call.outcome) {
                (Action::Read, _) => call.outcome != Outcome::Ok || call.seen.is_none(),
                (Action::Write(_), outcome) => outcome == Outcome::Fail,
                (Action::Cas { .. }, _) => false,
                (Action::Do(..), _) => true,
            };
            if says_nothing {
                continue;
            }
            let returned = match call.outcome {
                Outcome::Ok | Outcome::Fail => tick(operation.completed),
                Outcome::Info => NEVER,
            };
            items.all.push(Item {
                index,
                call,
                invoked: tick(operation.invoked),
                returned,
                is_optional: returned == NEVER,
            });
        }
        let last_seen = items.last_seen();
        if !items.has_blind() {
            // Nobody sees its value, so it need not have happened.
            items.all.retain(|item| {
                item.returned != NEVER || item.written().is_none_or(|v| last_seen.contains_key(&v))
            });
        }
        items.dead = items.unused_value();
        items
    }

    /// A value that no item names; with `initial` such a value too it would be equally dead.
    fn unused_value(&self) -> Value {
        let mut used: Vec<Value> = self.initial.clone();
        for item in &self.all {
            used.extend(item.written().into_iter().chain(item.looks_for()));
        }
        used.sort_unstable();
        let mut unused = i64::MIN + 1;
        for value in used {
            unused += i64::from(value.0 == unused);
        }
        Value(unused)
    }

    /// Until when each value may still be seen.
    pub(super) fn last_seen(&self) -> FixedMap<Value, u64> {
        let mut last_seen = FixedMap::default();
        for item in &self.all {
            if let Some(value) = item.looks_for() {
                let last = last_seen.entry(value).or_insert(0);
                *last = item.returned.max(*last);
            }
        }
        last_seen
    }

    /// Whether a failed CAS hides what it saw.
    pub(super) fn has_blind(&self) -> bool {
        self.all.iter().any(Item::is_blind)
    }
}

impl Item {
    /// The value that it puts there.
    pub(super) fn written(&self) -> Option<Value> {
        match self.call.action {
            Action::Write(to) => Some(to),
            Action::Cas { to, .. } if self.call.outcome != Outcome::Fail => Some(to),
            Action::Read | Action::Cas { .. } | Action::Do(..) => None,
        }
    }

    /// The value on which it depends.
    pub(super) fn looks_for(&self) -> Option<Value> {
        match self.call.action {
            Action::Read => self.call.seen,
            Action::Write(_) | Action::Do(..) => None,
            Action::Cas { from, .. } => Some(self.call.seen.unwrap_or(from)),
        }
    }

    /// The value without which it cannot have ended as it did.
    pub(super) fn must_see(&self) -> Option<Value> {
        let may_do_without = self.is_optional || self.is_blind();
        self.looks_for().filter(|_| !may_do_without)
    }

    /// Whether it is a failed CAS that hides what it saw.
    pub(super) fn is_blind(&self) -> bool {
        let is_failed = self.call.outcome == Outcome::Fail;
        is_failed && self.call.seen.is_none() && matches!(self.call.action, Action::Cas { .. })
    }
}

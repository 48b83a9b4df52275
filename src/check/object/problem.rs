//! The operations of one key as the searches see them.

use crate::check::linearizable::{KeyHistory, NEVER, tick};
use crate::history::{FixedSet, Outcome, Value, Values};
use crate::model::{Call, Model};

/// An operation as the searches see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) struct Item {
    /// Its index in the history.
    pub(super) index: u32,
    pub(super) call: Call,
    pub(super) invoked: u64,
    /// Until when it may take effect; [`NEVER`] if nobody knows whether it did: then it need not.
    pub(super) returned: u64,
    /// It leaves every state that it fits as it is.
    pub(super) observes: bool,
}

/// What is searched for: an order of these items.
#[derive(Debug, Clone)]
pub(in crate::check) struct Problem<'a, M> {
    pub(super) model: &'a M,
    pub(super) values: &'a Values,
    /// In the order of invocation.
    pub(in crate::check) items: Vec<Item>,
}

/// An item is invoked or returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant {
    pub(super) time: u64,
    /// At equal times invocations come first: such operations are concurrent.
    pub(super) is_return: bool,
    pub(super) number: usize,
}

impl Item {
    /// Nobody knows whether it took effect.
    pub(super) const fn is_optional(&self) -> bool {
        self.returned == NEVER
    }

    /// Whether it had returned before the other was invoked.
    pub(super) const fn is_before(&self, other: &Self) -> bool {
        self.returned < other.invoked
    }
}

impl<'a, M: Model> Problem<'a, M> {
    /// Those operations of a key that say something.
    pub(in crate::check) fn of(model: &'a M, values: &'a Values, key: &KeyHistory<'_>) -> Self {
        let mut items: Vec<Item> = Vec::with_capacity(key.indices.len());
        for (index, operation) in key.iter() {
            let call = Call::from(operation);
            if model.says_nothing(&call) {
                continue;
            }
            let returned = match call.outcome {
                Outcome::Ok | Outcome::Fail => tick(operation.completed),
                Outcome::Info => NEVER,
            };
            items.push(Item {
                index,
                call,
                invoked: tick(operation.invoked),
                returned,
                observes: model.observes(&call),
            });
        }
        let unsure = |item: &Item| item.is_optional() && model.puts(&item.call).is_some();
        if items.iter().any(unsure) {
            let found: FixedSet<Value> = (items.iter())
                .flat_map(|item| model.finds(&item.call, values).iter().copied())
                .collect();
            // Nobody found what it put there, so it need not have happened.
            items.retain(|item| {
                let put = model.puts(&item.call);
                !item.is_optional() || put.is_none_or(|value| found.contains(&value))
            });
        }
        Self {
            model,
            values,
            items,
        }
    }

    /// Invocations and returns in the order of time.
    pub(super) fn instants(&self) -> Vec<Instant> {
        let mut instants = Vec::with_capacity(self.items.len() * 2);
        for (number, item) in self.items.iter().enumerate() {
            let at = |time, is_return| Instant {
                time,
                is_return,
                number,
            };
            instants.push(at(item.invoked, false));
            if !item.is_optional() {
                instants.push(at(item.returned, true));
            }
        }
        instants.sort_unstable();
        instants
    }

    /// How many items must have taken effect.
    pub(super) fn returns(&self) -> usize {
        self.items.iter().filter(|i| !i.is_optional()).count()
    }
}

//! Looking ahead: who will still need a value, and who can still put it there.
//!
//! A narrow search uses it to leave out what cannot succeed: replacing a value that somebody must
//! still see and nobody can write in time.

use super::items::Items;
use crate::history::{FixedMap, Value};

/// The future of every value.
#[derive(Debug, Default)]
pub(super) struct Ahead(FixedMap<Value, Future>);

/// Operations on one value in the order of invocation.
#[derive(Debug, Default)]
struct Future {
    /// Of those that must see it: the invocation, and the earliest return from here on.
    observers: Vec<(u64, u64)>,
    /// Invocations of those that write it.
    writers: Vec<u64>,
}

impl Ahead {
    pub(super) fn of(items: &Items) -> Self {
        let mut ahead = Self::default();
        for item in &items.all {
            if let Some(value) = item.must_see() {
                let future = ahead.0.entry(value).or_default();
                future.observers.push((item.invoked, item.returned));
            }
            if let Some(value) = item.written() {
                ahead.0.entry(value).or_default().writers.push(item.invoked);
            }
        }
        for future in ahead.0.values_mut() {
            future.observers.sort_unstable();
            future.writers.sort_unstable();
            let mut earliest = u64::MAX;
            for (_, returned) in future.observers.iter_mut().rev() {
                earliest = earliest.min(*returned);
                *returned = earliest;
            }
        }
        ahead
    }

    /// Until when somebody who begins after `time` must have seen `value`.
    pub(super) fn due(&self, value: Value, time: u64) -> Option<u64> {
        let observers = &self.0.get(&value)?.observers;
        let next = observers.partition_point(|(invoked, _)| *invoked <= time);
        observers.get(next).map(|(_, returned)| *returned)
    }

    /// Whether somebody who begins after `time` and not after `due` writes `value`.
    pub(super) fn is_written(&self, value: Value, time: u64, due: u64) -> bool {
        let writers = self.0.get(&value).map_or(&[][..], |future| &future.writers);
        let next = writers.partition_point(|invoked| *invoked <= time);
        writers.get(next).is_some_and(|invoked| *invoked <= due)
    }
}
